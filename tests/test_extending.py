"""A valuer, a solver, an image source and a method from outside run through the commands."""

import csv
import json
import pathlib
from typing import Any

import numpy as np
import pytest

from examine_jax.scoring import examine
from tests.support.commands import run_here

OUTSIDE = '''
"""A package of somebody else's: one file, none of examine_jax's is changed."""

import dataclasses

import jax
import numpy as np

from examine_jax.images import ImageSet
from examine_jax.scoring import DenseSVD
from examine_jax.valuation import Valuation, ValuerEntry


@dataclasses.dataclass(frozen=True)
class Norm:
    """Each row's length."""

    def value(self, features, labels=None, key=None, *, on_progress=None, state=None):
        return Valuation(np.linalg.norm(features, axis=1).astype(np.float64))


@dataclasses.dataclass(frozen=True)
class ClassRate:
    """How frequent the row's class is in the validation set."""

    rates: tuple[float, ...]

    def value(self, features, labels=None, key=None, *, on_progress=None, state=None):
        return Valuation(np.array(self.rates)[labels])


def make(options, validation):
    return ClassRate(tuple((np.bincount(validation.labels) / len(validation.labels)).tolist()))


CLASS_RATE = ValuerEntry("class_rate", "how frequent the row's class is", make, needs="validation")


@dataclasses.dataclass(frozen=True)
class TwiceTheGap:
    """A solver whose results are easily recognised."""

    def solve(self, rows):
        found = DenseSVD().solve(rows)
        return found._replace(gap=2 * found.gap)


@dataclasses.dataclass(frozen=True)
class Stripes:
    """As many striped images as the name says."""

    on_demand: bool = False

    def recognises(self, name):
        return False

    def load(self, name, options):
        size = options.image_size
        period = 2 + np.arange(int(name))[:, None, None]
        lit = np.arange(size)[None, None, :] // period % 2
        grey = 255 * lit * np.ones((1, size, 1))
        pixels = np.repeat(grey[..., None], options.channels, axis=3).astype(np.uint8)
        return ImageSet(tuple(f"stripes {row}" for row in range(int(name))), pixels)

    def stream(self, name, options):
        raise ValueError("stripes are read whole")


STRIPES = Stripes()
'''


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("outside")
    (folder / "somebody.py").write_text(OUTSIDE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))  # as PYTHONPATH does for a command
        yield folder


def _columns(path: pathlib.Path) -> dict[str, list[str]]:
    with path.open(newline="") as stream:
        records = list(csv.DictReader(stream))
    return {name: [record[name] for record in records] for name in records[0]}


def test_a_valuer_from_outside_is_run_by_name(
    outside: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    features = np.random.default_rng(0).normal(size=(12, 3))
    np.save(tmp_path / "f.npy", features)
    np.save(tmp_path / "l.npy", np.arange(12) % 3 // 2)
    names = ["somebody:Norm", "somebody:CLASS_RATE", "knn_shapley"]
    flags = [
        f"--features={tmp_path / 'f.npy'}",
        f"--labels={tmp_path / 'l.npy'}",
        f"--workdir={tmp_path / 'out'}",
    ]
    code, output = run_here(
        "value", *flags, f"--valuers={','.join(names)}", "--folds=2", "--device=cpu"
    )
    assert code == 0, output
    found = _columns(tmp_path / "out" / "values.csv")
    assert list(found) == ["index", *names]
    np.testing.assert_allclose(np.array(found[names[0]], float), np.linalg.norm(features, axis=1))
    np.testing.assert_allclose(
        np.array(found[names[1]], float), np.where(np.arange(12) % 3 // 2, 1 / 3, 2 / 3)
    )
    assert "somebody:CLASS_RATE" in (tmp_path / "out" / "values.html").read_text()


def test_an_image_source_a_solver_and_a_method_from_outside_are_run_by_name(
    outside: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    flags = ["--images=somebody:STRIPES:6", "--method=tests.support.outside_method:BRIGHTNESS"]
    flags += [
        "--solver=somebody:TwiceTheGap",
        f"--workdir={tmp_path / 'out'}",
        "--preprocessing=none",
    ]
    code, output = run_here("assess", *flags, "--steps=1", "--image_size=16", "--device=cpu")
    assert code == 0, output
    recorded = json.loads((tmp_path / "out" / "config.json").read_text())
    assert recorded["images"] == "somebody:STRIPES:6", "a name is no path of this directory"
    found = _columns(tmp_path / "out" / "scores.csv")
    assert sorted(found["image"]) == [f"stripes {row}" for row in range(6)]
    features = np.load(tmp_path / "out" / "features.npy")
    by_index = dict(zip(map(int, found["index"]), map(float, found["gap"]), strict=True))
    gaps = np.array([by_index[row] for row in range(6)])
    np.testing.assert_allclose(gaps, 2 * np.asarray(examine(features).gap), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("command", "flags", "message"),
    [
        (
            "value",
            ["--features={0}/f.npy", "--valuers=somebody:STRIPES"],
            "valuer 'somebody:STRIPES' is a Stripes",
        ),
        (
            "value",
            ["--features={0}/f.npy", "--valuers=nobody:Norm"],
            "module nobody cannot be imported",
        ),
        ("assess", ["--images=somebody:Norm:3"], "image source 'somebody:Norm'"),
        (
            "assess",
            ["--features={0}/f.npy", "--solver=somebody:Nothing"],
            "somebody has no Nothing",
        ),
    ],
)
def test_what_is_no_such_thing_is_refused(
    outside: pathlib.Path, tmp_path: pathlib.Path, command: str, flags: list[str], message: str
) -> None:
    np.save(tmp_path / "f.npy", np.random.default_rng(0).normal(size=(6, 3)))
    given = [flag.format(tmp_path) for flag in flags]
    code, output = run_here(command, *given, f"--workdir={tmp_path / 'out'}", "--device=cpu")
    assert code == 1
    assert message in output, output
