"""Time and memory on many processes."""

from collections.abc import Callable, Iterator, Sequence

from benchmarks.figures.cells import read_json, table

_RECORD = "2026-11-30-cluster-model.json"


def cluster_model() -> list[str]:
    """What scoring takes in one process, and what the model says."""
    record = read_json(_RECORD)

    def rows() -> Iterator[Sequence[str]]:
        for count, found in record["measured"].items():
            said = record["predicted"].get(count)
            yield (
                f"{int(count):,}",
                f"{found['cpu_seconds']:.1f}",
                "(fitted)" if said is None else f"{said['cpu_seconds']:.1f}",
                f"{found['peak_mib']:.0f}",
                "(fitted)" if said is None else f"{said['peak_mib']:.0f}",
            )

    titles = ("rows", "CPU seconds", "predicted", "peak memory, MiB", "predicted")
    return table(titles, rows())


def cluster_prediction() -> list[str]:
    """The same for a large corpus on many processes."""
    found = read_json(_RECORD)["cluster"]
    rows = (
        ("features, read twice by all processes together", f"{found['features_gib']:.0f} GiB"),
        ("CPU time of each process", f"{found['cpu_seconds_a_process'] / 60:.1f} minutes"),
        (
            "CPU time of the first process to rank and write the table",
            f"{found['cpu_seconds_of_writing'] / 60:.1f} minutes",
        ),
        ("results, in each process", f"{found['results_mib'] / 1024:.1f} GiB"),
        ("summaries of all processes, in each", f"{found['summaries_mib']:.0f} MiB"),
    )
    return table(("what", "predicted"), iter(rows))


def two_processes() -> list[str]:
    """Commands as one process on one core, and as two on a core each."""
    record = read_json("2026-11-30-two-processes.json")

    def rows() -> Iterator[Sequence[str]]:
        for name, found in record["found"].items():
            one, two = found["one"], found["two"]
            yield (
                f"`{name}`: {record['commands'][name]}",
                *(
                    " ".join(f"{turn[what]:.0f}" for turn in turns)
                    for what in ("seconds", "cpu_seconds")
                    for turns in (one, two)
                ),
                f"{found['largest_difference']:.0e}",
            )

    titles = (
        "command",
        "seconds, one",
        "seconds, two",
        "CPU seconds, one",
        "CPU seconds, the busier of two",
        "largest difference",
    )
    return table(titles, rows())


TABLES: dict[str, Callable[[], list[str]]] = {
    "cluster_model": cluster_model,
    "cluster_prediction": cluster_prediction,
    "two_processes": two_processes,
}
