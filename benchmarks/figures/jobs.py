"""How long commands take."""

from collections.abc import Callable, Iterator, Sequence

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


TABLES: dict[str, Callable[[], list[str]]] = {
    function.__name__: function for function in (job_rates,)
}
