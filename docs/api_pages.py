"""One page of the API a room: written at each build, so that no page lags behind the package."""

import importlib
import importlib.util
import pathlib
import pkgutil
import re
import types
from typing import Any

ROOMS = (
    *(
        "common",
        "images",
        "labelled",
        "scoring",
        "models",
        "features",
        "influence",
        "quality",
        "training",
    ),
    *(
        "pretraining",
        "encoders",
        "selection",
        "valuation",
        "evaluation",
        "detection",
        "reporting",
        "studies",
        "jobs",
    ),
)
# Numerics that nobody imports from outside the package.
_PRIVATE = {"examine_jax.scoring.equations"}

_SECTION = re.compile(r"(Args|Attributes|Returns|Raises|Source|Yields):(\s|$)")
_LIST = re.compile(r"\s*([-*]|\d+\.) ")
_LITERAL = re.compile(r"(`+)([^`]+)\1")


def write(folder: pathlib.Path) -> None:
    """A page for each room that is there, and the list of them."""
    folder.mkdir(exist_ok=True)
    rooms = [room for room in ROOMS if _found(f"examine_jax.{room}")]
    names = "\n".join(rooms)
    _write(
        folder / "index.md",
        "# API\n\nOne page a room, in the order in which data "
        f"flow.\n\n```{{toctree}}\n{names}\n```\n",
    )
    for room in rooms:
        _write(folder / f"{room}.md", _page(f"examine_jax.{room}"))


def _page(name: str) -> str:
    """What the room exports; then, module by module, what else its modules define.

    What a room exports from another room is on the other room's page.
    """
    room = importlib.import_module(name)
    exports = {key: getattr(room, key) for key in getattr(room, "__all__", ())}
    own = [
        key for key, value in exports.items() if getattr(value, "__module__", name).startswith(name)
    ]
    lines = [f"# {name}", "", "```{eval-rst}", f".. automodule:: {name}"]
    if own:
        lines.append(f"   :members: {', '.join(own)}")
    seen = {id(value) for value in exports.values()}
    for module in _modules(room):
        others = [
            key
            for key, value in vars(module).items()
            if _documented(module, key, value) and id(value) not in seen
        ]
        if others:
            title = module.__name__.removeprefix("examine_jax.")
            lines += ["", title, "-" * len(title), "", f".. automodule:: {module.__name__}"]
            lines.append(f"   :members: {', '.join(others)}")
    return "\n".join([*lines, "```", ""])


def _modules(room: types.ModuleType) -> list[types.ModuleType]:
    found = pkgutil.walk_packages(room.__path__, f"{room.__name__}.")
    names = sorted(module.name for module in found)
    public = [name for name in names if not any(name.startswith(private) for private in _PRIVATE)]
    return [
        importlib.import_module(name)
        for name in public
        if not name.rpartition(".")[2].startswith("_")
    ]


def _documented(module: types.ModuleType, key: str, value: Any) -> bool:
    own = getattr(value, "__module__", None) == module.__name__
    return (
        own
        and not key.startswith("_")
        and (isinstance(value, type) or callable(value))
        and bool(value.__doc__)
    )


def _found(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _write(path: pathlib.Path, text: str) -> None:
    """Written only if it changed, or every build would build every page."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def skip_member(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Fields of named tuples are explained by their class."""
    return True if type(obj).__name__ == "_tuplegetter" else None


def process_docstring(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Make a docstring's plain text valid reStructuredText.

    Docstrings here are written to be read as text: code stands between single backticks, and
    mathematics may hold `|x|` and `x*`. A paragraph that is indented as a whole, outside sections,
    is a formula and becomes a literal block.
    """
    made: list[str] = []
    in_section = False
    for paragraph in _paragraphs(lines):
        first = paragraph[0]
        depth = len(first) - len(first.lstrip())
        if depth == 0:
            in_section = bool(_SECTION.match(first))
        if not in_section and depth >= 4:
            made += ["::", "", *paragraph, ""]
        elif in_section or _LIST.match(first):
            made += [*_escaped(paragraph), ""]
        else:
            made += [*_escaped([line.strip() for line in paragraph]), ""]
    lines[:] = made


def _paragraphs(lines: list[str]) -> list[list[str]]:
    """Runs of lines that are not blank. A section begins a new one."""
    found: list[list[str]] = [[]]
    for line in lines:
        if not line.strip() or _SECTION.match(line):
            found.append([])
        if line.strip():
            found[-1].append(line)
    return [paragraph for paragraph in found if paragraph]


def _escaped(paragraph: list[str]) -> list[str]:
    """Code, which may run over the end of a line, becomes a literal; all else stands for itself."""
    text, parts, end = "\n".join(paragraph), [], 0
    for match in _LITERAL.finditer(text):
        parts += [_without_markup(text[end : match.start()]), f"``{match[2]}``"]
        end = match.end()
    return "".join([*parts, _without_markup(text[end:])]).split("\n")


def _without_markup(text: str) -> str:
    """Asterisks, bars and trailing underscores stand for themselves."""
    return re.sub(r"([*|\\]|(?<=\w)_(?!\w))", r"\\\1", text)
