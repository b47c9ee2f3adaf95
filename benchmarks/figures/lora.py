"""A step of low-rank pairs beside one of all weights."""

from collections.abc import Callable, Iterator, Sequence

from benchmarks.figures.cells import read_json, table

_KINDS = {
    "full": "all weights",
    "lora": "pairs of rank {}",
    "lora_remat": "the same, blocks computed again",
}


def lora_step() -> list[str]:
    record = read_json("2026-11-30-lora-step.json")
    titles = (
        "trained",
        "parameters",
        "optimiser, MB",
        "arguments and temporaries, MB",
        "peak of the process, MB",
        "CPU seconds a step",
    )

    def rows() -> Iterator[Sequence[str]]:
        for kind, name in _KINDS.items():
            found = record[kind]
            held = found["argument_bytes"] + found["temporary_bytes"]
            yield (
                name.format(record["settings"]["rank"]),
                f"{found['trained_parameters'] / 1e6:.1f} M",
                f"{found['optimiser_bytes'] / 1e6:.0f}",
                f"{held / 1e6:,.0f}",
                f"{found['peak_resident_bytes'] / 1e6:,.0f}",
                f"{found['cpu_seconds']:.1f}",
            )

    return table(titles, rows())


TABLES: dict[str, Callable[[], list[str]]] = {"lora_step": lora_step}
