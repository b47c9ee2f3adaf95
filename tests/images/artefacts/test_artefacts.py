import dataclasses
import hashlib
import io

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image

from examine_jax.images.artefacts import ARTEFACTS, MIDDLE, STRONG, SUITED, WEAK, named_artefact
from examine_jax.images.artefacts.artefact import generator
from examine_jax.images.artefacts.blur import DefocusBlur, convolve, disc, line
from examine_jax.images.artefacts.geometry import smooth_field, stroke

# Recorded once: other draws would make studies that cannot be repeated. JPEG is libjpeg's.
RECORDED = {
    "pen": "9e8d980f5408803a",
    "fold": "9498af66a5bc09ff",
    "defocus": "ab379dae216e1538",
    "motion": "6841095994d82431",
    "bubbles": "71ff9e8d284105fc",
    "blank": "37146cd6e89d2023",
    "noise": "6db19209df71ae69",
    "stain": "db232cd44927cdea",
    "stitching": "ac7798e9a80b43a3",
    "overexposed": "81b1a5b6c326a066",
    "underexposed": "98b1ca9b183b55ad",
    "dust": "aefd195bf33b1c21",
    "collimation": "4e75aa6c262ccee3",
    "markers": "cad6d73a8ff471a3",
    "inverted": "4ab0cf121ede946b",
    "rotated": "45a9f993ac285baa",
    "overlay": "94e046132411aa49",
}


@pytest.fixture(scope="module")
def tissue():
    y, x = np.mgrid[:48, :48] / 48
    waves = np.stack([np.sin(19 * x + k * y) * np.cos(23 * y - k) for k in range(3)], axis=-1)
    return np.uint8(150 + 60 * waves)


@pytest.mark.parametrize("name", ARTEFACTS)
def test_a_seed_gives_one_artefact_and_the_input_stays(name, tissue):
    before = tissue.copy()
    first = ARTEFACTS[name](MIDDLE).apply(tissue, 3)
    assert first.shape == tissue.shape
    assert first.dtype == np.uint8
    assert (first != tissue).any()
    np.testing.assert_array_equal(first, ARTEFACTS[name](MIDDLE).apply(tissue, generator(3)))
    np.testing.assert_array_equal(tissue, before)
    if name not in ("jpeg", "inverted"):  # nothing is drawn
        assert any((first != ARTEFACTS[name](MIDDLE).apply(tissue, s)).any() for s in range(4, 8))


@pytest.mark.parametrize("name", [name for name in ARTEFACTS if name != "jpeg"])
def test_artefacts_equal_the_recorded_ones(name, tissue):
    spoilt = ARTEFACTS[name](MIDDLE).apply(tissue, 2024)
    assert hashlib.sha256(spoilt.tobytes()).hexdigest()[:16] == RECORDED[name]


@pytest.mark.parametrize("name", ARTEFACTS)
def test_more_strength_changes_more(name, tissue):
    if name == "inverted":
        return
    changes = [
        np.mean(
            [
                np.abs(ARTEFACTS[name](strength).apply(tissue, seed).astype(int) - tissue).mean()
                for seed in range(4)
            ]
        )
        for strength in (WEAK, MIDDLE, STRONG)
    ]
    if name == "rotated":  # a pattern that is as far from its copy at all angles
        assert min(changes) > 10
    else:
        assert changes[0] < changes[1] < changes[2]


@pytest.mark.parametrize("name", ARTEFACTS)
def test_images_of_any_shape(name):
    for shape in ((1, 1, 1), (2, 5, 3), (3, 40, 1), (17, 9, 3)):
        for value in (0, 255):
            flat = np.full(shape, value, np.uint8)
            assert ARTEFACTS[name](STRONG).apply(flat, 0).shape == shape


@pytest.mark.parametrize(
    "name", ["pen", "bubbles", "blank", "dust", "collimation", "markers", "overlay", "stitching"]
)
def test_an_artefact_covers_the_same_share_at_all_sizes(name):
    def covered(size):
        flat = np.full((size, size, 1), 120, np.uint8)
        return np.mean(
            [np.abs(ARTEFACTS[name]().apply(flat, s) - 120.0).mean() / 120 for s in range(3)]
        )

    # A line has one pixel at least: smaller images have thicker ones.
    assert covered(112) == pytest.approx(covered(224), rel=0.2)


def test_blur_equals_a_direct_convolution(tissue):
    radius = (
        0.04
        * 48
        * np.random.Generator(np.random.Philox(np.random.SeedSequence(5))).uniform(0.9, 1.1)
    )
    for channel in range(3):
        direct = scipy.ndimage.convolve(
            tissue[..., channel].astype(float), disc(radius), mode="reflect"
        )
        ours = DefocusBlur(STRONG).apply(tissue, 5)[..., channel]
        np.testing.assert_allclose(ours, direct, atol=0.501)
    kernel = line(9.0, 0.4)
    direct = scipy.ndimage.convolve(tissue[..., 0].astype(float), kernel, mode="reflect")
    np.testing.assert_allclose(convolve(tissue.astype(float), kernel)[..., 0], direct, atol=1e-9)


def test_kernels_have_their_size():
    kernel = disc(10.0)
    assert kernel.sum() == pytest.approx(1)
    assert kernel[10, 10] == pytest.approx(1 / (np.pi * 10**2), rel=0.02)
    at = np.arange(-5, 6)
    along = line(10.0, 0.0)
    assert along.sum(axis=0) @ at**2 == pytest.approx(10**2 / 12, rel=0.2)
    assert along.sum(axis=1) @ at**2 < 0.01


def test_compression_is_pillows_at_the_documented_quality(tissue):
    for strength, quality in ((WEAK, 28), (MIDDLE, 17), (STRONG, 5)):
        stored = io.BytesIO()
        Image.fromarray(tissue).save(stored, "JPEG", quality=quality)
        np.testing.assert_array_equal(
            ARTEFACTS["jpeg"](strength).apply(tissue, 0), np.asarray(Image.open(stored))
        )


def test_noise_has_mean_zero_and_the_documented_deviation():
    flat = np.full((128, 128, 3), 128, np.uint8)
    change = ARTEFACTS["noise"](MIDDLE).apply(flat, 1).astype(float) - 128
    deviation = 0.15 * 255 * MIDDLE
    assert abs(change.mean()) < 5 * deviation / np.sqrt(change.size)
    assert change.std() == pytest.approx(deviation, rel=0.02)


def test_a_shifted_stain_scales_what_deconvolution_finds():
    pink = np.broadcast_to(np.uint8([190, 110, 170]), (4, 4, 3)).copy()
    matrix = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
    inverse = np.linalg.inv(matrix / np.linalg.norm(matrix, axis=1, keepdims=True))
    for seed in range(4):
        shifted = ARTEFACTS["stain"](MIDDLE).apply(pink, seed)
        before, after = (
            (-np.log((image[0, 0] + 1.0) / 256)) @ inverse for image in (pink, shifted)
        )
        ratio = (after / before)[:2]
        factor = 2.2**MIDDLE
        np.testing.assert_allclose(
            np.sort(np.log(ratio)), [-np.log(factor), np.log(factor)], atol=0.08
        )


def test_a_quarter_turn_and_an_inversion_are_exact(tissue):
    turned = ARTEFACTS["rotated"](STRONG).apply(tissue, 0)
    assert any(np.array_equal(turned, np.rot90(tissue, k)) for k in (1, 3))
    np.testing.assert_array_equal(ARTEFACTS["inverted"]().apply(tissue, 0), 255 - tissue)


def test_exposure_is_measured_in_stops():
    flat = np.full((8, 8, 1), 60, np.uint8)
    for seed in range(3):
        bright = ARTEFACTS["overexposed"](0.5).apply(flat, seed).mean()
        stops = 2.2 * np.log2(bright / 60)
        assert 0.89 < stops < 1.11
        dark = ARTEFACTS["underexposed"](0.5).apply(flat, seed).mean()
        assert 1.7 < -2.2 * np.log2(dark / 60) < 2.3


def test_blank_glass_covers_the_documented_share():
    dark = np.zeros((100, 100, 3), np.uint8)
    for strength in (WEAK, MIDDLE, STRONG):
        glass = (ARTEFACTS["blank"](strength).apply(dark, 0) > 120).all(axis=-1)
        assert glass.mean() == pytest.approx(0.5 + 0.5 * strength, abs=0.02)


def test_collimation_covers_the_documented_share():
    light = np.full((100, 140, 1), 200, np.uint8)
    for strength in (WEAK, MIDDLE, STRONG):
        shadow = np.mean(
            [(ARTEFACTS["collimation"](strength).apply(light, s) < 100).mean() for s in range(5)]
        )
        assert shadow == pytest.approx(0.7 * strength, abs=0.06)


def test_a_strokes_distance_equals_a_plain_loop():
    points = np.array([[0.1, 0.2], [0.5, 0.4], [0.6, 0.9]])
    signed, place = stroke((6, 9), points)
    for row in range(6):
        for column in range(9):
            at = np.array([(row + 0.5) / 6, (column + 0.5) / 6])
            dense = np.linspace(0, 2, 4001)
            on = np.stack([np.interp(dense, range(3), points[:, axis]) for axis in (0, 1)], 1)
            distances = np.hypot(*(on - at).T)
            assert abs(signed[row, column]) == pytest.approx(distances.min(), abs=1e-3)
            assert place[row, column] == pytest.approx(dense[distances.argmin()], abs=2e-3)
    assert signed.min() < 0 < signed.max()


def test_smooth_noise_equals_scipys_spline_and_has_unit_variance():
    grid = generator(1).standard_normal((9, 12))
    field = smooth_field((30, 48), generator(1), 5.5)
    side = 30
    y, x = np.mgrid[:30, :48]
    at = np.stack([1 + 5.5 * (y + 0.5) / side, 1 + 5.5 * (x + 0.5) / side])
    np.testing.assert_allclose(
        field * 0.48,
        scipy.ndimage.map_coordinates(grid, at, order=3, mode="nearest", prefilter=False),
        atol=1e-12,
    )
    assert smooth_field((64, 64), generator(2), 30.0).std() == pytest.approx(1, abs=0.15)


def test_what_is_not_an_image_is_refused():
    pen = ARTEFACTS["pen"]()
    for wrong in (
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
    ):
        with pytest.raises(ValueError, match="give uint8"):
            pen.apply(wrong, 0)
    with pytest.raises(ValueError, match="empty"):
        pen.apply(np.zeros((0, 4, 3), np.uint8), 0)
    with pytest.raises(ValueError, match="seed=-1"):
        pen.apply(np.zeros((4, 4, 3), np.uint8), -1)


@pytest.mark.parametrize("strength", [0.0, -0.1, 1.01, float("nan"), float("inf")])
def test_strengths_out_of_range_are_refused(strength):
    with pytest.raises(ValueError, match="strength="):
        named_artefact("pen", strength)


def test_the_registry_is_complete():
    assert {name for names in SUITED.values() for name in names} == set(ARTEFACTS)
    assert set(SUITED) == {"histology", "dermoscopy", "x_ray", "ultrasound", "any"}
    assert all(dataclasses.is_dataclass(kind) and kind.__doc__ for kind in ARTEFACTS.values())
    assert all("Source:" in (kind.__doc__ or "") for kind in ARTEFACTS.values())
    with pytest.raises(ValueError, match="unknown artefact 'pens'"):
        named_artefact("pens", 1.0)
