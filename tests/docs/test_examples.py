"""The examples of README.md and docs/ work.

Python blocks run, commands name flags that exist, and links lead somewhere.
"""

import doctest
import importlib
import pathlib
import re
import shlex
import shutil
import tomllib
from typing import Any

import numpy as np
import pytest
from absl import flags
from absl.flags import FlagValues

from benchmarks.figures import ROOT, pages
from launch.device import DeviceFlags
from launch.flags import define

PAGES = pages()
_BLOCK = re.compile(
    r"(?P<before><!-- not run: [^\n]+ -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
_INLINE = re.compile(r"`((?:python -m|examine-)[^`\n]*)`")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?!https?:)([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
_FILE = re.compile(r"# (\w+\.py)\n")


def name_of(page: pathlib.Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: pathlib.Path, language: str) -> list[str]:
    """The code of a page's blocks; those that are marked as not run are left out."""
    found = _BLOCK.finditer(page.read_text())
    return [
        block["code"] for block in found if block["language"] == language and not block["before"]
    ]


def what_pages_use(folder: pathlib.Path) -> dict[str, Any]:
    """Small arrays under the names that the pages use, and the files that they read."""
    generator = np.random.default_rng(0)
    labels = np.arange(60) % 2

    def drawn(of: np.ndarray) -> np.ndarray:
        return (generator.normal(size=(len(of), 12)) + 1 + of[:, None]).astype(np.float32)

    golden = ROOT / "tests" / "golden" / "version_0_1"
    shutil.copytree(golden / "mae", folder / "encoder")
    features = drawn(labels)
    np.save(folder / "features.npy", features)
    with np.load(golden / "arrays.npz") as arrays:
        pixels = arrays["images"]
    return {
        "features": features,
        "labels": labels,
        "patients": np.array([f"patient {row // 4}" for row in range(60)]),
        "todays_features": drawn(labels[:4]),
        "pixels": pixels,
        "test_features": drawn(labels[:24]),
        "test_labels": labels[:24],
        "test_patients": np.arange(24) // 2,
        "validation_features": drawn(labels[:30]),
        "validation_labels": labels[:30],
    }


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_python_blocks_run_in_order(
    page: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = {"__name__": "example", **what_pages_use(tmp_path)}
    for number, code in enumerate(blocks(page, "python")):
        where = f"{name_of(page)}, Python block {number + 1}"
        if ">>>" in code:
            test = doctest.DocTestParser().get_doctest(code, names, where, str(page), 0)
            runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
            runner.run(test, clear_globs=False)
            assert runner.failures == 0, where
        else:
            named = _FILE.match(code)
            if named:  # a file that the page asks the reader to write
                (tmp_path / named[1]).write_text(code)
            exec(compile(code, where, "exec"), names)  # noqa: S102  # the pages' own code


def commands() -> list[str]:
    """Every command line of the pages, without comments and shell operators, once each."""
    found: dict[str, None] = {}
    for page in PAGES:
        lines = [
            line for code in blocks(page, "bash") for line in code.replace("\\\n", " ").splitlines()
        ]
        for line in [*lines, *_INLINE.findall(page.read_text())]:
            for part in re.split(r"&&|;", line.partition(" #")[0]):
                if part.strip() and not part.startswith("#"):
                    found[" ".join(part.split())] = None
    return list(found)


def launched(command: str) -> list[str] | None:
    """[module, flags …] of a command of the library; None for other commands."""
    words = shlex.split(command)
    if words[0].startswith("examine-"):
        scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
        module = scripts[words[0]].partition(":")[0].removeprefix("examine_jax.")
        return [module, *words[1:]]
    if words[0].endswith("python") and words[1:2] == ["-m"] and words[2].startswith("launch."):
        return words[2:]
    return None


def test_commands_name_flags_and_values_that_exist(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for code in blocks(
        ROOT / "docs" / "extending.md", "python"
    ):  # other packages' methods, by module:attribute
        named = _FILE.match(code)
        if named:
            (tmp_path / named[1]).write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    seen = set()
    for command in commands():
        words = launched(command)
        if words is None or "--help" in command:
            continue
        module, *arguments = words
        if module == "launch.reproduce":
            module, arguments = f"{module}_{arguments[0]}", arguments[1:]
        values = FlagValues()
        importlib.import_module(module).define_flags(values)
        define(values, DeviceFlags)
        try:
            rest = values([module, *arguments])
        except flags.Error as error:
            raise AssertionError(f"{command}: {error}") from error
        assert rest == [module], command
        seen.add(module)
    assert len(seen) >= 8, "every command has an example"


def test_other_commands_name_modules_and_extras_that_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for command in commands():
        for module in re.findall(r"python -m (benchmarks[\w.]*)", command):
            path = ROOT / pathlib.Path(*module.split("."))
            assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), command
        for named in re.findall(r"(?:examine-jax|\.)\[([\w,]+)\]", command):
            assert set(named.split(",")) <= extras.keys(), command


@pytest.mark.parametrize(
    "page", [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=name_of
)
def test_links_lead_to_files(page: pathlib.Path) -> None:
    for link, image in _LINK.findall(page.read_text()):
        target = (link or image).partition("#")[0]
        assert not target or (page.parent / target).exists(), f"{name_of(page)}: {target}"


def test_the_readme_is_short() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    assert len(text) <= 12_000


def test_the_test_command_is_where_ci_looks_for_it() -> None:
    assert re.search(
        r"^<!-- test command -->\n```bash\n.*pytest.*\n```$",
        (ROOT / "README.md").read_text(),
        re.MULTILINE,
    )
