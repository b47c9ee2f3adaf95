"""Detectors."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.figures.cells import mean_and_deviation, read_csv, read_json, span, table

_SWEEP = "2026-11-30-detection-sweep"


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


def detection_sweep() -> list[str]:
    """Average precision by share of the labels, with and without self-supervision, by seed."""
    found = read_csv(f"{_SWEEP}/results.csv")

    def of(share: str, row: str, figure: str) -> list[float]:
        return [float(one[figure]) for one in found if one["share"] == share and one["row"] == row]

    def rows() -> Iterator[Sequence[str]]:
        for share in dict.fromkeys(one["share"] for one in found):
            images = next(one["labelled"] for one in found if one["share"] == share)
            alone, pretrained = (
                of(share, row, "ap") for row in ("random weights", "self-supervision")
            )
            gains = [f"{a - b:+.3f}" for a, b in zip(pretrained, alone)]
            yield (
                f"{float(share):.0%}",
                images,
                *(
                    mean_and_deviation(of(share, row, figure)) if of(share, row, figure) else ""
                    for figure in ("ap", "ap50")
                    for row in ("random weights", "self-supervision")
                ),
                ", ".join(gains),
            )

    titles = ("share", "images", "AP, random weights", "AP, self-supervision")
    more = ("AP50, random weights", "AP50, self-supervision", "what it adds to AP, by seed")
    return table((*titles, *more), rows())


def boxes_to_draw() -> list[str]:
    """Average precision of detectors on images that `select` chose, beside random ones."""
    found = read_json(f"{_SWEEP}/boxes_to_draw.json")["rows"]

    def rows() -> Iterator[Sequence[str]]:
        for share in dict.fromkeys(one["share"] for one in found):
            own = [one for one in found if one["share"] == share]
            yield (
                f"{share:.0%}",
                str(own[0]["images"]),
                *(
                    mean_and_deviation([one[f"{figure}_{way}"] for one in own])
                    for figure in ("ap", "ap50")
                    for way in ("random", "chosen")
                ),
                ", ".join(f"{one['ap_chosen'] - one['ap_random']:+.3f}" for one in own),
            )

    titles = ("share", "images", "AP, random", "AP, chosen", "AP50, random", "AP50, chosen")
    return table((*titles, "what the choice adds to AP, by seed"), rows())


def _detection_minutes() -> str:
    seeds = read_json("2026-11-30-detection-bccd.json")["seeds"]
    return span([seed["cpu_seconds"] / 60 for seed in seeds], 1)


TABLES: dict[str, Callable[[], list[str]]] = {
    function.__name__: function for function in (detection_bccd, detection_sweep, boxes_to_draw)
}

FIGURES: dict[str, Callable[[], str]] = {
    "detection_minutes": _detection_minutes,
}
