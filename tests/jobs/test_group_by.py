"""Groups that names tell serve each job as a table of the same groups does."""

import pathlib

import numpy as np
import pytest

from examine_jax.jobs.assess.deciding import read_known
from examine_jax.jobs.assess.settings import DecisionSettings
from examine_jax.jobs.score import ScoreSettings, score_features
from examine_jax.jobs.select import SelectSettings, select_features

ROWS = 24
NAMES = [f"p{row % 3}/v{row % 6}.nii?z={row}" for row in range(ROWS)]
GROUPS = {"folder": [f"p{row % 3}" for row in range(ROWS)]}
GROUPS["file"] = [f"p{row % 3}/v{row % 6}.nii" for row in range(ROWS)]


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    features = np.random.default_rng(0).normal(size=(ROWS, 4)).astype(np.float32)
    np.save(tmp_path / "f.npy", features)
    (tmp_path / "f.names.txt").write_text("".join(f"{name}\n" for name in NAMES))
    for by, groups in GROUPS.items():
        lines = (f"{row},{group}\n" for row, group in enumerate(groups))
        (tmp_path / f"{by}.csv").write_text("index,group\n" + "".join(lines))
    return tmp_path


@pytest.mark.parametrize("by", list(GROUPS))
def test_names_group_as_a_table_does(folder: pathlib.Path, by: str) -> None:
    tables = []
    for name, settings in (("a", {"group_by": by}), ("b", {"groups": folder / f"{by}.csv"})):
        output = folder / f"{name}.csv"
        score_features(ScoreSettings(folder / "f.npy", output, **settings), progress=False)
        chosen = folder / f"{name}_chosen.csv"
        select_features(
            SelectSettings(folder / "f.npy", "3", chosen, per_group=1, **settings), progress=False
        )
        tables.append((output.read_text(), chosen.read_text()))
    assert tables[0] == tables[1]
    known = read_known(DecisionSettings(group_by=by), ROWS, NAMES)
    assert known.groups is not None
    assert known.groups.tolist() == GROUPS[by]


def test_a_table_and_names_are_not_both_given(folder: pathlib.Path) -> None:
    both = {"groups": folder / "file.csv", "group_by": "file"}
    with pytest.raises(ValueError, match="--groups and --group_by both say the groups"):
        DecisionSettings(**both)
    with pytest.raises(ValueError, match="--groups and --group_by both say the groups"):
        SelectSettings(folder / "f.npy", "3", folder / "o.csv", **both)
    with pytest.raises(ValueError, match="--groups and --group_by both say the groups"):
        ScoreSettings(folder / "f.npy", folder / "o.csv", **both)
    assert DecisionSettings(group_by="folder", per_group=1).per_group == 1
