"""How well the gap separates noise levels."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.figures.cells import code, mean_and_deviation, read_csv, read_json, table

_LEVELS = ("0.1", "0.3", "0.5", "1")


def noise_separation() -> list[str]:
    titles = (
        "images",
        "features",
        "rank correlation",
        *(f"AUROC, δ = {level}" for level in _LEVELS),
    )
    names = {"sample": "sample", "lc25000_96": "histology"}

    def rows() -> Iterator[Sequence[str]]:
        for source, seeds in read_json("2026-11-21-noise-separation.json")["results"].items():
            for features in next(iter(seeds.values()))["separations"]:
                found = [seed["separations"][features] for seed in seeds.values()]
                auroc = np.mean([one["auroc"][1:] for one in found], axis=0)
                correlation = mean_and_deviation([one["rank_correlation"] for one in found])
                yield names[source], features, correlation, *(f"{value:.3f}" for value in auroc)

    return table(titles, rows())


def noise_separation_by_encoder() -> list[str]:
    titles = ("encoder", "rank correlation", *(f"AUROC, δ = {level}" for level in _LEVELS))
    columns = ("rank correlation", *(f"AUROC at δ = {level}" for level in _LEVELS))
    found = read_csv("2026-11-21-examine-experiments/noise_separation.csv")
    return table(
        titles, ((code(row["features"]), *(row[column] for column in columns)) for row in found)
    )


def _noise_correlation(features: str, source: str = "sample") -> str:
    seeds = read_json("2026-11-21-noise-separation.json")["results"][source].values()
    return f"{np.mean([seed['separations'][features]['rank_correlation'] for seed in seeds]):.2f}"


TABLES: dict[str, Callable[[], list[str]]] = {
    function.__name__: function
    for function in (
        noise_separation,
        noise_separation_by_encoder,
    )
}

FIGURES: dict[str, Callable[[], str]] = {
    "noise_correlation_trained": lambda: _noise_correlation("trained encoder"),
    "noise_correlation_untrained": lambda: _noise_correlation("untrained encoder"),
    "noise_correlation_trained_histology": lambda: _noise_correlation(
        "trained encoder", "lc25000_96"
    ),
    "noise_correlation_untrained_histology": lambda: _noise_correlation(
        "untrained encoder", "lc25000_96"
    ),
}
