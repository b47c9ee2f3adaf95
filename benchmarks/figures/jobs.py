"""How long commands take."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.figures.cells import read_json, table


def job_rates() -> list[str]:
    stages = read_json("2026-11-30-job-rates.json")["stages"]
    titles = (
        "stage",
        "images a CPU second",
        "CPU seconds for 10,000 images",
        "CPU seconds more at the first call",
    )

    def rows() -> Iterator[Sequence[str]]:
        for name, one in stages.items():
            rate = one["images"] / one["cpu_seconds"]
            own = one.get("first_images", one["images"]) / rate
            more = max(one["first_call"] - own, 0) if "first_call" in one else None
            once = name.startswith("train")
            yield (
                name,
                f"{rate:,.0f}",
                "" if once else f"{10_000 / rate:.1f}",
                "" if more is None else f"{more:.1f}",
            )

    return table(titles, rows())


def default_training() -> list[str]:
    runs = sorted(
        read_json("2026-11-30-default-training.json")["runs"],
        key=lambda run: (run["steps"] * run["batch_size"], run["pixels"], run["seed"]),
    )
    titles = (
        "steps",
        "batch",
        "pixels",
        "CPU seconds",
        "sample: noise, rank correlation",
        "histology: noise, rank correlation",
        "histology: kNN",
    )

    def rows() -> Iterator[Sequence[str]]:
        for training in dict.fromkeys(run["training"] for run in runs):
            own = [run for run in runs if run["training"] == training]
            first = own[0]
            seconds = [run["cpu_seconds"] for run in own if run["cpu_seconds"] is not None]

            def values(name: str, source: str, own: list[dict[str, Any]] = own) -> str:
                return " ".join(f"{run[name]:.3f}" for run in own if run["set"] == source)

            yield (
                str(first["steps"]) if first["steps"] else "untrained",
                str(first["batch_size"]) if first["steps"] else "",
                "scaled" if first["pixels"] != [0.0, 1.0] else "0 to 1",
                f"{sum(seconds) / len(seconds):.0f}" if seconds and first["steps"] else "",
                values("separation", "sample"),
                values("separation", "lc25000_96"),
                values("knn", "lc25000_96"),
            )

    return table(titles, rows())


TABLES: dict[str, Callable[[], list[str]]] = {
    function.__name__: function for function in (job_rates, default_training)
}
