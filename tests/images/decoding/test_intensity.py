"""Grey values without a window share one scale, after rescaling."""

import pathlib

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="DICOM needs examine-jax[dicom]")

from examine_jax.images import load_folder, load_images, stream_folder
from tests.images.decoding.test_dicom import grey

RAMP = (np.add.outer(np.arange(64), np.arange(64)) * 8).astype(np.uint16)  # 0 to 1008


def both(folder: pathlib.Path, **settings: object) -> np.ndarray:
    """The images [N, 64, 64] read into memory, and on demand the same."""
    loaded = load_folder(folder, image_size=64, channels=1, **settings)  # type: ignore[arg-type]
    streamed = stream_folder(folder, image_size=64, channels=1, **settings)  # type: ignore[arg-type]
    assert not loaded.skipped
    assert np.array_equal(streamed[np.arange(len(loaded))], loaded.pixels)
    return loaded.pixels[..., 0].astype(int)


def test_an_identity_rescale_is_no_rescale(tmp_path: pathlib.Path) -> None:
    grey(16, RAMP).save_as(tmp_path / "a.dcm")
    grey(16, RAMP, RescaleSlope=1, RescaleIntercept=0).save_as(tmp_path / "b.dcm")
    first, second = both(tmp_path)
    assert np.array_equal(first, second)
    assert np.array_equal(first, np.rint(RAMP * (255 / 1023)))


@pytest.mark.parametrize("outlier", [-1, -30000, 30000])
def test_an_outlying_pixel_changes_itself_alone(tmp_path: pathlib.Path, outlier: int) -> None:
    values = RAMP.astype(np.int16)
    other = values.copy()
    other[5, 7] = outlier
    for name, pixels in (("a", values), ("b", other)):
        (tmp_path / name).mkdir()
        grey(16, pixels, PixelRepresentation=1, Modality="NM").save_as(tmp_path / name / "a.dcm")
    difference = both(tmp_path / "a")[0] != both(tmp_path / "b")[0]
    assert difference.sum() <= 1
    assert len(np.unique(both(tmp_path / "b")[0])) >= 127


def test_values_around_0_span_their_own_range(tmp_path: pathlib.Path) -> None:
    values = np.arange(4096, dtype=np.int16).reshape(64, 64) - 2048
    grey(16, values, PixelRepresentation=1).save_as(tmp_path / "a.dcm")
    (image,) = both(tmp_path)
    assert (image.min(), image.max()) == (0, 255)
    expected = (values + 2048.0) / 4095 * 255
    assert np.abs(image - expected).max() <= 0.51 + 255 * 0.003  # 0.1 % saturate at either end


def test_rescaled_values_of_one_series_keep_their_ratio(tmp_path: pathlib.Path) -> None:
    """Slices of half the slope and twice the stored values are the same picture."""
    tags = {"SeriesInstanceUID": "1.2", "RescaleIntercept": 0}
    grey(16, RAMP, RescaleSlope=0.3, **tags).save_as(tmp_path / "a.dcm")
    grey(16, 2 * RAMP, RescaleSlope=0.15, **tags).save_as(tmp_path / "b.dcm")
    grey(16, RAMP // 2, RescaleSlope=0.3, **tags).save_as(tmp_path / "c.dcm")
    first, second, half = both(tmp_path)
    assert np.array_equal(first, second)
    assert first.max() == 255
    unsaturated = first < 250
    assert np.abs(half - first / 2)[unsaturated].max() <= 1


def test_each_series_has_its_own_scale_and_files_without_one_share_one(
    tmp_path: pathlib.Path,
) -> None:
    for name, factor, series in (("a", 1, "1.2"), ("b", 8, "1.3"), ("c", 1, ""), ("d", 8, "")):
        grey(16, RAMP * factor, SeriesInstanceUID=series).save_as(tmp_path / f"{name}.dcm")
    pixels = both(tmp_path)
    assert np.abs(pixels[0] - pixels[1]).max() <= 1
    assert pixels[2].max() == 31
    assert pixels[3].max() == 251


def test_pet_has_one_scale_in_the_whole_source_and_0_is_black(tmp_path: pathlib.Path) -> None:
    tags = {"Modality": "PT", "Units": "BQML", "RescaleIntercept": 0, "PixelRepresentation": 1}
    values = RAMP.astype(np.int16)
    for name, slope, series in (("a", 10.0, "1.2"), ("b", 5.0, "1.3")):
        dataset = grey(16, values, RescaleSlope=slope, SeriesInstanceUID=series, **tags)
        dataset.save_as(tmp_path / f"{name}.dcm")
    bright, dark = both(tmp_path)
    assert (bright.min(), bright.max(), dark.min()) == (0, 255, 0)
    assert np.abs(dark - bright / 2)[bright < 250].max() <= 1


def test_pet_in_uptake_values_is_shown_from_0_to_10(tmp_path: pathlib.Path) -> None:
    tags = {"Modality": "PT", "Units": "GML", "RescaleSlope": 0.02, "RescaleIntercept": 0}
    grey(16, RAMP, **tags).save_as(tmp_path / "a.dcm")
    (image,) = both(tmp_path)
    assert np.abs(image - np.clip(RAMP * 0.02 / 10, 0, 1) * 255).max() <= 0.51


def test_padding_does_not_set_the_scale(tmp_path: pathlib.Path) -> None:
    values = RAMP.copy()
    values[:10] = 65535
    dataset = grey(16, values, PixelPaddingValue=65535)
    dataset["PixelPaddingValue"].VR = "US"
    dataset.save_as(tmp_path / "a.dcm")
    (image,) = both(tmp_path)
    assert np.array_equal(image[10:], np.rint(RAMP[10:] * (255 / 1023)))


def test_a_range_that_is_named_is_the_scale_of_all(tmp_path: pathlib.Path) -> None:
    grey(16, RAMP).save_as(tmp_path / "a.dcm")
    grey(16, RAMP, WindowCenter=500, WindowWidth=10, RescaleSlope=1, RescaleIntercept=0).save_as(
        tmp_path / "b.dcm"
    )
    first, second = both(tmp_path, intensity_range=(100.0, 900.0))
    assert np.array_equal(first, second)
    assert np.abs(first - np.clip((RAMP - 100.0) / 800, 0, 1) * 255).max() <= 0.51


def test_the_scales_are_noted(tmp_path: pathlib.Path) -> None:
    grey(16, RAMP, SeriesInstanceUID="1.2").save_as(tmp_path / "a.dcm")
    (note,) = load_folder(tmp_path, image_size=8).notes
    assert "series 1.2 from 0 to 1023" in note


def test_a_constant_image_is_one_colour(tmp_path: pathlib.Path) -> None:
    grey(16, np.full((64, 64), 700, np.uint16), RescaleSlope=-0.5, RescaleIntercept=0).save_as(
        tmp_path / "a.dcm"
    )
    assert len(np.unique(both(tmp_path)[0])) == 1


def test_sources_without_dicom_files_refuse_their_settings(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 8, 8), np.uint8))
    with pytest.raises(ValueError, match="for DICOM files in folders"):
        load_images(tmp_path / "a.npy", image_size=8, intensity_range=(0.0, 1.0))
    with pytest.raises(ValueError, match="for DICOM files in folders"):
        load_images("sample:training", image_size=8, dicom_window=2)
