"""Detectors."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.figures.cells import mean_and_deviation, read_json, span, table


def detection_bccd() -> list[str]:
    """Average precision by seed, against the original boxes and against TXL-PBC's."""
    seeds = read_json("2026-11-30-detection-bccd.json")["seeds"]
    truths = (("original", "original"), ("txl_pbc", "TXL-PBC's"))

    def rows() -> Iterator[Sequence[str]]:
        for key, shown in truths:
            own = [seed[key] for seed in seeds]
            by_class = (
                f"{np.mean([one['ap50_by_class'][name] for one in own]):.3f}"
                for name in own[0]["ap50_by_class"]
            )
            yield (
                shown,
                str(own[0]["images"]),
                str(own[0]["boxes"]),
                mean_and_deviation([one["ap50"] for one in own]),
                mean_and_deviation([one["ap"] for one in own]),
                *by_class,
            )

    names = tuple(f"AP50 {name}" for name in seeds[0]["original"]["ap50_by_class"])
    return table(("true boxes", "images", "boxes", "AP50", "AP", *names), rows())


def _detection_minutes() -> str:
    seeds = read_json("2026-11-30-detection-bccd.json")["seeds"]
    return span([seed["cpu_seconds"] / 60 for seed in seeds], 1)


TABLES: dict[str, Callable[[], list[str]]] = {
    function.__name__: function for function in (detection_bccd,)
}

FIGURES: dict[str, Callable[[], str]] = {
    "detection_minutes": _detection_minutes,
}
