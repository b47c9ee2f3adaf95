"""Features in one or many files are read as they were saved; an error names the file."""

import pathlib
import pickle
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from examine_jax.features.feature_chunks import open_features

FEATURES = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
NAMES = [f"{index}.png" for index in range(20)]


def _lists(path: pathlib.Path, rows: np.ndarray, fixed: bool = True, **columns: list) -> None:
    flat = pa.array(rows.ravel())
    if fixed:
        features = pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])
    else:
        features = pa.ListArray.from_arrays(np.arange(len(rows) + 1) * rows.shape[1], flat)
    pq.write_table(
        pa.table({"label": pa.array(range(len(rows))), "features": features, **columns}),
        path,
        row_group_size=7,
    )


def _columns(path: pathlib.Path, rows: np.ndarray, **columns: list) -> None:
    pq.write_table(
        pa.table({**columns, **{f"f{index}": column for index, column in enumerate(rows.T)}}), path
    )


def _big_endian(path: pathlib.Path, rows: np.ndarray) -> None:
    np.save(path, rows.astype(rows.dtype.newbyteorder(">")))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize(
    ("ending", "write"),
    [
        ("npy", np.save),
        ("npy", _big_endian),
        ("npy", lambda path, rows: np.save(path, np.asfortranarray(rows))),
        ("parquet", _lists),
        ("parquet", lambda path, rows: _lists(path, rows, fixed=False)),
        ("parquet", _columns),
    ],
    ids=["npy", "big-endian", "fortran-order", "fixed-lists", "lists", "columns"],
)
def test_features_are_read_as_they_were_saved_again_and_again(
    ending: str, write: Callable, dtype: type, tmp_path: pathlib.Path
) -> None:
    rows = FEATURES.astype(dtype)
    write(tmp_path / f"b.{ending}", rows[8:])
    write(tmp_path / f"a.{ending}", rows[:8])
    (tmp_path / "readme.txt").write_text("not a shard")
    chunks = open_features(tmp_path)
    assert (chunks.rows, chunks.width, chunks.dtype) == (20, 3, dtype)
    for _ in range(2):
        read = list(chunks)
        assert all(chunk.dtype == dtype for chunk in read)
        np.testing.assert_array_equal(np.concatenate(read), rows)
    np.testing.assert_array_equal(
        np.concatenate(list(open_features(tmp_path / f"b.{ending}"))), rows[8:]
    )


def test_large_shards_come_in_parts(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("examine_jax.features.feature_chunks._CHUNK_BYTES", 6 * 12)
    np.save(tmp_path / "a.npy", FEATURES)
    _lists(tmp_path / "a.parquet", FEATURES)
    for name in ("a.npy", "a.parquet"):
        read = list(open_features(tmp_path / name))
        assert max(map(len, read)) <= 6
        np.testing.assert_array_equal(np.concatenate(read), FEATURES)


def test_names_come_from_a_parquet_column(tmp_path: pathlib.Path) -> None:
    _lists(tmp_path / "a.parquet", FEATURES[:8], image=NAMES[:8])
    _lists(tmp_path / "b.parquet", FEATURES[8:], image=NAMES[8:])
    assert open_features(tmp_path).image_names() == NAMES
    assert open_features(tmp_path).image_names("file") is None
    _lists(tmp_path / "c.parquet", FEATURES)
    with pytest.raises(ValueError, match=r"c\.parquet has no column image"):
        open_features(tmp_path).image_names()
    np.save(tmp_path / "a.npy", FEATURES)
    assert open_features(tmp_path / "a.npy").image_names() is None


def _cut(path: pathlib.Path, length: int = 40) -> None:
    path.write_bytes(path.read_bytes()[:-length])


def _with(rows: np.ndarray, row: int, value: float) -> np.ndarray:
    rows = rows.copy()
    rows[row, 1] = value
    return rows


def _npz(path: pathlib.Path) -> None:
    np.savez(path.with_suffix(".npz"), FEATURES)
    path.with_suffix(".npz").rename(path)


def _damaged_parquet(path: pathlib.Path) -> None:
    _lists(path, np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32))
    content = bytearray(path.read_bytes())
    content[2000:2200] = b"\xff" * 200
    path.write_bytes(content)


def _missing_entry(path: pathlib.Path) -> None:
    pq.write_table(pa.table({"features": [[1.0, 2, 3], [1, None, 3]]}), path)


BAD = {
    "truncated.npy": (lambda p: (np.save(p, FEATURES), _cut(p)), "cut short"),
    "header.npy": (lambda p: p.write_bytes(b"\x93NUMPY\x01\x00v\x00{'desc"), "cut short"),
    "empty-file.npy": (lambda p: p.write_bytes(b""), "cut short"),
    "pickle.npy": (lambda p: p.write_bytes(pickle.dumps(FEATURES)), "no .npy file"),
    "objects.npy": (lambda p: np.save(p, np.array([[print]], object)), "no .npy file"),
    "archive.npy": (_npz, "several arrays"),
    "flat.npy": (lambda p: np.save(p, FEATURES.ravel()), r"shape \(60,\)"),
    "no-rows.npy": (lambda p: np.save(p, FEATURES[:0]), r"shape \(0, 3\)"),
    "integers.npy": (lambda p: np.save(p, np.ones((4, 3), int)), "int64"),
    "wider.npy": (
        lambda p: np.save(p, np.ones((4, 5), np.float32)),
        "has 5 columns of float32, .* has 3",
    ),
    "double.npy": (lambda p: np.save(p, np.ones((4, 3))), "has 3 columns of float64"),
    "nan.npy": (lambda p: np.save(p, _with(FEATURES, 7, np.nan)), "its rows 7:"),
    "inf.npy": (
        lambda p: np.save(p, _with(_with(FEATURES, 7, np.inf), 9, -np.inf)),
        "its rows 7, 9:",
    ),
    "truncated.parquet": (lambda p: (_lists(p, FEATURES), _cut(p)), "no Parquet file"),
    "empty-file.parquet": (lambda p: p.write_bytes(b""), "no Parquet file"),
    "damaged.parquet": (_damaged_parquet, "damaged"),
    "no-rows.parquet": (lambda p: _lists(p, FEATURES[:0]), "no rows"),
    "strings.parquet": (
        lambda p: pq.write_table(pa.table({"image": NAMES}), p),
        "columns of floats",
    ),
    "two-lists.parquet": (
        lambda p: _lists(p, FEATURES, more=[[1.0]] * 20),
        "found 2 columns of lists",
    ),
    "two-types.parquet": (lambda p: _columns(p, FEATURES, other=[1.0] * 20), "not all of one type"),
    "ragged.parquet": (
        lambda p: pq.write_table(pa.table({"f": [[1.0, 2], [3.0]]}), p),
        "row 1 has 1 features",
    ),
    "missing-row.parquet": (
        lambda p: pq.write_table(pa.table({"f": [[1.0, 2], None]}), p),
        "row 1 has no f",
    ),
    "missing-entry.parquet": (_missing_entry, "row 1 lacks a feature"),
    "nan.parquet": (lambda p: _lists(p, _with(FEATURES, 7, np.nan)), "its rows 7:"),
    "wider.parquet": (lambda p: _lists(p, np.ones((4, 5), np.float32)), "has 5 columns of float32"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_shard_is_named_with_the_reason(name: str, tmp_path: pathlib.Path) -> None:
    write, reason = BAD[name]
    write(tmp_path / name)
    if name.startswith(("wider", "double")):
        (np.save if name.endswith("npy") else _lists)(
            tmp_path / f"a{pathlib.Path(name).suffix}", FEATURES
        )
    with pytest.raises(ValueError, match=reason) as raised:
        list(open_features(tmp_path))
    assert name in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_path_that_holds_no_features_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"holds no \.npy or \.parquet"):
        open_features(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_features(tmp_path / "none.npy")
    with pytest.raises(FileNotFoundError):
        open_features(tmp_path / "none.parquet")
    with pytest.raises(FileNotFoundError):
        open_features(tmp_path / "none")
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(ValueError, match=r"\.npy and \.parquet files"):
        open_features(tmp_path / "a.csv")
    np.save(tmp_path / "a.npy", FEATURES)
    _lists(tmp_path / "b.parquet", FEATURES)
    with pytest.raises(ValueError, match="a folder of their own"):
        open_features(tmp_path)


def test_a_shard_that_changes_while_it_is_read_is_named(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "a.npy", FEATURES)
    _lists(tmp_path / "b.parquet", FEATURES)
    opened = [open_features(tmp_path / "a.npy"), open_features(tmp_path / "b.parquet")]
    np.save(tmp_path / "a.npy", FEATURES[:5])
    _lists(tmp_path / "b.parquet", FEATURES[:5])
    for chunks in opened:
        with pytest.raises(ValueError, match="has changed while it was read"):
            list(chunks)
