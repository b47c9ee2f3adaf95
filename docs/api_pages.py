"""One page of the API a room: written at each build, so that no page lags behind the package."""

import importlib
import importlib.util
import pathlib
import pkgutil
import re
import types
from typing import Any

ROOMS = (
    *("common", "images", "labelled", "scoring", "models", "features", "influence", "quality", "training"),
    *("pretraining", "encoders", "selection", "valuation", "evaluation", "detection", "reporting", "studies", "jobs"),
)
# Numerics that nobody imports from outside the package.
_PRIVATE = {"examine_jax.scoring.equations"}

_SECTION = re.compile(r"^(\s*)(Args|Attributes|Returns|Raises|Source|Yields|Note|Example|Examples):\s*(\S.*)?$")
_LITERAL = re.compile(r"(`+)(.+?)\1")


def write(folder: pathlib.Path) -> None:
    """A page for each room that is there, and the list of them."""
    folder.mkdir(exist_ok=True)
    rooms = [room for room in ROOMS if _found(f"examine_jax.{room}")]
    names = "\n".join(rooms)
    _write(
        folder / "index.md",
        f"# API\n\nOne page a room, in the order in which data flow.\n\n```{{toctree}}\n{names}\n```\n",
    )
    for room in rooms:
        _write(folder / f"{room}.md", _page(f"examine_jax.{room}"))


def _page(name: str) -> str:
    """What the room exports; modules whose objects the room does not export follow one by one."""
    room = importlib.import_module(name)
    lines = [f"# {name}", "", "```{eval-rst}", f".. automodule:: {name}"]
    if getattr(room, "__all__", None):
        lines += ["   :members:"]
    exported = {id(getattr(room, member)) for member in getattr(room, "__all__", ())}
    for module in _modules(room):
        own = [
            key for key, value in vars(module).items() if _documented(module, key, value) and id(value) not in exported
        ]
        if own:
            title = module.__name__.removeprefix(f"{name}.")
            lines += [
                "",
                title,
                "-" * len(title),
                "",
                f".. automodule:: {module.__name__}",
                f"   :members: {', '.join(own)}",
            ]
    return "\n".join([*lines, "```", ""])


def _modules(room: types.ModuleType) -> list[types.ModuleType]:
    found = pkgutil.walk_packages(room.__path__, f"{room.__name__}.")
    names = sorted(module.name for module in found)
    public = [name for name in names if not any(name.startswith(private) for private in _PRIVATE)]
    return [importlib.import_module(name) for name in public if not name.rpartition(".")[2].startswith("_")]


def _documented(module: types.ModuleType, key: str, value: Any) -> bool:
    own = getattr(value, "__module__", None) == module.__name__
    return own and not key.startswith("_") and (isinstance(value, type) or callable(value)) and bool(value.__doc__)


def _found(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _write(path: pathlib.Path, text: str) -> None:
    """Written only if it changed, or every build would build every page."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def process_docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Make a docstring's plain text valid reStructuredText.

    Docstrings here are written to be read as text: code stands between single backticks, and mathematics may hold `|x|`
    and `x*`. Indented formulas become literal blocks.
    """
    lines[:] = _formulas([_escaped(line) for line in lines])


def _escaped(line: str) -> str:
    if line.lstrip().startswith(".. "):
        return line
    parts, end = [], 0
    for match in _LITERAL.finditer(line):
        parts += [_without_markup(line[end : match.start()]), f"``{match[2]}``"]
        end = match.end()
    return "".join([*parts, _without_markup(line[end:])])


def _without_markup(text: str) -> str:
    """Asterisks, bars and trailing underscores stand for themselves."""
    return re.sub(r"([*|\\]|(?<=\w)_(?!\w))", r"\\\1", text)


def _formulas(lines: list[str]) -> list[str]:
    """A paragraph that is indented deeper than the one before it, outside sections, is a formula: shown as it stands."""
    made: list[str] = []
    margin, in_section, formula = 0, False, False
    for number, line in enumerate(lines):
        depth = len(line) - len(line.lstrip())
        if not line.strip():
            made.append(line)
            continue
        if _SECTION.match(line) and depth == 0:
            in_section = True
        elif depth == 0:
            in_section = False
        starts = number > 0 and not lines[number - 1].strip() and depth >= margin + 4
        if starts and not in_section and not formula:
            made += ["::", ""]
            formula = True
        elif formula and depth <= margin:
            formula = False
        if formula:
            line = re.sub(r"\\([*|\\_])", r"\1", line).replace("``", "`")
        else:
            margin = 0 if not in_section else margin
        made.append(line)
    return made
