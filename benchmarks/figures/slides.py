"""Tiles of whole slides beside openslide alone."""

from collections.abc import Callable
from typing import Any

from benchmarks.figures.cells import read_json, table


def _record() -> Any:
    return read_json("2026-11-30-slide-tiles.json")


def slide_tile_times() -> list[str]:
    titles = (
        "image size",
        "openslide's `read_region`",
        "the same and Pillow's resize",
        "ours, one process",
        "`load_images`, all processes",
    )
    columns = ("openslide", "openslide_and_pillow", "in_one_process", "load_images")

    def row(size: str, found: dict[str, Any]) -> list[str]:
        times = found["cpu_milliseconds_a_tile"]
        return [size, *(f"{times[column]:.1f}" for column in columns)]

    return table(titles, (row(*item) for item in _record()["sizes"].items()))


def large_slide_memory() -> str:
    large = _record()["large"]
    return f"{max(large['peak_mib'], *large['peak_mib_of_workers']):.0f}"


TABLES: dict[str, Callable[[], list[str]]] = {"slide_tile_times": slide_tile_times}
FIGURES: dict[str, Callable[[], str]] = {"large_slide_memory": large_slide_memory}
