"""A sample of the damaged files that benchmarks/quality/mutated_files.py makes by the thousand."""

import pathlib

import numpy as np
import pytest

from benchmarks.quality.mutated_files import array_seeds, kind_of, picture_seeds, write_files
from examine_jax.images import load_array, load_folder
from examine_jax.images.sources.scan import scan_folder


def test_damaged_pictures_are_read_or_listed(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("pydicom", reason="DICOM needs examine-jax[dicom]")
    write_files(tmp_path, picture_seeds(), 160, np.random.default_rng(5))
    images = load_folder(tmp_path, image_size=16, bits_stored=16)
    listed = [item.name for item in images.skipped]
    files = {candidate.name for candidate in scan_folder(tmp_path).candidates}
    read = {name if name in files else name.rpartition("[")[0] for name in images.names}
    # A file of several images may be read in part.
    assert files <= read | {name if name in files else name.rpartition("[")[0] for name in listed}
    assert len(images) > 20
    for item in images.skipped:
        assert kind_of(item.reason) == "other", item
        assert item.reason == " ".join(item.reason.split())
        assert len(item.reason) <= 400


def test_damaged_arrays_are_read_or_refused(tmp_path: pathlib.Path) -> None:
    write_files(tmp_path, array_seeds(), 90, np.random.default_rng(6))
    refusals: list[str] = []
    paths = sorted(tmp_path.iterdir())
    for path in paths:
        try:
            assert len(load_array(path, image_size=8))
        except ValueError as error:
            refusals.append(str(error))
    assert 5 < len(refusals) < 85
    assert all(any(path.name in message for path in paths) for message in refusals)
