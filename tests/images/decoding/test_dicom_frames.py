"""Frames of compressed files whose tables lie, and of files that end early."""

import pathlib
import struct
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="DICOM needs examine-jax[dicom]")

import pydicom
from pydicom import uid
from pydicom.dataset import Dataset

from benchmarks.quality.dicom_cells import grey_values
from examine_jax.images import load_images, stream_images
from examine_jax.images.decoding.decoded_image import DecodedImage
from tests.images.decoding.test_dicom import decoder, grey

imagecodecs = pytest.importorskip("imagecodecs", reason="DICOM needs examine-jax[dicom]")

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

VALUES = grey_values(8, False, 3)
ENCODED = [imagecodecs.jpegls_encode(frame) for frame in VALUES]
ENCODED = [frame + b"\0" * (len(frame) % 2) for frame in ENCODED]

DELIMITER = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def item(content: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content) if length is None else length) + content


def halves(frame: bytes) -> list[bytes]:
    middle = len(frame) // 4 * 2
    return [frame[:middle], frame[middle:]]


def run_lengths(frame: np.ndarray) -> bytes:
    """A frame in run lengths: one segment, whose runs are rows as they are."""
    rows = b"".join(bytes([len(row) - 1]) + row.tobytes() for row in frame)
    return struct.pack("<16I", 1, 64, *[0] * 14) + rows + b"\0" * (len(rows) % 2)


def offsets(parts: list[list[bytes]]) -> list[int]:
    """Of each frame's first item, for fragments by frame."""
    found, position = [], 0
    for frame in parts:
        found.append(position)
        position += sum(8 + len(part) for part in frame)
    return found


def table(values: list[int]) -> bytes:
    return item(struct.pack(f"<{len(values)}I", *values))


def written(
    folder: pathlib.Path, content: bytes, frames: int = 3, syntax: uid.UID = uid.JPEGLSLossless
) -> str:
    """A file with this encapsulated content."""
    dataset: Dataset = grey(8, VALUES, NumberOfFrames=frames)
    dataset.file_meta.TransferSyntaxUID = syntax
    marker = b"\xff\xfe\xfd\xfc" * 8
    dataset.PixelData = item(b"") + item(marker)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    if "DataSetTrailingPadding" in dataset:
        del dataset.DataSetTrailingPadding
    dataset.save_as(folder / "a.dcm")
    whole = (folder / "a.dcm").read_bytes()
    start = whole.index(item(b"") + item(marker))
    (folder / "a.dcm").write_bytes(whole[:start] + content)
    return str(folder / "a.dcm")


def frames_read(path: str) -> list[int]:
    """The indices of the frames that are read, each held to what was written."""
    images = decoder(VALUES.shape[1]).frames(path).images
    found = []
    for index, image in enumerate(images):
        if isinstance(image, DecodedImage):
            assert np.array_equal(image.pixels[..., 0], VALUES[index])
            assert np.array_equal(decoder(VALUES.shape[1])(path, index).pixels, image.pixels)
            found.append(index)
    missing = decoder(VALUES.shape[1]).read_header(path).missing
    assert not set(missing) & set(found)
    return found


SINGLE = [[frame] for frame in ENCODED]
SPLIT = [halves(frame) for frame in ENCODED]
RUN_LENGTHS = [run_lengths(frame) for frame in VALUES]


def joined(parts: list[list[bytes]]) -> bytes:
    return b"".join(item(part) for frame in parts for part in frame)


@pytest.mark.parametrize(
    "content",
    [
        item(b"") + joined(SINGLE) + DELIMITER,
        table(offsets(SINGLE)) + joined(SINGLE) + DELIMITER,
        table([0, 2, 4]) + joined(SINGLE) + DELIMITER,
        table([0, 0, 0]) + joined(SINGLE) + DELIMITER,
        table([7, 2**31, 5]) + joined(SINGLE) + DELIMITER,
        table([0]) + joined(SINGLE) + DELIMITER,
        item(b"abc") + joined(SINGLE) + DELIMITER,
        item(b"") + joined(SINGLE),
        item(b"") + joined(SINGLE) + b"garbage",
        item(b"") + joined(SINGLE) + DELIMITER + b"garbage" * 100,
        item(b"") + item(b"") + joined(SINGLE) + item(b"") + DELIMITER,
        table(offsets(SPLIT)) + joined(SPLIT) + DELIMITER,
        item(b"") + joined(SPLIT) + DELIMITER,
        table([0, 2, 4]) + joined(SPLIT) + DELIMITER,
        item(b"") + joined([*SPLIT[:1], *SINGLE[1:]]) + DELIMITER,
        item(b"") + joined([[part, b""] for part in ENCODED]) + DELIMITER,
    ],
    ids=lambda content: "",
)
def test_the_frames_are_found_whatever_the_table_says(
    tmp_path: pathlib.Path, content: bytes
) -> None:
    assert frames_read(written(tmp_path, content)) == [0, 1, 2]


def test_odd_lengths_with_or_without_their_padding(tmp_path: pathlib.Path) -> None:
    odd = [frame.rstrip(b"\0") + b"\0" * (1 - len(frame.rstrip(b"\0")) % 2) for frame in ENCODED]
    assert all(len(frame) % 2 for frame in odd)
    bare = b"".join(item(frame) for frame in odd)
    padded = b"".join(item(frame) + b"\0" for frame in odd)
    for content in (bare, padded):
        assert frames_read(written(tmp_path, item(b"") + content + DELIMITER)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (item(b"") + joined(SINGLE[:2]) + DELIMITER, [0, 1]),
        (item(b"") + joined(SINGLE)[:-40], [0, 1]),
        (item(b"") + item(ENCODED[0]) + item(b"") + item(ENCODED[2]) + DELIMITER, [0, 2]),
        (item(b"") + item(ENCODED[0]) + item(b"xy" * 30) + item(ENCODED[2]) + DELIMITER, [0, 2]),
        (table(offsets(SPLIT)) + joined(SPLIT)[:-40], [0, 1]),
        (item(b"") + item(ENCODED[0]) + item(b"", 2**31), [0]),
    ],
    ids=["one less", "torn", "an empty one", "a damaged one", "torn in parts", "a false length"],
)
def test_a_frame_that_is_missing_or_damaged_costs_no_other(
    tmp_path: pathlib.Path, content: bytes, found: list[int]
) -> None:
    assert frames_read(written(tmp_path, content)) == found


def test_more_frames_than_the_header_declares(tmp_path: pathlib.Path) -> None:
    content = item(b"") + joined(SINGLE) + DELIMITER
    assert frames_read(written(tmp_path, content, frames=2)) == [0, 1]


@pytest.mark.parametrize("false", [False, True])
def test_an_extended_table(tmp_path: pathlib.Path, false: bool) -> None:
    path = written(tmp_path, item(b"") + joined(SPLIT) + DELIMITER)
    dataset = pydicom.dcmread(path)
    starts = [5, 9, 1] if false else offsets(SPLIT)
    dataset.ExtendedOffsetTable = struct.pack("<3Q", *starts)
    dataset.ExtendedOffsetTableLengths = struct.pack("<3Q", *(len(one) for one in ENCODED))
    dataset.save_as(path)
    assert frames_read(path) == [0, 1, 2]


@pytest.mark.parametrize("offsets_of", [offsets, lambda parts: []])
def test_run_lengths_in_two_fragments_a_frame(tmp_path: pathlib.Path, offsets_of: Any) -> None:
    runs = [halves(frame) for frame in RUN_LENGTHS]
    content = table(offsets_of(runs)) + joined(runs) + DELIMITER
    assert frames_read(written(tmp_path, content, syntax=uid.RLELossless)) == [0, 1, 2]


@pytest.mark.parametrize("bits", [8, 16])
def test_big_endian_files_that_end_early(tmp_path: pathlib.Path, bits: int) -> None:
    values = grey_values(bits, False, 3)
    dataset = grey(bits, values)
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
    content = values.astype(f">u{bits // 8}").tobytes()
    if bits == 8:
        content = np.frombuffer(content, np.uint16).byteswap().tobytes()
    dataset.PixelData = content
    dataset["PixelData"].VR = "OW"
    if "DataSetTrailingPadding" in dataset:
        del dataset.DataSetTrailingPadding
    pydicom.dcmwrite(tmp_path / "a.dcm", dataset, implicit_vr=False, little_endian=False)
    whole = (tmp_path / "a.dcm").read_bytes()
    end = whole.index(content) + len(content)
    (tmp_path / "a.dcm").write_bytes(whole[: end - 10])
    first, second, third = decoder(values.shape[1]).frames(str(tmp_path / "a.dcm")).images
    assert isinstance(first, DecodedImage)
    assert isinstance(second, DecodedImage)
    assert str(third) == "truncated: its header declares 3 frames"


def test_colours_that_are_not_subsampled_as_they_say_are_refused(tmp_path: pathlib.Path) -> None:
    values = grey_values(8, False, 3)
    dataset = grey(8, values[0], SamplesPerPixel=3, PlanarConfiguration=0)
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.PixelData = values.tobytes()
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(ValueError, match="as without chroma subsampling"):
        decoder(24)(str(tmp_path / "a.dcm"))


def names_of(folder: pathlib.Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """The images that are read, and what is skipped; streamed images have the same."""
    images = load_images(folder, image_size=8)
    stream = stream_images(folder, image_size=8)
    assert (stream.names, stream.skipped) == (images.names, images.skipped)
    return images.names, {item.name: item.reason for item in images.skipped}


@pytest.mark.parametrize("kind", ["plain", "deflated", "single", "split", "run lengths"])
@pytest.mark.parametrize("declared", [1, 2])
def test_frames_beyond_the_declared_ones_are_listed(
    tmp_path: pathlib.Path, kind: str, declared: int
) -> None:
    if kind == "run lengths":
        runs = [[frame] for frame in RUN_LENGTHS]
        written(tmp_path, item(b"") + joined(runs) + DELIMITER, declared, uid.RLELossless)
    elif kind in ("single", "split"):
        parts = SINGLE if kind == "single" else SPLIT
        written(tmp_path, item(b"") + joined(parts) + DELIMITER, declared)
    else:
        dataset = grey(8, VALUES, NumberOfFrames=declared)
        if kind == "deflated":
            dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
        dataset.save_as(tmp_path / "a.dcm")
    names, skipped = names_of(tmp_path)
    assert names == (("a.dcm",) if declared == 1 else ("a.dcm[0]", "a.dcm[1]"))
    assert list(skipped) == [f"a.dcm[{declared}]"]
    assert f"{3 - declared} frame" in skipped[f"a.dcm[{declared}]"]
    assert "correct NumberOfFrames" in skipped[f"a.dcm[{declared}]"]


def test_the_byte_that_makes_a_length_even_is_no_frame(tmp_path: pathlib.Path) -> None:
    grey(8, np.full((1, 1), 7, np.uint8)).save_as(tmp_path / "a.dcm")
    grey(8, np.full((3, 1, 1), 7, np.uint8)).save_as(tmp_path / "b.dcm")
    assert names_of(tmp_path) == (("a.dcm", "b.dcm[0]", "b.dcm[1]", "b.dcm[2]"), {})
