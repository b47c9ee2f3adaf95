"""The tiles of a slide as GeoJSON that QuPath opens: File, Import objects from file.

A `FeatureCollection` of one polygon a tile, in pixels of the finest level, counted from the upper
left corner of the scanned part of the slide, as QuPath counts them. Tiles are QuPath's objects of
type "tile", with their values as measurements and the colour of their gap; the tiles to label are
locked annotations besides.

Source: QuPath's documentation, "Exporting annotations" and "GeoJSON"; RFC 7946.
"""

import json
import math
import pathlib
import uuid
from collections.abc import Iterator
from typing import Any

import numpy as np

from examine_jax.common.atomic_files import replacing
from examine_jax.reporting.charts.drawing import VERMILLION
from examine_jax.reporting.charts.heat_colours import HeatColours
from examine_jax.reporting.scored_slide import ScoredSlide

# The class of the tiles to label.
TO_LABEL = "to label"

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://qupath.github.io")


def write_geojson(path: pathlib.Path, slide: ScoredSlide, gaps: HeatColours) -> None:
    """Writes the tiles of a slide, whole or not at all.

    Args:
        path: of the file.
        slide: its tiles and their values.
        gaps: the colours of gaps.

    Raises:
        OSError: the file cannot be written.
    """
    with replacing(path) as stream:
        stream.write(b'{"type":"FeatureCollection","features":[\n')
        for row, feature in enumerate(_features(slide, gaps)):
            text = json.dumps(feature, separators=(",", ":"), allow_nan=False)
            stream.write((",\n" if row else "").encode() + text.encode("ascii"))
        stream.write(b"\n]}\n")


def _features(slide: ScoredSlide, gaps: HeatColours) -> Iterator[dict[str, Any]]:
    colours = gaps.bytes_of(slide.gap)
    for index in range(len(slide.tiles)):
        tile: dict[str, Any] = {
            "objectType": "tile",
            "name": _name(slide, index),
            "color": colours[index].tolist(),
        }
        if slide.findings[index]:
            tile["classification"] = _class(slide.findings[index][0].replace("_", " "))
        tile["measurements"] = _measurements(slide, index)
        yield _feature(slide, index, tile)
    for index in np.argsort(slide.order, kind="stable").tolist():
        if slide.order[index]:
            yield _feature(
                slide,
                index,
                {
                    "objectType": "annotation",
                    "name": f"{slide.order[index]}",
                    "color": _rgb(VERMILLION),
                    "classification": _class(TO_LABEL),
                    "isLocked": True,
                    "measurements": _measurements(slide, index),
                },
            )


def _feature(slide: ScoredSlide, index: int, properties: dict[str, Any]) -> dict[str, Any]:
    x, y, width = (int(number) for number in slide.tiles[index])
    left, top = x - slide.overview.offset[0], y - slide.overview.offset[1]
    right, bottom = left + width, top + width
    ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
    named = f"{slide.name}?x={x}&y={y}&w={width}#{properties['objectType']}"
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(_NAMESPACE, named)),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": properties,
    }


def _name(slide: ScoredSlide, index: int) -> str:
    x, y, width = slide.tiles[index]
    return f"x={x}&y={y}&w={width}"


def _measurements(slide: ScoredSlide, index: int) -> dict[str, int | float]:
    """Numbers by name. JSON has neither NaN nor infinity: such values are left out."""
    found: dict[str, int | float] = {
        "gap": float(slide.gap[index]),
        "score": float(slide.score[index]),
        "rank": int(slide.rank[index]),
    }
    if slide.outlier is not None:
        found["outlier"] = float(slide.outlier[index])
    if slide.usable is not None:
        found["usable"] = int(slide.usable[index])
    if slide.order[index]:
        found["order to label"] = int(slide.order[index])
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _class(name: str) -> dict[str, Any]:
    """A class and its colour, which is the same in every file."""
    if name == TO_LABEL:
        return {"name": name, "color": _rgb(VERMILLION)}
    shade = uuid.uuid5(_NAMESPACE, name).bytes
    return {"name": name, "color": [64 + shade[0] // 2, 64 + shade[1] // 2, 64 + shade[2] // 2]}


def _rgb(colour: str) -> list[int]:
    return list(bytes.fromhex(colour.removeprefix("#")))
