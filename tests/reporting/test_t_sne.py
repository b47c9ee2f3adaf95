"""t-SNE maps: every class is named, and collapsed encoders are marked."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from examine_jax.reporting.charts import t_sne
from examine_jax.reporting.charts.t_sne import t_sne_maps

LABELS = np.arange(24) % 3
FEATURES = (3 * np.eye(3, 60)[LABELS] + np.random.default_rng(0).standard_normal((24, 60))).astype(
    np.float32
)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The matplotlib figures of the pictures drawn so far."""
    figures: list[Figure] = []
    whole = t_sne.png
    monkeypatch.setattr(t_sne, "png", lambda figure: figures.append(figure) or whole(figure))
    return figures


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize("first", ["_background", "__", "_nolegend_", ""])
def test_every_class_is_in_the_legend_whatever_its_name(drawn: list[Figure], first: str) -> None:
    picture = t_sne_maps([FEATURES], ["encoder"], LABELS, [first, "tumour", "_stroma"])
    assert Image.open(io.BytesIO(picture)).width > 1000
    assert legend(drawn[0]) == [first, "tumour", "_stroma"]
    assert len(drawn[0].legends[0].legend_handles) == 3


@pytest.mark.parametrize(
    "same",
    [
        np.zeros((24, 60), np.float32),
        np.full((24, 3), 0.1, np.float32),
        np.float32(7)
        * (1 + 5e-8 * np.random.default_rng(0).standard_normal((24, 60))).astype(np.float32),
    ],
    ids=["zeros", "constant", "constant but for rounding"],
)
@pytest.mark.parametrize("place", [0, 1])
def test_the_panel_of_a_collapsed_encoder_says_so(
    drawn: list[Figure], same: np.ndarray, place: int
) -> None:
    both = [FEATURES, same] if place else [same, FEATURES]
    t_sne_maps(both, ["one", "two"], LABELS, ["a", "b", "c"])
    panels = drawn[0].axes
    assert [text.get_text() for text in panels[place].texts] == ["all features are the same"]
    assert not panels[1 - place].texts
    points = [sum(len(dots.get_offsets()) for dots in panel.collections) for panel in panels]
    assert points == ([24, 0] if place else [0, 24])
    assert legend(drawn[0]) == ["a", "b", "c"]


def test_features_with_small_differences_are_drawn(drawn: list[Figure]) -> None:
    t_sne_maps([1 + 1e-4 * FEATURES], ["encoder"], LABELS, ["a", "b", "c"])
    assert not drawn[0].axes[0].texts


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_non_finite_features_are_refused_by_encoder(value: float) -> None:
    broken = FEATURES.copy()
    broken[[3, 5], 2] = value
    with pytest.raises(
        ValueError, match=r"^simclr 32: the features of 2 of 24 images are not finite; leave"
    ) as caught:
        t_sne_maps([FEATURES, broken], ["byol", "simclr 32"], LABELS, ["a", "b", "c"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("panels", [1, 4])
def test_maps_are_drawn_and_repeatable(panels):
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 8
    features = [
        (3 * np.eye(8, 60)[labels] + rng.standard_normal((40, 60))).astype(np.float32)
        for _ in range(panels)
    ]
    names = [f"encoder $ {i}" for i in range(panels)]
    classes = [f"class {i}" for i in range(8)]
    first = t_sne_maps(features, names, labels, classes)
    assert Image.open(io.BytesIO(first)).width > 1000
    assert panels > 1 or first == t_sne_maps(features, names, labels, classes)


@pytest.mark.parametrize(
    ("count", "classes", "names", "message"),
    [
        (4, 8, 1, "4 images make no map"),
        (10, 2, 1, "there are 2 class names"),
        (10, 8, 2, "1 sets of features have 2 names"),
    ],
)
def test_invalid_maps_are_refused(count, classes, names, message):
    with pytest.raises(ValueError, match=message):
        t_sne_maps([np.zeros((count, 3))], ["a"] * names, np.arange(count) % 8, ["c"] * classes)
