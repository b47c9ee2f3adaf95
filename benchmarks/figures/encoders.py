"""What training teaches, and what it costs."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from benchmarks.figures.cells import code, mean_and_error, read_csv, read_json, table


def learning() -> list[str]:
    titles = (
        "features",
        "kNN, cosine",
        "kNN, z-scored",
        "kNN, Euclidean",
        "noise, rank correlation",
        "RankMe",
        "steps",
    )
    seeds = read_json("2026-11-21-learning.json")["records"]
    controls = ("colour statistics", "raw pixels", "untrained")
    methods = ("mae", "autoencoder", "simclr", "dcl", "byol", "simsiam", "vicreg")

    def rows() -> Iterator[Sequence[str]]:
        for name in (*controls, *methods):
            found = [seed[name] for seed in seeds.values()]
            accuracies = (
                mean_and_error([one[f"knn{form}"] for one in found])
                for form in ("", "_zscored", "_euclidean")
            )
            noise = mean_and_error([one["noise_separation"]["rank_correlation"] for one in found])
            rank = f"{np.mean([one['rank_me'] for one in found]):.1f}"
            yield code(name), *accuracies, noise, rank, str(found[0].get("steps", ""))

    return table(titles, rows())


def batch_sizes() -> list[str]:
    found = read_csv("2026-11-22-low-resource/batch_sizes.csv")
    sizes = list(dict.fromkeys(row["batch size"] for row in found))
    cells = {
        (row["encoder"], row["batch size"]): f"{row['accuracy']}, {row['verdict']}" for row in found
    }
    encoders = dict.fromkeys(row["encoder"] for row in found)
    titles = ("encoder", *(f"batch of {size}" for size in sizes))
    return table(
        titles, ((f"`{name}`", *(cells[name, size] for size in sizes)) for name in encoders)
    )


def pretraining_speed() -> list[str]:
    titles = (
        "micro-batches",
        "a step (median)",
        "PyTorch, eager (median)",
        "ratio of medians",
        "ratio of the fastest",
    )

    def rows() -> Iterator[Sequence[str]]:
        for one in read_json("2026-11-21-pretraining-speed.json")["mae_step"]:
            seconds = (f"{one[name]:.3f} s" for name in ("median_s", "torch_median_s"))
            ratios = (f"{one[f'torch_over_ours_{name}']:.2f}" for name in ("medians", "fastest"))
            yield str(one["micro_batches"]), *seconds, *ratios

    return table(titles, rows())


def resnet_step() -> list[str]:
    titles = ("image size", "micro-batches", "a step by itself", "inside a compiled loop", "ratio")

    def rows() -> Iterator[Sequence[str]]:
        for one in read_json("2026-11-22-resnet-step.json")["resnet_step"]:
            seconds = (f"{one[name]:.2f} s" for name in ("median_s", "looped_median_s"))
            yield (
                f"{one['image_size']} px",
                str(one["micro_batches"]),
                *seconds,
                f"{one['looped_over_ours']:.1f}",
            )

    return table(titles, rows())


def method_presets() -> list[str]:
    from examine_jax.pretraining import method_names, preset_names

    return table(
        ("method", "presets"),
        (
            (f"`{name}`", ", ".join(f"`{preset}`" for preset in preset_names(name)))
            for name in method_names()
        ),
    )


def _first_step(cache: str) -> str:
    found = read_json("2026-11-21-pretraining-speed.json")["first_step"]
    return next(f"{one['median_s']:.1f} s" for one in found if one["compilation_cache"] == cache)


TABLES: dict[str, Callable[[], list[str]]] = {
    function.__name__: function
    for function in (
        learning,
        batch_sizes,
        pretraining_speed,
        resnet_step,
        method_presets,
    )
}

FIGURES: dict[str, Callable[[], str]] = {
    "first_step_without_cache": lambda: _first_step("none"),
    "first_step_with_cache": lambda: _first_step("filled"),
}
