"""GeoJSON of a slide's tiles against RFC 7946 and the objects that QuPath reads."""

import json
import pathlib
import uuid
from typing import Any

import jsonschema
import numpy as np
import pytest

from examine_jax.reporting.charts.heat_colours import HeatColours
from examine_jax.reporting.hand_over.geojson import write_geojson
from tests.support.scored_slides import scored_slide

# QuPath's documentation and its reader (QuPathTypeAdapters) from version 0.4 on.
_COLOUR = {
    "type": "array",
    "items": {"type": "integer", "minimum": 0, "maximum": 255},
    "minItems": 3,
    "maxItems": 3,
}
_POINT = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
QUPATH: dict[str, Any] = {
    "type": "object",
    "required": ["type", "features"],
    "additionalProperties": False,
    "properties": {
        "type": {"const": "FeatureCollection"},
        "features": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["type", "id", "geometry", "properties"],
                "additionalProperties": False,
                "properties": {
                    "type": {"const": "Feature"},
                    "id": {"type": "string", "format": "uuid"},
                    "geometry": {
                        "type": "object",
                        "required": ["type", "coordinates"],
                        "additionalProperties": False,
                        "properties": {
                            "type": {"const": "Polygon"},
                            "coordinates": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "array", "items": _POINT, "minItems": 4},
                            },
                        },
                    },
                    "properties": {
                        "type": "object",
                        "required": ["objectType"],
                        "additionalProperties": False,
                        "properties": {
                            "objectType": {"enum": ["tile", "annotation"]},
                            "name": {"type": "string"},
                            "color": _COLOUR,
                            "classification": {
                                "type": "object",
                                "required": ["name", "color"],
                                "additionalProperties": False,
                                "properties": {"name": {"type": "string"}, "color": _COLOUR},
                            },
                            "isLocked": {"type": "boolean"},
                            "measurements": {
                                "type": "object",
                                "additionalProperties": {"type": "number"},
                            },
                        },
                    },
                },
            },
        },
    },
}


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    collection = json.loads(path.read_text("ascii"), parse_constant=_refuse)
    jsonschema.validate(collection, QUPATH, format_checker=jsonschema.FormatChecker())
    features: list[dict[str, Any]] = collection["features"]
    for feature in features:
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        x, y = np.array(ring).T
        area = float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)
        assert abs(area) == (x.max() - x.min()) * (y.max() - y.min()) > 0
    return features


@pytest.fixture
def written(tmp_path: pathlib.Path) -> list[dict[str, Any]]:
    slide = scored_slide(offset=(30, 10))
    write_geojson(tmp_path / "t.geojson", slide, HeatColours.of(slide.gap))
    return read(tmp_path / "t.geojson")


def test_each_tile_is_a_square_with_its_values(written: list[dict[str, Any]]) -> None:
    tiles = [one for one in written if one["properties"]["objectType"] == "tile"]
    assert len(tiles) == 4
    # QuPath counts from the corner of the scanned part.
    ring = [[70, 90], [170, 90], [170, 190], [70, 190], [70, 90]]
    assert tiles[1]["geometry"]["coordinates"] == [ring]
    properties = tiles[1]["properties"]
    assert properties["name"] == "x=100&y=100&w=100"
    assert properties["classification"]["name"] == "blurred"
    assert properties["measurements"] == {
        "gap": 1.5,
        "score": np.exp(-1.5),
        "rank": 3,
        "outlier": 2.5,
        "usable": 0,
    }
    # Neither NaN nor infinity is JSON.
    assert tiles[2]["properties"]["measurements"] == {"rank": 4, "usable": 1, "order to label": 2}
    assert tiles[2]["properties"]["color"] == [128] * 3
    assert "classification" not in tiles[0]["properties"]


def test_tiles_to_label_are_annotations_in_their_order(written: list[dict[str, Any]]) -> None:
    chosen = [one for one in written if one["properties"]["objectType"] == "annotation"]
    assert [one["properties"]["name"] for one in chosen] == ["1", "2"]
    assert [one["geometry"]["coordinates"][0][0] for one in chosen] == [[170, 90], [170, -10]]
    for one in chosen:
        assert one["properties"]["classification"]["name"] == "to label"
        assert one["properties"]["isLocked"] is True


def test_identifiers_differ_and_stay(written: list[dict[str, Any]], tmp_path: pathlib.Path) -> None:
    own = [one["id"] for one in written]
    assert len(set(own)) == len(own) == 6
    assert all(str(uuid.UUID(one)) == one for one in own)
    slide = scored_slide("another.svs")
    write_geojson(tmp_path / "u.geojson", slide, HeatColours.of(slide.gap))
    assert not {one["id"] for one in read(tmp_path / "u.geojson")} & set(own)
