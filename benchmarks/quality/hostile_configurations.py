"""Every field of others' configurations, with values of every kind: read, or refused in one line.

python -m benchmarks.quality.hostile_configurations

Each field of each JSON file of the tiny networks in tests/golden is given values that do not belong
there. The reader may take them or raise a ValueError; whatever else it raises is printed.
"""

import collections
import functools
import json
import math
import pathlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

from absl import app

from examine_jax.models.weights import read_network

_GOLDEN = pathlib.Path(__file__).parents[2] / "tests" / "golden"
_FOLDERS = ("encoders_clip_convnext", "encoders_vit", "encoders_beit_eva", "encoders_swin_sam")
_FOLDERS += ("encoders_conch", "weights")
_VALUES: tuple[Any, ...] = (
    None,
    "x",
    "gelu",
    [],
    [1, 2],
    {},
    {"a": 1},
    True,
    -1,
    0,
    3,
    2.5,
    10**9,
    1e30,
    math.nan,
)
_VALUES += (10**400, -math.inf, "9" * 5000, [[1]], [None])


def _paths(content: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in content.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from _paths(value, (*above, name))


def _try(folder: pathlib.Path, counts: "collections.Counter[str]") -> None:
    for file in sorted(folder.glob("*.json")):
        text = file.read_text()
        for path in _paths(json.loads(text)):
            for value in _VALUES:
                content = json.loads(text)
                inner = functools.reduce(lambda part, name: part[name], path[:-1], content)
                inner[path[-1]] = value
                file.write_text(json.dumps(content))
                try:
                    read_network(folder)
                    counts["read"] += 1
                except ValueError:
                    counts["refused"] += 1
                except Exception as error:
                    counts["crashed"] += 1
                    place = f"{folder.name}/{file.name}: {'.'.join(path)} = {value!r}"
                    print(f"{place}: {type(error).__name__}: {error}", flush=True)
        file.write_text(text)


def main(_: list[str]) -> None:
    counts: collections.Counter[str] = collections.Counter()
    for parent in _FOLDERS:
        for source in sorted((_GOLDEN / parent).iterdir()):
            if source.is_dir():
                with tempfile.TemporaryDirectory() as temporary:
                    folder = pathlib.Path(temporary) / source.name
                    shutil.copytree(source, folder)
                    _try(folder, counts)
    print(dict(counts))
    if counts["crashed"]:
        raise SystemExit(1)


if __name__ == "__main__":
    app.run(main)
