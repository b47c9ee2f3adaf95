"""Compressed DICOM: a sample of the matrix, and headers and codestreams that disagree."""

import dataclasses
import pathlib
import tomllib
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="DICOM needs examine-jax[dicom]")
pytest.importorskip("imagecodecs", reason="DICOM needs examine-jax[dicom]")

import pydicom
from pydicom import uid
from pydicom.encaps import encapsulate, generate_frames
from pydicom.pixels.decoders.base import Decoder

from benchmarks.quality import dicom_cells
from benchmarks.quality.dicom_cells import SIZE, Cell, write
from benchmarks.quality.dicom_matrix import cells, problem
from examine_jax.images.decoding import dicom_codecs
from examine_jax.images.decoding.decoded_image import DecodedImage
from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.dicom_codecs import ADVICE, check_decodable
from examine_jax.images.decoding.intensity import GreyScale
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.unreadable import UnreadableImage
from tests.images.decoding.test_dicom import SHIPPED, decoder

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")

SYNTAXES = (
    *dicom_cells.NATIVE,
    *dicom_codecs.JPEG,
    *dicom_codecs.JPEG_LS,
    *dicom_codecs.JPEG_2000,
    uid.RLELossless,
)


def sample() -> Iterator[Cell]:
    """Of each syntax: the first cell and the last with one frame; and what few cells have."""
    first, last = dict[uid.UID, Cell](), dict[uid.UID, Cell]()
    special = []
    for cell in cells():
        first.setdefault(cell.syntax, cell)
        if len(cell.values) == 1:
            last[cell.syntax] = cell
        parts = ("16 signed MONOCHROME1", "PALETTE of 16 bits segments", "YBR_FULL_422", "ICT 3")
        if len(cell.values) > 1 and any(part in cell.name for part in parts):
            special.append(cell)
    yield from {cell.name: cell for cell in (*first.values(), *last.values(), *special)}.values()


SAMPLE = list(sample())


def read(
    path: pathlib.Path, channels: int, intensity_range: tuple[float, float] | None
) -> np.ndarray:
    scale = GreyScale(intensity_range)
    reader = ImageDecoder(SIZE, channels, None, 10**6, 10**8, Budget(10**6), scale)
    images = reader.frames(str(path)).images
    assert all(isinstance(image, DecodedImage) for image in images)
    return np.stack([image.pixels for image in images if isinstance(image, DecodedImage)])


def test_the_sample_has_every_syntax() -> None:
    assert {cell.syntax for cell in SAMPLE} == set(SYNTAXES)
    assert len({cell.name for cell in SAMPLE}) == len(SAMPLE) < 90


@pytest.mark.parametrize("cell", SAMPLE, ids=[cell.name for cell in SAMPLE])
def test_what_was_written_is_read(cell: Cell, tmp_path: pathlib.Path) -> None:
    write(cell, tmp_path / "a.dcm")
    assert problem(cell, tmp_path / "a.dcm", read) == ""


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
        ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
        ("SC_rgb_jpeg_gdcm.dcm", "SC_rgb_rle.dcm"),
        ("SC_rgb_gdcm_KY.dcm", "SC_rgb_rle.dcm"),
    ],
)
def test_files_of_other_encoders_give_the_same_pixels(name: str, same: str) -> None:
    ours, plain = (decoder(100, channels=3)(str(SHIPPED / one)).pixels for one in (name, same))
    assert np.array_equal(ours, plain)


@pytest.mark.parametrize("name", ["SC_rgb_jls_lossy_line.dcm", "SC_rgb_jls_lossy_sample.dcm"])
def test_nearly_lossless_files_of_other_encoders_show_the_same_chart(name: str) -> None:
    chart = decoder(100, channels=3)(str(SHIPPED / "SC_rgb_rle.dcm")).pixels.astype(int)
    assert np.abs(decoder(100, channels=3)(str(SHIPPED / name)).pixels - chart).max() <= 4


@pytest.mark.parametrize(
    "name",
    [
        "SC_rgb_dcmtk_+eb+cr.dcm",
        "SC_rgb_dcmtk_+eb+cy+n1.dcm",
        "SC_rgb_dcmtk_+eb+cy+np.dcm",
        "SC_rgb_dcmtk_+eb+cy+s4.dcm",
        "SC_rgb_jpeg_lossy_gdcm.dcm",
        "SC_jpeg_no_color_transform.dcm",
    ],
)
def test_colours_of_lossy_jpeg_are_those_of_pillow(name: str) -> None:
    second = pydicom.pixels.pixel_array(SHIPPED / name, decoding_plugin="pillow")
    ours = decoder(len(second), channels=3)(str(SHIPPED / name)).pixels
    assert np.abs(ours.astype(int) - second).max() <= 2


def test_a_sign_that_disagrees_with_the_header_is_the_headers() -> None:
    """The codestream has 13 unsigned bits, the header 13 signed ones."""
    path = SHIPPED / "J2K_pixelrep_mismatch.dcm"
    second = pydicom.dcmread(path).pixel_array
    assert second.min() == -2000
    ours = read_values(path)
    assert np.array_equal(ours, second)


def read_values(path: pathlib.Path) -> np.ndarray:
    """A grey file's stored values."""
    dataset = pydicom.dcmread(path)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    return dicom_codecs.decode(frame, dataset)[0]


def test_jpeg_of_12_bits_is_that_of_the_uncompressed_file() -> None:
    """Two files of one image: its brightest spot is 264 in both, from different encoders."""
    for name in ("JPGExtended.dcm", "JPEG-lossy.dcm"):
        values = read_values(SHIPPED / name)
        assert (values.dtype, values.shape, values.max()) == (np.uint16, (1024, 256), 264)


def jpeg_cell() -> Cell:
    return next(cell for cell in SAMPLE if cell.syntax == uid.JPEGBaseline8Bit)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        (lambda frame: frame[: len(frame) // 2], "truncated: its JPEG data have no end"),
        (lambda frame: frame[:40], "no frame in the encoding JPEG Baseline"),
        (lambda frame: b"\0" * 50, "no frame in the encoding JPEG Baseline"),
    ],
)
def test_torn_codestreams_are_refused(tmp_path: pathlib.Path, changed, reason: str) -> None:
    cell = jpeg_cell()
    assert cell.frames is not None
    write(cell, tmp_path / "a.dcm")
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    dataset.PixelData = encapsulate([changed(cell.frames[0])])
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(UnreadableImage, match=reason):
        decoder(SIZE)(str(tmp_path / "a.dcm"))


def test_sizes_that_disagree_are_refused_before_anything_is_decoded(tmp_path: pathlib.Path) -> None:
    write(jpeg_cell(), tmp_path / "a.dcm")
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    dataset.Rows, dataset.Columns = SIZE // 2, SIZE * 2
    dataset.save_as(tmp_path / "a.dcm")
    with pytest.raises(UnreadableImage, match="24 x 24 x 1, and a header of 48 x 12 x 1"):
        decoder(SIZE)(str(tmp_path / "a.dcm"))


@pytest.mark.parametrize("syntax", [uid.JPEGLosslessSV1, uid.HTJ2K, uid.JPEG2000MC])
def test_without_a_decoder_the_reason_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, syntax: uid.UID
) -> None:
    """Decoders that are installed by chance are hidden."""
    monkeypatch.setattr(dicom_codecs, "_has_imagecodecs", lambda: False)
    monkeypatch.setattr(dicom_codecs, "_decoder", lambda _: None)
    if syntax not in dicom_codecs.JPEG_2000:
        monkeypatch.setattr(dicom_codecs, "_decoder", lambda _: Decoder(syntax))
    with pytest.raises(UnreadableImage, match=r"to read them pip install 'examine-jax\[dicom\]'"):
        check_decodable(syntax)


def test_the_advice_installs_what_decodes() -> None:
    project = tomllib.loads(
        pathlib.Path(__file__).parents[3].joinpath("pyproject.toml").read_text()
    )
    extra = ADVICE.split("[")[1].split("]")[0]
    needed = project["project"]["optional-dependencies"][extra]
    assert [item.split(">")[0] for item in needed] == ["imagecodecs", "pillow", "pydicom"]
    assert project["project"]["name"] in ADVICE


def test_without_imagecodecs_pillow_decodes_what_it_can(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    write(jpeg_cell(), tmp_path / "a.dcm")
    whole = decoder(SIZE)(str(tmp_path / "a.dcm")).pixels
    monkeypatch.setattr(dicom_codecs, "_has_imagecodecs", lambda: False)
    assert np.array_equal(decoder(SIZE)(str(tmp_path / "a.dcm")).pixels, whole)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("shift", [0, 2, 4])
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.RLELossless])
def test_stored_bits_lie_where_the_header_says(
    tmp_path: pathlib.Path, syntax: uid.UID, shift: int, signed: bool
) -> None:
    """12 bits in 16; the other bits hold overlays."""
    name = f"12 {'signed' if signed else 'unsigned'} MONOCHROME2 1"
    cell = next(
        cell
        for cell in cells()
        if cell.syntax == syntax and cell.name.startswith(f"{syntax.keyword} {name}")
    )
    overlay = np.random.default_rng(0).integers(0, 2**16, cell.values.shape[1:], dtype=np.uint16)
    own = np.uint16(0xFFF << shift)
    shifted = (cell.values[0].view(np.uint16) << shift & own) | (overlay & ~own)
    tags = cell.tags | {"HighBit": 11 + shift}
    changed = dataclasses.replace(
        cell,
        tags=tags,
        native=shifted.tobytes(),
        frames=(dicom_cells.run_lengths(shifted, tags),) if cell.frames else None,
    )
    write(changed, tmp_path / "a.dcm")
    assert problem(changed, tmp_path / "a.dcm", read) == ""


def test_a_high_bit_that_no_value_uses_is_wrong(tmp_path: pathlib.Path) -> None:
    name = "ExplicitVRLittleEndian 12 unsigned MONOCHROME2 1"
    cell = next(cell for cell in cells() if cell.name.startswith(name))
    changed = dataclasses.replace(cell, tags=cell.tags | {"HighBit": 15})
    write(changed, tmp_path / "a.dcm")
    assert problem(changed, tmp_path / "a.dcm", read) == ""


def test_colours_without_a_planar_configuration_are_interleaved(tmp_path: pathlib.Path) -> None:
    name = "ExplicitVRLittleEndian 8 RGB planar 0 1"
    cell = next(cell for cell in cells() if cell.name.startswith(name))
    tags = {tag: value for tag, value in cell.tags.items() if tag != "PlanarConfiguration"}
    changed = dataclasses.replace(cell, tags=tags)
    write(changed, tmp_path / "a.dcm")
    assert problem(changed, tmp_path / "a.dcm", read) == ""
