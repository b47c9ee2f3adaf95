"""The places of tiles in tables, and in Parquet files of features."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from examine_jax.images.decoding.tiling import mark
from examine_jax.jobs.embed import _write_parquet
from examine_jax.jobs.slide_columns import slide_columns
from tests.support.slides import save_slide, tissue_on_glass

pytest.importorskip("openslide", reason="slides need examine-jax[slides]")
parquet = pytest.importorskip("pyarrow.parquet")


def test_tiles_have_a_place_and_a_resolution(tmp_path: pathlib.Path) -> None:
    save_slide(tmp_path / "a.svs", tissue_on_glass(), mpp=0.25)
    save_slide(tmp_path / "b.svs", tissue_on_glass())
    Image.new("RGB", (8, 8)).save(tmp_path / "c.png")
    names = ("a.svs" + mark(3, 4, 512), "b.svs" + mark(0, 256, 256), "c.png")
    hidden = ("s-1.svs" + mark(3, 4, 512), *names[1:])
    columns = slide_columns(tmp_path, names, hidden)
    assert columns == {
        "slide": ["s-1.svs", "b.svs", None],
        "x": [3, 0, None],
        "y": [4, 256, None],
        "width": [512, 256, None],
        "mpp": [pytest.approx(0.25), None, None],
    }
    features = np.arange(6, dtype=np.float32).reshape(3, 2)
    _write_parquet(tmp_path / "f.parquet", {"image": hidden, **columns}, features)
    table = parquet.read_table(tmp_path / "f.parquet")
    assert table.column_names == ["image", *columns, "features"]
    assert [str(kind) for kind in table.schema.types[1:6]] == [
        "string",
        "int64",
        "int64",
        "int64",
        "double",
    ]
    assert {name: table[name].to_pylist() for name in columns} == columns
    _write_parquet(tmp_path / "g.parquet", {"mpp": [None] * 3}, features)
    assert str(parquet.read_table(tmp_path / "g.parquet").schema.types[0]) == "double"
    assert np.array_equal(np.stack(table["features"].to_pylist()), features)


def test_pictures_have_no_places(tmp_path: pathlib.Path) -> None:
    assert slide_columns(tmp_path, ("a.png", "v.nii.gz?z=3"), ("a.png", "v.nii.gz?z=3")) == {}
