"""DICOM: the real files that pydicom ships, and variations of them."""

import pathlib
import sys
import warnings
import zlib

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="DICOM needs examine-jax[dicom]")

import pydicom
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut
from pydicom.uid import (
    UID,
    BasicTextSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    SegmentationStorage,
)

import examine_jax.images.decoding
from examine_jax.images import load_folder, stream_folder
from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.unreadable import UnreadableImage

SHIPPED = pathlib.Path(pydicom.__file__).parent / "data" / "test_files"

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def decoder(
    size: int, channels: int = 1, max_pixels: int = 10**7, max_bytes: int = 10**8
) -> ImageDecoder:
    return ImageDecoder(size, channels, None, max_pixels, max_bytes, Budget(max_pixels))


def shipped(name: str) -> Dataset:
    return pydicom.dcmread(SHIPPED / name)


def magnetic_resonance(**changes: object) -> Dataset:
    """A 64 x 64 slice of 16 signed bits with a window, with changes."""
    dataset = shipped("MR_small.dcm")
    for name, value in changes.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    return dataset


def grey(bits: int, values: np.ndarray, **changes: object) -> Dataset:
    """Unsigned grey pixels without any window."""
    dataset = magnetic_resonance(WindowWidth=None, WindowCenter=None, PixelRepresentation=0)
    dataset.Rows, dataset.Columns = values.shape[-2:]
    if values.ndim == 3:
        dataset.NumberOfFrames = len(values)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * values.itemsize, bits, bits - 1
    dataset.PixelData = values.tobytes() + b"\0" * (values.nbytes % 2)
    dataset["PixelData"].VR = "OB" if values.itemsize == 1 else "OW"
    for name, value in changes.items():
        setattr(dataset, name, value)
    return dataset


def read(tmp_path: pathlib.Path, dataset: Dataset, size: int = 64) -> np.ndarray:
    dataset.save_as(tmp_path / "a.dcm")
    return decoder(size)(str(tmp_path / "a.dcm")).pixels[..., 0]


def test_a_window_becomes_black_to_white(tmp_path: pathlib.Path) -> None:
    dataset = magnetic_resonance(WindowCenter=600, WindowWidth=1600)
    ours = read(tmp_path, dataset)
    windowed = apply_voi_lut(dataset.pixel_array, dataset)  # to the range of 16 bits signed
    assert np.array_equal(ours, np.rint((windowed + 2**15) * 255 / (2**16 - 1)))
    exactly = np.clip((dataset.pixel_array - 599.5) / 1599 + 0.5, 0, 1)  # PS3.3 C.11.2.1.2.1
    assert np.abs(ours - 255 * exactly).max() <= 0.51


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_windows_of_all_functions_after_rescaling(tmp_path: pathlib.Path, function: str) -> None:
    dataset = magnetic_resonance(
        WindowCenter=[40, 300],
        WindowWidth=[400, 1500],
        VOILUTFunction=function,
        RescaleSlope=0.5,
        RescaleIntercept=-100,
    )
    ours = read(tmp_path, dataset) / 255
    values = dataset.pixel_array * 0.5 - 100
    expected = {
        "LINEAR": np.clip((values - 39.5) / 399 + 0.5, 0, 1),
        "LINEAR_EXACT": np.clip((values - 40) / 400 + 0.5, 0, 1),
        "SIGMOID": 1 / (1 + np.exp(-4 * (values - 40) / 400)),
    }[function]
    np.testing.assert_allclose(ours, expected, atol=0.51 / 255)


def lookup_table(entries: np.ndarray, first: int, bits: int) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = entries.tolist()
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    item.ModalityLUTType = "US"
    return item


def test_lookup_tables_for_modality_and_values_of_interest(tmp_path: pathlib.Path) -> None:
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    square = (np.arange(4096) ** 2 // 4096).astype(np.uint16)
    modality = grey(12, values, ModalityLUTSequence=[lookup_table(16 * square, 0, 16)])
    assert np.array_equal(apply_modality_lut(values, modality).ravel(), 16 * square)
    assert (
        np.abs(read(tmp_path, modality) - square.reshape(64, 64) * (16 * 255 / 65535)).max() <= 0.51
    )
    interest = grey(12, values, VOILUTSequence=[lookup_table(4095 - square, 0, 12)])
    assert (
        np.abs(read(tmp_path, interest) - (4095 - square.reshape(64, 64)) * (255 / 4095)).max()
        <= 0.51
    )


def test_monochrome_1_is_inverted(tmp_path: pathlib.Path) -> None:
    plain = read(tmp_path, magnetic_resonance())
    inverted = read(tmp_path, magnetic_resonance(PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(inverted, 255 - plain)


def test_ct_without_a_window_spans_the_hounsfield_scale(tmp_path: pathlib.Path) -> None:
    dataset = shipped("CT_small.dcm")
    hounsfield = apply_modality_lut(dataset.pixel_array, dataset)
    expected = np.clip((hounsfield + 1024) * 255 / 4095, 0, 255)
    assert np.abs(read(tmp_path, dataset, size=128) - expected).max() <= 0.51


def test_bits_without_a_window_keep_one_scale_with_the_other_images_of_the_folder(
    tmp_path: pathlib.Path,
) -> None:
    values = np.linspace(0, 3000, 24 * 24).astype(np.uint16).reshape(24, 24)
    grey(16, values).save_as(tmp_path / "a.dcm")
    Image.fromarray(values).save(tmp_path / "b.png")
    grey(12, values, PhotometricInterpretation="MONOCHROME1").save_as(tmp_path / "c.dcm")
    grey(8, (values // 12).astype(np.uint8)).save_as(tmp_path / "d.dcm")
    images = load_folder(tmp_path, image_size=24, channels=1)
    assert images.names == ("a.dcm", "b.png", "c.dcm", "d.dcm")
    assert images.bits_stored == 12
    assert np.array_equal(images.pixels[0], images.pixels[1])
    assert np.abs(images.pixels[2] - (255 - images.pixels[0].astype(int))).max() <= 1
    assert np.array_equal(images.pixels[3, ..., 0], values // 12)


@pytest.mark.parametrize(
    "name", ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_bigendian.dcm"]
)
def test_lossless_encodings_give_the_same_pixels(name: str) -> None:
    plain = decoder(64)(str(SHIPPED / "MR_small.dcm")).pixels
    assert np.array_equal(decoder(64)(str(SHIPPED / name)).pixels, plain)


@pytest.mark.parametrize(
    "name",
    [
        "SC_rgb_rle.dcm",
        "SC_rgb_dcmtk_+eb+cr.dcm",  # YBR_FULL or RGB, JPEG
        "SC_ybr_full_422_uncompressed.dcm",
        "SC_rgb_rle_16bit.dcm",
        "SC_rgb_jpeg_dcmtk.dcm",
    ],
)
def test_colours_of_every_photometric_interpretation(name: str) -> None:
    """All of these show the same chart of colour bars."""
    chart = decoder(100, channels=3)(str(SHIPPED / "SC_rgb_rle.dcm")).pixels.astype(int)
    assert chart[5, 50].tolist() == [255, 0, 0]
    ours = decoder(100, channels=3)(str(SHIPPED / name)).pixels
    assert np.abs(ours - chart).max() <= 12  # lossy JPEG, and chroma of two pixels in one


def test_colours_to_grey_are_the_same_as_pillows(tmp_path: pathlib.Path) -> None:
    dataset = shipped("examples_rgb_color.dcm")
    plane = Image.fromarray(dataset.pixel_array).convert("L").convert("F")
    expected = np.clip(np.asarray(plane.resize((50, 50), Image.Resampling.LANCZOS)), 0, 255)
    ours = decoder(50)(str(SHIPPED / "examples_rgb_color.dcm")).pixels[..., 0]
    assert np.abs(ours - expected).max() <= 1.01


def test_palettes_are_looked_up() -> None:
    ours = decoder(64, channels=3)(str(SHIPPED / "examples_palette.dcm")).pixels
    assert np.ptp(ours.astype(int), axis=-1).max() > 50


def test_each_frame_is_an_image_with_a_name_of_its_own(tmp_path: pathlib.Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (5, 16, 16), dtype=np.uint8)
    grey(8, values).save_as(tmp_path / "b.dcm")
    Image.fromarray(values[0]).save(tmp_path / "a.png")
    Image.fromarray(values[1]).save(tmp_path / "c.png")
    images = load_folder(tmp_path, image_size=16, channels=1)
    assert images.names == ("a.png", *(f"b.dcm[{frame}]" for frame in range(5)), "c.png")
    assert np.array_equal(images.pixels[1:6, ..., 0], values)
    assert np.array_equal(images.pixels[6, ..., 0], values[1])
    assert np.array_equal(decoder(16)(str(tmp_path / "b.dcm"), frame=3).pixels[..., 0], values[3])


@pytest.mark.parametrize("name", ["SC_rgb_rle_2frame.dcm", "MR_small.dcm", "CT_small.dcm"])
def test_frames_read_on_demand_are_those_of_the_folder(tmp_path: pathlib.Path, name: str) -> None:
    (tmp_path / "a.dcm").write_bytes((SHIPPED / name).read_bytes())
    loaded, streamed = load_folder(tmp_path, image_size=20), stream_folder(tmp_path, image_size=20)
    assert streamed.names == loaded.names
    assert np.array_equal(streamed[np.arange(len(loaded))], loaded.pixels)


def test_the_windows_of_enhanced_files_hold_for_their_frames(tmp_path: pathlib.Path) -> None:
    values = np.stack([np.linspace(0, 1000, 256).reshape(16, 16)] * 2).astype(np.uint16)
    groups = []
    for centre in (200, 800):
        window, group = Dataset(), Dataset()
        window.WindowCenter, window.WindowWidth, window.VOILUTFunction = centre, 200, "LINEAR_EXACT"
        group.FrameVOILUTSequence = [window]
        groups.append(group)
    grey(12, values, PerFrameFunctionalGroupsSequence=groups).save_as(tmp_path / "a.dcm")
    for frame, centre in zip(decoder(16).frames(str(tmp_path / "a.dcm")).images, (200, 800)):
        expected = np.clip((values[0].astype(float) - centre) / 200 + 0.5, 0, 1)
        assert np.abs(frame.pixels[..., 0] - 255 * expected).max() <= 0.51


def test_deflated_files_are_read_and_deflated_bombs_are_not(tmp_path: pathlib.Path) -> None:
    dataset = magnetic_resonance()
    plain = read(tmp_path, dataset)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    assert np.array_equal(read(tmp_path, dataset), plain)
    content = (tmp_path / "a.dcm").read_bytes()
    start = (
        144
        + pydicom.filereader.read_file_meta_info(tmp_path / "a.dcm").FileMetaInformationGroupLength
    )
    deflater = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    bomb = b"".join(deflater.compress(bytes(2**20)) for _ in range(12)) + deflater.flush()
    (tmp_path / "bomb.dcm").write_bytes(content[:start] + bomb)
    with pytest.raises(UnreadableImage, match="when inflated"):
        decoder(64, max_bytes=10**7)(str(tmp_path / "bomb.dcm"))


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rtplan.dcm", r"without pixels \(RT Plan Storage\)"),
        ("reportsi.dcm", "without pixels"),
        ("MR_truncated.dcm", "truncated: its header declares more pixels"),
        ("rtdose_1frame.dcm", "32 bits a sample and no window"),
    ],
)
def test_what_cannot_be_read_says_why(name: str, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        decoder(64)(str(SHIPPED / name))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Rows": 60_000, "Columns": 60_000}, "60000 x 60000 pixels in its header"),
        ({"NumberOfFrames": 2_000_000_000}, "2000000000 frames in its header"),
        ({"NumberOfFrames": 30_000}, "30000 frames, which take more than max_bytes"),
        ({"NumberOfFrames": -3}, "-3 frames"),
        ({"Rows": 0}, "damaged"),
        ({"PixelData": None}, "without pixels"),
        ({"BitsStored": None}, "damaged"),
        ({"PhotometricInterpretation": "HSV"}, "HSV"),
        ({"WindowWidth": 0}, None),
        ({"SOPClassUID": SegmentationStorage}, r"no image \(Segmentation Storage\)"),
        ({"WindowCenter": "", "WindowWidth": ""}, None),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "without extent"),
        ({"RescaleSlope": "1e40", "RescaleIntercept": 0}, r"slope of 1e\+40 .* float32"),
        ({"RescaleSlope": "-1e300", "RescaleIntercept": 0}, r"slope of -1e\+300 .* float32"),
        ({"RescaleSlope": "1e-50", "RescaleIntercept": 0}, "slope of 1e-50 .* float32"),
        ({"RescaleSlope": 1, "RescaleIntercept": "1e300"}, r"intercept of 1e\+300, .* float32"),
        ({"RescaleSlope": "1e20", "RescaleIntercept": 0}, None),
        ({"RescaleSlope": "1e-12", "RescaleIntercept": 0}, None),
    ],
)
def test_false_headers_are_refused(
    tmp_path: pathlib.Path, changes: dict, reason: str | None
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        magnetic_resonance(**changes).save_as(tmp_path / "a.dcm")
        if reason is None:
            decoder(64).frames(str(tmp_path / "a.dcm"))
            return
        with pytest.raises(UnreadableImage, match=reason):
            decoder(64).frames(str(tmp_path / "a.dcm"))


def test_frames_that_are_missing_or_torn_cost_no_other(tmp_path: pathlib.Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (5, 64, 64), dtype=np.uint8)
    grey(8, values).save_as(tmp_path / "torn.dcm")
    content = (tmp_path / "torn.dcm").read_bytes()
    end = content.rindex(values[-1].tobytes()) + values[-1].size
    (tmp_path / "torn.dcm").write_bytes(content[: end - 2000])
    (tmp_path / "lacking.dcm").write_bytes(content[: end - 3 * values[-1].size])
    images = load_folder(tmp_path, image_size=64, channels=1)
    whole = [f"lacking.dcm[{frame}]" for frame in range(2)]
    assert images.names == (*whole, *(f"torn.dcm[{frame}]" for frame in range(4)))
    assert np.array_equal(images.pixels[2:, ..., 0], values[:4])
    assert [item.name for item in images.skipped] == [
        *(f"lacking.dcm[{frame}]" for frame in (2, 3, 4)),
        "torn.dcm[4]",
    ]
    for item in images.skipped:
        assert item.reason == "truncated: its header declares 5 frames"
    streamed = stream_folder(tmp_path, image_size=64, channels=1)
    assert (streamed.names, streamed.skipped) == (images.names, images.skipped)
    assert np.array_equal(streamed[np.arange(6)], images.pixels)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_a_data_set_without_preamble_is_read_under_any_name(
    tmp_path: pathlib.Path, syntax: UID
) -> None:
    dataset = magnetic_resonance()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(tmp_path / "whole.dcm", implicit_vr=syntax.is_implicit_VR, little_endian=True)
    content = (tmp_path / "whole.dcm").read_bytes()
    meta = pydicom.filereader.read_file_meta_info(tmp_path / "whole.dcm")
    for name in ("1.2.840.1-7", "a.mr", "bare.dcm", "bare.img", "IM1"):
        (tmp_path / name).write_bytes(content[144 + meta.FileMetaInformationGroupLength :])
    (tmp_path / "scan.img").write_bytes(content)
    images = load_folder(tmp_path, image_size=64, channels=1)
    assert images.skipped == ()
    assert len(images.names) == 7
    assert (images.pixels == images.pixels[0]).all()
    streamed = stream_folder(tmp_path, image_size=64, channels=1)
    assert np.array_equal(streamed[np.arange(7)], images.pixels)


def test_presentation_states_and_reports_are_listed_as_no_images(tmp_path: pathlib.Path) -> None:
    magnetic_resonance().save_as(tmp_path / "a.dcm")
    kinds = (GrayscaleSoftcopyPresentationStateStorage, BasicTextSRStorage)
    for name, kind in zip(("state", "report"), kinds):
        dataset = magnetic_resonance(PixelData=None, Rows=None, Columns=None, SOPClassUID=kind)
        dataset.save_as(tmp_path / name)
    images = load_folder(tmp_path, image_size=64, channels=1)
    assert images.names == ("a.dcm",)
    assert {item.name: item.reason for item in images.skipped} == {
        name: f"a DICOM file without pixels ({kind.name}); remove it"
        for name, kind in zip(("state", "report"), kinds)
    }


def test_a_video_is_refused_by_the_name_of_its_encoding(tmp_path: pathlib.Path) -> None:
    dataset = magnetic_resonance()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(tmp_path / "a.dcm")
    content = (tmp_path / "a.dcm").read_bytes()
    video = b"1.2.840.10008.1.2.4.100\0"  # MPEG2
    uid = b"\x02\x00\x10\x00UI\x14\x001.2.840.10008.1.2.1\0"
    assert uid in content
    (tmp_path / "a.dcm").write_bytes(content.replace(uid, b"\x02\x00\x10\x00UI\x18\x00" + video))
    with pytest.raises(UnreadableImage, match=r"MPEG2.*not read; export it as PNG"):
        decoder(64)(str(tmp_path / "a.dcm"))


def test_bytes_that_only_begin_like_dicom_are_skipped_and_the_rest_is_read(
    tmp_path: pathlib.Path,
) -> None:
    (tmp_path / "empty.dcm").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "noise.dcm").write_bytes(
        bytes(128) + b"DICM" + np.random.default_rng(0).bytes(4000)
    )
    (tmp_path / "text.dcm").write_text("no image")
    magnetic_resonance().save_as(tmp_path / "good")
    images = load_folder(tmp_path, image_size=32)
    assert images.names == ("good",)
    assert images.pixels.shape == (1, 32, 32, 3)
    assert [item.name for item in images.skipped] == ["empty.dcm", "noise.dcm", "text.dcm"]


def test_without_pydicom_the_reason_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(examine_jax.images.decoding, "dicom", raising=False)
    monkeypatch.delitem(sys.modules, "examine_jax.images.decoding.dicom", raising=False)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(UnreadableImage, match=r"pydicom; pip install 'examine-jax\[dicom\]'"):
        decoder(64)(str(SHIPPED / "MR_small.dcm"))
