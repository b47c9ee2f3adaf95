"""Where the tiles of whole slides lie, as columns of a table."""

import os
from collections.abc import Sequence

from examine_jax.images.decoding.tiling import place_in_slide
from examine_jax.images.slide_overviews import slide_facts


def slide_columns(
    source: str | os.PathLike[str], stored_names: Sequence[str], names: Sequence[str]
) -> dict[str, list[str | int | float | None]]:
    """The place of each tile; None where an image is no tile. No columns where none is.

    Args:
        source: of the images, as in `load_images`.
        stored_names: [N], by which the images' files are found.
        names: [N], as they may be shown.

    Returns:
        slide: its name; x, y, width: of the tile in pixels of level 0; mpp: micrometres a pixel of
        level 0, None where they are not known.
    """
    places = [place_in_slide(name) for name in stored_names]
    slides = list(dict.fromkeys(place[0] for place in places if place is not None))
    if not slides:
        return {}
    facts = slide_facts(source, slides)
    resolutions = {slide: facts[slide][1] if slide in facts else None for slide in slides}
    shown = [place_in_slide(name) for name in names]
    columns: dict[str, list[str | int | float | None]] = {
        "slide": [None if place is None else place[0] for place in shown]
    }
    for column, name in enumerate(("x", "y", "width"), 1):
        columns[name] = [None if place is None else place[column] for place in places]
    columns["mpp"] = [None if place is None else resolutions[place[0]] for place in places]
    return columns
