"""The scoring job: tables as `examine` would fill them; nothing written where anything is wrong."""

import csv
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from examine_jax.jobs.score import GROUPS_HEADER, NEWCOMERS_HEADER, ScoreSettings, score_features
from examine_jax.reporting.tables import SCORES_HEADER
from examine_jax.scoring.summary import SpectralSummary
from tests.support.spectra import reference_gaps, top_singular_value

ROWS, WIDTH = 50, 6
FEATURES = (np.random.default_rng(0).normal(size=(ROWS, WIDTH)) + 2).astype(np.float32)
FEATURES[7] = FEATURES[3]  # a tie


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    np.save(tmp_path / "f.npy", FEATURES)
    return tmp_path


def _table(path: pathlib.Path) -> dict[str, list]:
    with open(path, newline="", encoding="utf-8") as stream:
        header, *records = csv.reader(stream)
    return dict(zip(header, map(list, zip(*records))))


def _score(*arguments: object, **settings: object):  # type: ignore[no-untyped-def]
    return score_features(ScoreSettings(*arguments, **settings), progress=False)


@pytest.mark.parametrize("center", [False, True], ids=["as-is", "centred"])
def test_the_table_holds_the_gaps_of_svds_with_the_row_deleted(
    folder: pathlib.Path, center: bool
) -> None:
    (folder / "names.txt").write_text("".join(f"{index}, x.png\n" for index in range(ROWS)))
    found = _score(folder / "f.npy", folder / "s.csv", center=center)
    table = _table(folder / "s.csv")
    assert tuple(table) == SCORES_HEADER
    assert table["image"] == [f"{index}, x.png" for index in range(ROWS)]
    assert table["index"] == [str(index) for index in range(ROWS)]
    exact, _ = reference_gaps(FEATURES, center)
    gap = np.array(table["gap"], np.float32)
    assert np.abs(gap - exact).max() <= 1e-6 * exact.max()
    np.testing.assert_array_equal(gap, found.gap)  # written digits read back as the same numbers
    np.testing.assert_array_equal(np.array(table["score"], np.float32), found.score)
    np.testing.assert_array_equal(np.array(table["error_bound"], np.float32), found.error_bound)
    rank = np.array(table["rank"], int)
    np.testing.assert_array_equal(np.argsort(rank), np.argsort(gap, kind="stable"))
    assert rank[7] == rank[3] + 1
    assert rank.min() == 1


def test_shards_in_parquet_score_as_the_matrix_and_are_written_as_parquet(
    folder: pathlib.Path,
) -> None:
    (folder / "shards").mkdir()
    for start, end, name in ((0, 20, "a"), (20, ROWS, "b")):
        lists = pa.FixedSizeListArray.from_arrays(pa.array(FEATURES[start:end].ravel()), WIDTH)
        names = [f"{index}.png" for index in range(start, end)]
        pq.write_table(
            pa.table({"image": names, "features": lists}), folder / "shards" / f"{name}.parquet"
        )
    found = _score(folder / "shards", folder / "s.parquet")
    table = pq.read_table(folder / "s.parquet")
    assert tuple(table.column_names) == SCORES_HEADER
    assert table["image"].to_pylist() == [f"{index}.png" for index in range(ROWS)]
    assert table["gap"].type == pa.float32()
    np.testing.assert_array_equal(table["gap"].to_numpy(), found.gap)
    np.testing.assert_array_equal(found.gap, _score(folder / "f.npy", folder / "s.csv").gap)


def test_newcomers_are_scored_against_a_saved_summary_and_join_it(folder: pathlib.Path) -> None:
    np.save(folder / "old.npy", FEATURES[:40])
    np.save(folder / "new.npy", FEATURES[40:])
    _score(folder / "old.npy", folder / "old.csv", save_summary=folder / "corpus.npz")
    _score(
        folder / "new.npy",
        folder / "new.csv",
        against=folder / "corpus.npz",
        save_summary=folder / "joined.npz",
    )
    table = _table(folder / "new.csv")
    assert tuple(table) == NEWCOMERS_HEADER
    assert table["image"] == [f"row {index}" for index in range(10)]
    exact = FEATURES.astype(np.float64)
    together = [top_singular_value(np.concatenate([exact[:40], row[None]])) for row in exact[40:]]
    np.testing.assert_allclose(np.array(table["singular_value_with"], float), together, rtol=2e-7)
    gaps = np.array(together) - top_singular_value(exact[:40])
    assert np.abs(np.array(table["gap"], float) - gaps).max() <= 1e-6 * gaps.max()
    assert [int(rank) for rank in table["rank"]] == [sorted(gaps).index(gap) + 1 for gap in gaps]
    joined = SpectralSummary.load(folder / "joined.npz")
    assert float(joined.count) == ROWS
    np.testing.assert_allclose(
        np.asarray(joined.mean) / float(joined.scale), exact.mean(0), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"output": "s.json"}, r"must end in \.csv or \.parquet"),
        ({"output": "none/s.csv"}, "there is no folder"),
        ({"save_summary": "none/s.npz"}, "there is no folder"),
        ({"save_summary": "f.npy"}, "would be overwritten"),
        ({"save_summary": "s.csv"}, "cannot both be"),
        ({"names": "s.csv"}, "would be overwritten"),
        ({"features": ".", "output": "s.csv"}, "among the features' own shards"),
    ],
)
def test_settings_that_would_harm_the_inputs_are_refused(
    folder: pathlib.Path, settings: dict[str, str], reason: str
) -> None:
    paths = {
        name: folder / path
        for name, path in {"features": "f.npy", "output": "s.csv", **settings}.items()
    }
    with pytest.raises(ValueError, match=reason):
        ScoreSettings(**paths)


@pytest.mark.parametrize(
    ("broken", "settings", "reason"),
    [
        ("f.npy", {}, r"f\.npy holds NaN or infinite entries in its rows 9"),
        ("names.txt", {}, "1 names for 50 rows"),
        (
            "corpus.npz",
            {"against": "corpus.npz"},
            r"corpus\.npz is not a readable spectral summary",
        ),
        ("one.npy", {"features": "one.npy"}, "at least two rows"),
        (
            "other.npz",
            {"against": "other.npz"},
            r"other\.npz summarises features with 3 columns, .* has 6",
        ),
    ],
)
def test_nothing_is_written_where_an_input_is_bad(
    folder: pathlib.Path, broken: str, settings: dict[str, str], reason: str
) -> None:
    if broken == "f.npy":
        bad = FEATURES.copy()
        bad[9, 2] = np.nan
        np.save(folder / "f.npy", bad)
    elif broken == "one.npy":
        np.save(folder / "one.npy", FEATURES[:1])
    elif broken == "other.npz":
        SpectralSummary.of(FEATURES[:, :3]).save(folder / "other.npz")
    else:
        (folder / broken).write_text("a\n")
    before = sorted(folder.iterdir())
    paths = {name: folder / path for name, path in {"features": "f.npy", **settings}.items()}
    with pytest.raises(ValueError, match=reason) as raised:
        _score(output=folder / "s.csv", save_summary=folder / "s.npz", **paths)
    assert "\n" not in str(raised.value)
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("keyed_by", ["image", "index"])
def test_groups_leave_whole_patients_out(folder: pathlib.Path, keyed_by: str) -> None:
    patients = np.random.default_rng(1).integers(0, 4, ROWS)
    keys = [f"{row}.png" if keyed_by == "image" else str(row) for row in range(ROWS)]
    (folder / "names.txt").write_text("".join(f"{row}.png\n" for row in range(ROWS)))
    lines = [f"{key},p{patient}\n" for key, patient in zip(keys, patients)]
    (folder / "groups.csv").write_text(f"{keyed_by},patient\n" + "".join(lines[::-1]))
    _score(folder / "f.npy", folder / "s.csv", groups=folder / "groups.csv", group_column="patient")
    table = _table(folder / "s.csv")
    assert tuple(table) == GROUPS_HEADER
    assert table["group"] == ["p0", "p1", "p2", "p3"]
    assert [int(count) for count in table["images"]] == [
        int(np.sum(patients == patient)) for patient in range(4)
    ]
    rows = FEATURES.astype(np.float64)
    sigma = top_singular_value(rows)
    exact = [sigma - top_singular_value(rows[patients != patient]) for patient in range(4)]
    np.testing.assert_allclose(np.array(table["gap"], float), exact, rtol=1e-6)
    assert [int(rank) for rank in table["rank"]] == (np.argsort(np.argsort(exact)) + 1).tolist()


def test_groups_that_do_not_fit_the_rows_are_refused_and_nothing_is_written(
    folder: pathlib.Path,
) -> None:
    groups = folder / "groups.csv"
    groups.write_text("index,group\n" + "".join(f"{row},a\n" for row in range(ROWS - 1)))
    with pytest.raises(ValueError, match=rf"groups.csv has no row for '{ROWS - 1}'"):
        _score(folder / "f.npy", folder / "s.csv", groups=groups)
    groups.write_text("image,group\n" + "".join(f"{row}.png,a\n" for row in range(ROWS)))
    with pytest.raises(ValueError, match=r"names images, the features have no names"):
        _score(folder / "f.npy", folder / "s.csv", groups=groups)
    with pytest.raises(ValueError, match=r"neither a summary"):
        _score(folder / "f.npy", folder / "s.csv", groups=groups, save_summary=folder / "c.npz")
    assert not (folder / "s.csv").exists()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("center", [False, True], ids=["as-is", "centred"])
def test_few_rows_of_many_columns_are_scored_by_their_own_number(
    tmp_path: pathlib.Path, center: bool, dtype: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = (np.random.default_rng(1).normal(size=(12, 300)) + 0.5).astype(dtype)
    np.save(tmp_path / "f.npy", features)
    found = _score(tmp_path / "f.npy", tmp_path / "s.csv", center=center)
    exact, _ = reference_gaps(features, center)
    assert np.asarray(found.gap).dtype == dtype
    assert (np.abs(found.gap - exact) <= found.error_bound).all()
    assert np.abs(found.gap - exact).max() <= 1e-6 * exact.max()
    summary = tmp_path / "summary.npz"
    again = _score(tmp_path / "f.npy", tmp_path / "t.csv", center=center, save_summary=summary)
    np.testing.assert_array_equal(again.gap, found.gap)
    assert int(SpectralSummary.load(summary).count) == 12
    # No matrix of columns x columns is made, whose eigenvectors would take minutes.
    monkeypatch.setattr("examine_jax.jobs.score.summarise_together", None)
    assert (tmp_path / "s.csv").read_bytes() == (tmp_path / "t.csv").read_bytes()
    _score(tmp_path / "f.npy", tmp_path / "u.csv", center=center)
