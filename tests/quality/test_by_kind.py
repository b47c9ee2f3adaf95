"""Images of several kinds are judged each among its own."""

import numpy as np
import pytest

from examine_jax.quality import describe, find, find_by_kind


def _pictures(count: int, level: float, seed: int) -> np.ndarray:
    """Smooth pictures of one brightness."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.linspace(0, 3, 24), np.linspace(0, 3, 24))
    phases = rng.uniform(0, 6, (count, 2, 1, 1))
    waves = np.sin(x + phases[:, 0]) * np.cos(y + phases[:, 1])
    noise = rng.normal(0, 2, (count, 24, 24))
    return np.clip(level + 30 * waves + noise, 0, 255).astype(np.uint8)[..., None]


@pytest.fixture(scope="module")
def mixed() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(pixels, descriptions, kinds) of dark CT, bright MR and 4 US, of which one is black."""
    pixels = np.concatenate([_pictures(30, 60, 0), _pictures(14, 200, 1), _pictures(4, 120, 2)])
    pixels[-1] = 0
    kinds = np.array(["CT"] * 30 + ["MR"] * 14 + ["US"] * 4)
    order = np.random.default_rng(3).permutation(len(pixels))
    pixels, kinds = pixels[order], kinds[order]
    return pixels, np.stack([describe(one) for one in pixels]), kinds


def test_each_kind_is_judged_as_if_it_were_alone(
    mixed: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    pixels, descriptions, kinds = mixed
    features = descriptions[:, :5]
    found = find_by_kind(descriptions, kinds.tolist(), pixels=pixels, features=features)
    for kind in ("CT", "MR", "US"):
        rows = np.flatnonzero(kinds == kind)
        own = find(descriptions[rows], pixels=pixels[rows], features=features[rows])
        assert np.array_equal(found.usable[rows], own.usable)
        assert np.array_equal(found.outlier[rows], own.outlier)
        assert tuple(found.findings[row] for row in rows) == own.findings
        for name, values in own.values.items():
            assert np.array_equal(found.values[name][rows], values)
            assert np.array_equal(found.limits[name][rows], own.limits[name])
        copies = np.where(own.duplicates_of < 0, -1, rows[own.duplicates_of])
        assert np.array_equal(found.duplicates_of[rows], copies)
    few = kinds == "US"
    assert found.usable[few].sum() == 3  # The black one is certainly damaged.


def test_one_kind_is_as_none(mixed: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    _, descriptions, _ = mixed
    one = find_by_kind(descriptions, [""] * len(descriptions))
    plain = find(descriptions)
    assert one.findings == plain.findings
    assert np.array_equal(one.outlier, plain.outlier)


def test_reference_images_serve_their_own_kind(
    mixed: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    _, descriptions, kinds = mixed
    reference = np.stack([describe(one) for one in _pictures(12, 60, 4)])
    found = find_by_kind(
        descriptions, kinds.tolist(), reference=reference, reference_kinds=["CT"] * 12
    )
    for kind, own in (("CT", reference), ("MR", None)):
        rows = np.flatnonzero(kinds == kind)
        alone = find(descriptions[rows], reference=own)
        assert np.array_equal(found.outlier[rows], alone.outlier)
    everywhere = find_by_kind(
        descriptions, kinds.tolist(), reference=reference, reference_kinds=[""] * 12
    )
    rows = np.flatnonzero(kinds == "MR")
    alone = find(descriptions[rows], reference=reference)
    assert np.array_equal(everywhere.outlier[rows], alone.outlier)


def test_what_does_not_fit_is_refused(mixed: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    _, descriptions, _ = mixed
    with pytest.raises(ValueError, match="48 descriptions, but 2 kinds"):
        find_by_kind(descriptions, ["CT", "MR"])
    with pytest.raises(ValueError, match="fewer than 10 reference images are of the kind 'CT'"):
        find_by_kind(
            descriptions,
            ["CT"] * 48,
            reference=descriptions[:12],
            reference_kinds=["MR"] * 12,
        )
    with pytest.raises(ValueError, match="is empty"):
        find_by_kind(descriptions[:0], [])
