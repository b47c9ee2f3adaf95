"""The rooms of the package: imports go towards earlier rooms alone, and never in a circle."""

import ast
import functools
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / "examine_jax"
# In the order in which data flow; each room may use those before it. docs/architecture gives the
# reasons.
ROOMS = (
    "common",
    "images",
    "labelled",
    "scoring",
    "models",
    "features",
    "influence",
    "quality",
    "training",
    "pretraining",
    "encoders",
    "selection",
    "valuation",
    "evaluation",
    "detection",
    "reporting",
    "studies",
    "jobs",
)
# Packages that one room alone may import.
ONE_ROOM = {
    "flax": "models",
    "orbax": "training",
    "pydicom": "images",
    "nibabel": "images",
    "openslide": "images",
}


@functools.cache
def modules() -> dict[str, pathlib.Path]:
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@functools.cache
def imports_of(file: pathlib.Path) -> tuple[tuple[str, str], ...]:
    """(module, name) of every import of a file, those inside functions too.

    The name is empty for a plain `import`. Each file is parsed once.
    """
    found: list[tuple[str, str]] = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            found += ((node.module or "", alias.name) for alias in node.names)
    return tuple(found)


def room_of(module: str) -> str:
    return module.split(".")[1]


def test_every_module_lies_in_a_room() -> None:
    loose = [file.name for file in PACKAGE.glob("*.py") if file.name != "__init__.py"]
    assert not loose
    folders = {file.parent.name for file in PACKAGE.glob("*/__init__.py")}
    assert folders <= set(ROOMS)


def test_imports_go_to_earlier_rooms_alone() -> None:
    against = []
    for module, file in modules().items():
        if module == "examine_jax":
            continue  # the package's own names, imported when asked for
        for other, _ in imports_of(file):
            if not other.startswith("examine_jax"):
                continue
            if other == "examine_jax":
                against.append(f"{module} imports the package as a whole")
            elif ROOMS.index(room_of(other)) > ROOMS.index(room_of(module)):
                against.append(f"{module} imports {other}")
    assert not against


def test_no_modules_import_one_another_in_a_circle() -> None:
    known = modules()
    arrows: dict[str, set[str]] = {}
    for module, file in known.items():
        if module == "examine_jax":
            continue
        targets = (
            f"{other}.{name}" if f"{other}.{name}" in known else other
            for other, name in imports_of(file)
        )
        arrows[module] = {target for target in targets if target in known} - {module}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"circle: {' -> '.join((*path[path.index(module) :], module))}"
        if module in done:
            return
        for target in sorted(arrows.get(module, ())):
            visit(target, (*path, module))
        done.add(module)

    for module in arrows:
        # A package's own __init__ gathers the names of its modules: it is no part of a circle among
        # them.
        if known[module].name != "__init__.py":
            visit(module, ())


@pytest.mark.parametrize(("package", "room"), ONE_ROOM.items())
def test_a_package_is_imported_by_one_room_alone(package: str, room: str) -> None:
    users = {
        room_of(module)
        for module, file in modules().items()
        if module != "examine_jax"
        for other, _ in imports_of(file)
        if other.split(".")[0] == package
    }
    assert users <= {room}


def test_the_scorer_uses_jax_and_numpy_alone() -> None:
    allowed = {"examine_jax", "jax", "numpy"}
    used = set()
    for module, file in modules().items():
        if module.startswith("examine_jax.scoring"):
            used |= {other.split(".")[0] for other, _ in imports_of(file)}
    assert used - allowed <= set(__import__("sys").stdlib_module_names)


def test_no_export_is_named_like_its_module() -> None:
    """`from examine_jax.room import name` is either always a module or always a function."""
    shadowed = []
    for file in PACKAGE.rglob("__init__.py"):
        if file.parent == PACKAGE:
            continue
        beside = {other.stem for other in file.parent.glob("*.py")} | {
            folder.parent.name for folder in file.parent.glob("*/__init__.py")
        }
        for other, name in imports_of(file):
            if other.startswith("examine_jax") and name in beside:
                shadowed.append(f"{file.relative_to(ROOT)}: {name}")
    assert not shadowed
