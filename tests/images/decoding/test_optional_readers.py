"""A format whose package is not installed says which extra reads it."""

import sys

import pytest

from examine_jax.images.decoding import optional_readers
from examine_jax.images.decoding.unreadable import UnreadableImage


@pytest.mark.parametrize(
    ("reader", "module", "remedy"),
    [
        ("dicom_reader", "dicom", r"examine-jax\[dicom\]"),
        ("slide_reader", "slide", r"examine-jax\[slides\]"),
        ("tiff_reader", "tiff", "pip install tifffile"),
        ("volume_reader", "volume_images", r"examine-jax\[volumes\]"),
    ],
)
def test_a_missing_package_is_named(
    reader: str, module: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"examine_jax.images.decoding.{module}"
    package = sys.modules["examine_jax.images.decoding"]
    monkeypatch.delattr(package, module, raising=False)
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UnreadableImage, match=remedy):
        getattr(optional_readers, reader)()
