"""Rescaling, lookup tables and windows: against PS3.3 C.11 and pydicom's own functions."""

import pathlib

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="DICOM needs examine-jax[dicom]")

from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from examine_jax.images.decoding.dicom_grey import display, rescaled
from examine_jax.images.decoding.intensity import BY_FILE, GreyScale
from tests.images.decoding.test_dicom import grey, lookup_table, magnetic_resonance, read

RAMP = (np.add.outer(np.arange(64), np.arange(64)) * 8).astype(np.uint16)  # 0 to 1008

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def shown(values: np.ndarray, header: Dataset, scale: GreyScale = BY_FILE) -> np.ndarray:
    function = display(header, scale)
    assert function is not None
    return function(rescaled(values, header))


@pytest.mark.parametrize(
    "empty",
    [
        {"WindowCenter": 0, "WindowWidth": 0},
        {"WindowCenter": 500, "WindowWidth": -3},
        {"WindowCenter": "", "WindowWidth": ""},
        {"WindowCenter": 500, "WindowWidth": ""},
        {"WindowCenter": [500, 600], "WindowWidth": [0, 0]},
    ],
)
def test_a_window_without_width_is_no_window(empty: dict) -> None:
    assert display(grey(16, RAMP, **empty), BY_FILE) is None


def test_the_first_window_with_a_width_is_taken() -> None:
    header = grey(16, RAMP, WindowCenter=[0, 500], WindowWidth=[0, 100])
    expected = apply_voi_lut(RAMP, header, index=1) / 65535
    np.testing.assert_allclose(shown(RAMP, header), expected, atol=1e-12)


@pytest.mark.parametrize("which", [1, 2])
def test_a_window_is_chosen_by_its_number(which: int) -> None:
    header = grey(16, RAMP, WindowCenter=[200, 500], WindowWidth=[50, 100])
    expected = apply_voi_lut(RAMP, header, index=which - 1) / 65535
    ours = shown(RAMP, header, GreyScale(window=which))
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    assert np.array_equal(shown(RAMP, header, GreyScale(window=9)), shown(RAMP, header))


def test_a_window_below_1_of_fractions_is_exact() -> None:
    header = grey(
        16, RAMP, RescaleSlope=0.001, RescaleIntercept=0, WindowCenter=0.5, WindowWidth=0.9
    )
    expected = np.clip((RAMP * 0.001 - 0.5) / 0.9 + 0.5, 0, 1)  # PS3.3 C.11.2.1.3.2
    np.testing.assert_allclose(shown(RAMP, header), expected, atol=1e-12)
    header.VOILUTFunction = "LINEAR_EXACT"
    values = apply_modality_lut(RAMP, header)
    second = apply_voi_lut(values, header)  # to the range that slope and intercept give
    np.testing.assert_allclose(shown(RAMP, header), second / 65.535, atol=1e-9)


def test_a_window_of_1_is_a_step() -> None:
    header = grey(16, RAMP, WindowCenter=500.5, WindowWidth=1)
    assert np.array_equal(shown(RAMP, header), RAMP > 500)


@pytest.mark.parametrize("stored", ["list", "bytes", "packed"])
def test_tables_of_8_bits_hold_more_than_256_entries(stored: str) -> None:
    entries = np.linspace(0, 255, 1010).astype(np.uint8)
    header = grey(16, RAMP, VOILUTSequence=[lookup_table(entries, 0, 8)])
    item = header.VOILUTSequence[0]
    if stored != "list":
        item["LUTData"].VR = "OW"
        item.LUTData = (entries if stored == "packed" else entries.astype("<u2")).tobytes()
    assert np.array_equal(shown(RAMP, header), entries[RAMP] / 255)


@pytest.mark.parametrize("bits", [10, 12, 16])
@pytest.mark.parametrize("first", [0, 100, 60000])
def test_tables_of_more_bits_are_pydicoms(bits: int, first: int) -> None:
    entries = np.random.default_rng(bits).integers(0, 2**bits, 700)
    header = grey(16, RAMP, VOILUTSequence=[lookup_table(entries, first, bits)])
    expected = apply_voi_lut(RAMP.astype(np.int64), header) / (2**bits - 1)
    assert np.array_equal(shown(RAMP, header), expected)


def test_a_table_of_rescaled_values_may_begin_below_0() -> None:
    entries = np.arange(2000)
    header = grey(
        16,
        RAMP,
        RescaleSlope=1,
        RescaleIntercept=-1000,
        VOILUTSequence=[lookup_table(entries, 2**16 - 1000, 16)],
    )
    assert np.array_equal(shown(RAMP, header), RAMP / 65535)


def test_a_modality_table_of_small_pixels_does_not_wrap() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    entries = np.arange(4000) * 16
    header = grey(8, pixels, ModalityLUTSequence=[lookup_table(entries, 0, 16)])
    assert np.array_equal(rescaled(pixels, header), 16 * pixels.astype(int))
    assert np.array_equal(apply_modality_lut(pixels.astype(np.int64), header), 16.0 * pixels)


@pytest.mark.parametrize(
    "tags",
    [
        {"RescaleSlope": "", "RescaleIntercept": ""},
        {"RescaleSlope": 1, "RescaleIntercept": ""},
        {"RescaleSlope": "", "RescaleIntercept": 0},
        {"RescaleSlope": 1, "RescaleIntercept": 0},
        {"VOILUTSequence": [], "ModalityLUTSequence": []},
        {},
    ],
)
def test_empty_tags_and_an_identity_rescale_change_nothing(tags: dict) -> None:
    assert np.array_equal(rescaled(RAMP, grey(16, RAMP, **tags)), RAMP)
    assert rescaled(RAMP, grey(16, RAMP, **tags)).dtype == np.uint16


def test_slopes_and_intercepts_are_pydicoms() -> None:
    header = grey(16, RAMP, RescaleSlope=0.37, RescaleIntercept=-100)
    assert np.array_equal(rescaled(RAMP, header), apply_modality_lut(RAMP, header))


def test_a_window_of_width_0_does_not_lose_the_file(tmp_path: pathlib.Path) -> None:
    """Its window is ignored: the other default applies, here that of CT."""
    header = magnetic_resonance(Modality="CT", WindowCenter=0, WindowWidth=0)
    expected = np.clip((header.pixel_array + 1024.0) * 255 / 4095, 0, 255)
    assert np.abs(read(tmp_path, header) - expected).max() <= 0.51


def test_a_range_that_is_named_replaces_windows_and_defaults() -> None:
    header = grey(16, RAMP, WindowCenter=500, WindowWidth=100, RescaleSlope=2, RescaleIntercept=-5)
    ours = shown(RAMP, header, GreyScale((100.0, 900.0)))
    np.testing.assert_allclose(ours, np.clip((RAMP * 2.0 - 105) / 800, 0, 1), atol=1e-12)
    with pytest.raises(ValueError, match="intensity_range"):
        GreyScale((5.0, 5.0))
    with pytest.raises(ValueError, match="dicom_window=0"):
        GreyScale(window=0)
