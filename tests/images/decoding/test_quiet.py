"""Nothing that a library says of a file reaches the user's terminal."""

import logging
import pathlib
import warnings

import numpy as np
import pytest
from PIL import Image

from examine_jax.images import load_folder, stream_folder
from examine_jax.images.decoding.quiet import quiet_libraries


@pytest.fixture
def odd_files(tmp_path: pathlib.Path) -> pathlib.Path:
    pydicom = pytest.importorskip("pydicom", reason="DICOM needs examine-jax[dicom]")
    shipped = pathlib.Path(pydicom.__file__).parent / "data" / "test_files" / "MR_small.dcm"
    content = shipped.read_bytes()
    uid = b"1.3.6.1.4.1.5962.1.1.4.1.1.20040826185059.5457"
    assert uid in content
    (tmp_path / "a.dcm").write_bytes(content.replace(uid, uid.replace(b"5457", b"54x7")))
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 40
    Image.new("RGB", (64, 64)).save(tmp_path / "b.jpg", exif=exif)
    return tmp_path


def test_reading_a_folder_prints_nothing(
    odd_files: pathlib.Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        images = load_folder(odd_files, image_size=64)
        streamed = stream_folder(odd_files, image_size=64)
        np.testing.assert_array_equal(streamed[np.arange(2)], images.pixels)
    assert images.names == ("a.dcm", "b.jpg")
    assert [str(warning.message) for warning in caught] == []
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_afterwards_filters_and_levels_are_as_before() -> None:
    filters, level = list(warnings.filters), logging.getLogger("pydicom").level
    with quiet_libraries(), quiet_libraries():
        assert warnings.filters != filters
    assert warnings.filters == filters
    assert logging.getLogger("pydicom").level == level
