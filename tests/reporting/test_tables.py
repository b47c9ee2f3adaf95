"""Tables keep names and numbers unchanged."""

import csv
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata

from examine_jax.reporting import tables
from tests.support.names import HOSTILE_NAMES


def _read(path):
    with open(path, newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_have_the_documented_columns_and_exact_values(dtype, tmp_path):
    generator = np.random.default_rng(0)
    count = 500
    gap = (10.0 ** generator.uniform(-30, 5, count)).astype(dtype)
    score, bound = np.exp(-gap), (gap * 1e-7).astype(dtype)
    names = [f"image {index}" for index in range(count)]
    tables.write_scores(tmp_path / "scores.csv", names, score, gap, bound, tables.rank_by_gap(gap))
    header, *rows = _read(tmp_path / "scores.csv")
    assert header == [
        *("image", "index", "score", "gap", "error_bound", "rank"),
        *("modality", "rank_in_modality", "usable", "outlier", "findings"),
    ]
    columns = list(zip(*rows, strict=True))
    assert list(columns[0]) == names
    assert list(map(int, columns[1])) == list(range(count))
    for column, values in ((2, score), (3, gap), (4, bound)):
        np.testing.assert_array_equal(np.array(columns[column], dtype=dtype), values)
    np.testing.assert_array_equal(np.array(columns[5], dtype=int), rankdata(gap, method="ordinal"))


def test_usability_is_written_beside_the_scores(tmp_path):
    gap = np.array([0.2, 0.1])
    found = types.SimpleNamespace(
        usable=np.array([True, False]),
        outlier=np.array([0.5, 1 / 3]),
        findings=((), ("blurred", "noisy")),
    )
    columns = (["a", "b"], gap, gap, gap, np.array([2, 1]))
    tables.write_scores(tmp_path / "s.csv", *columns, found)
    assert [row[8:] for row in _read(tmp_path / "s.csv")[1:]] == [
        ["1", "0.5", ""],
        ["0", str(1 / 3), "blurred;noisy"],
    ]
    tables.write_scores(tmp_path / "s.csv", *columns)
    assert [row[8:] for row in _read(tmp_path / "s.csv")[1:]] == [["", "", ""]] * 2
    found.usable = np.array([True])
    with pytest.raises(ValueError, match="findings for 1 of 2"):
        tables.write_scores(tmp_path / "s.csv", *columns, found)


def test_modalities_are_written_beside_the_ranks(tmp_path):
    gap = np.array([0.2, 0.1, 0.3])
    columns = (["a", "b", "c"], gap, gap, gap, np.array([2, 1, 3]))
    tables.write_scores(
        tmp_path / "s.csv",
        *columns,
        modalities=("CT", "", "CT"),
        rank_in_modality=np.array([1, 1, 2]),
    )
    rows = _read(tmp_path / "s.csv")
    assert [row[6:8] for row in rows] == [
        ["modality", "rank_in_modality"],
        *(["CT", "1"], ["", ""], ["CT", "2"]),
    ]
    tables.write_scores(tmp_path / "s.csv", *columns)
    assert [row[6:8] for row in _read(tmp_path / "s.csv")[1:]] == [["", ""]] * 3


def test_half_precision_is_written_as_float32(tmp_path):
    import ml_dtypes

    for dtype in (np.float16, ml_dtypes.bfloat16):
        gap = np.array([0.1, 3.0], dtype)
        tables.write_scores(tmp_path / "s.csv", ["a", "b"], gap, gap, gap, np.array([1, 2]))
        written = np.array([row[3] for row in _read(tmp_path / "s.csv")[1:]], np.float32)
        np.testing.assert_array_equal(written, gap.astype(np.float32))


def test_hostile_names_come_back_from_csv_unchanged(tmp_path):
    count = len(HOSTILE_NAMES)
    values = np.arange(count, dtype=np.float32)
    tables.write_scores(
        tmp_path / "s.csv", HOSTILE_NAMES, values, values, values, tables.rank_by_gap(values)
    )
    rows = _read(tmp_path / "s.csv")
    assert [row[0] for row in rows[1:]] == list(HOSTILE_NAMES)
    assert {len(row) for row in rows} == {11}


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1))
def test_any_text_comes_back_from_csv_unchanged(tmp_path_factory, names):
    path = tmp_path_factory.mktemp("any") / "t.csv"
    tables.write_table(
        path, ("name", "also", "number"), [(name, name[::-1], 1.5) for name in names]
    )
    assert _read(path)[1:] == [[name, name[::-1], "1.5"] for name in names]


def test_invalid_utf8_in_a_name_is_escaped(tmp_path):
    tables.write_table(tmp_path / "t.csv", ("image", "x"), [("bad\udcff,name", 1)])
    assert _read(tmp_path / "t.csv")[1] == ["bad\\udcff,name", "1"]


def test_skipped_files_are_listed_with_their_reasons(tmp_path):
    skipped = [
        types.SimpleNamespace(name=name, reason='not an image: "x", y') for name in HOSTILE_NAMES
    ]
    tables.write_skipped(tmp_path / "skipped.csv", skipped)
    header, *rows = _read(tmp_path / "skipped.csv")
    assert header == ["image", "reason"]
    assert rows == [[file.name, file.reason] for file in skipped]


def test_noise_levels_are_written_with_the_scores(tmp_path):
    gap = np.array([0.2, 0.1], np.float32)
    tables.write_noise_levels(
        tmp_path / "n.csv", ["a", "b"], np.array([0.1, 0.0]), np.exp(-gap), gap, np.array([2, 1])
    )
    assert _read(tmp_path / "n.csv") == [
        ["image", "index", "level", "score", "gap", "rank"],
        ["a", "0", "0.1", str(np.exp(-gap[0])), "0.2", "2"],
        ["b", "1", "0.0", str(np.exp(-gap[1])), "0.1", "1"],
    ]


def test_ties_are_ranked_by_index():
    gap = np.array([0.5, 0.0, 0.5, -0.0, 0.5], np.float32)
    assert tables.rank_by_gap(gap).tolist() == [3, 1, 4, 2, 5]
    assert tables.rank_by_gap(np.zeros(0, np.float32)).tolist() == []


def test_nan_gaps_are_refused_by_row():
    with pytest.raises(ValueError, match="rows 1, 3"):
        tables.rank_by_gap(np.array([0.0, np.nan, 1.0, np.nan]))


@pytest.mark.parametrize(
    ("names", "rank", "message"),
    [
        (["a"], [1, 2], "1 names for 2 rows"),
        (["a", "b"], [1, 1], "no permutation"),
        (["a", "b"], [0, 1], "no permutation"),
    ],
)
def test_mismatched_columns_are_refused_before_writing(names, rank, message, tmp_path):
    values = np.zeros(2, np.float32)
    with pytest.raises(ValueError, match=message):
        tables.write_scores(tmp_path / "s.csv", names, values, values, values, np.array(rank))
    assert not list(tmp_path.iterdir())


def test_a_row_of_wrong_length_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="3 fields where the header has 2"):
        tables.write_table(tmp_path / "t.csv", ("a", "b"), [(1, 2), (1, 2, 3)])
    assert not list(tmp_path.iterdir())


def test_formula_like_names_are_found():
    assert {name[0] for name in tables.formula_like(HOSTILE_NAMES)} == {"=", "-", "@"}
    assert tables.formula_like(["a=b", "x"]) == ()
