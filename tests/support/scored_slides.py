"""A small whole slide whose tiles are scored."""

import numpy as np

from examine_jax.images.slide_overviews import SlideOverview
from examine_jax.reporting.scored_slide import ScoredSlide


def scored_slide(name: str = "s.svs", offset: tuple[int, int] = (0, 0)) -> ScoredSlide:
    """4 tiles of 100 pixels in a slide of 400 x 200, with an overview of 40 x 20."""
    tissue = np.zeros((20, 40), bool)
    tissue[:, 10:30] = True
    picture = np.where(tissue[..., None], (200, 90, 160), 240).astype(np.uint8)
    return ScoredSlide(
        name,
        SlideOverview(picture, tissue, (400, 200), offset, 0.5),
        np.array([[100, 0, 100], [100, 100, 100], [200, 0, 100], [200, 100, 100]]),
        np.array([0.5, 1.5, np.nan, 1e-9]),
        np.exp(-np.array([0.5, 1.5, np.nan, 1e-9])),
        np.array([2, 3, 4, 1]),
        np.array([0.1, 2.5, np.inf, 0.3]),
        ((), ("blurred", "odd_colour"), ("odd_layout",), ()),
        np.array([True, False, True, True]),
        np.array([0, 0, 2, 1]),
    )
