"""What an encoder from elsewhere is worth."""

from collections.abc import Callable, Iterator, Sequence

from benchmarks.figures.cells import read_csv, table

_FOLDER = "2026-11-30-transfer"


def transfer_histology() -> list[str]:
    """Balanced accuracy by encoder and share, with the verdict."""
    return _metric("histology", "balanced_accuracy", with_verdict=True)


def transfer_histology_auroc() -> list[str]:
    """The same of the AUROC, without a verdict."""
    return _metric("histology", "auroc", with_verdict=False)


def transfer_histology_gains() -> list[str]:
    """Gains over training from scratch."""
    return _gains("histology")


def transfer_x_ray() -> list[str]:
    """As `transfer_histology`."""
    return _metric("x_ray", "balanced_accuracy", with_verdict=True)


def transfer_x_ray_auroc() -> list[str]:
    """As `transfer_histology_auroc`."""
    return _metric("x_ray", "auroc", with_verdict=False)


def transfer_x_ray_gains() -> list[str]:
    """As `transfer_histology_gains`."""
    return _gains("x_ray")


def transfer_adaptation() -> list[str]:
    """The other set's encoder, adapted; and its difference from the same as it came."""
    sets = {"histology": "histology", "x_ray": "X-rays"}
    shares = ("1%", "10%", "100%")

    def cells(row: dict[str, str]) -> Iterator[str]:
        return (row[one] for one in row if "%" in one)

    def rows() -> Iterator[Sequence[str]]:
        for name, shown in sets.items():
            folder = f"{_FOLDER}/{name}/adapted"
            results = {row["encoder"]: row for row in read_csv(f"{folder}/balanced_accuracy.csv")}
            yield (shown, "adapted", *cells(results["source (adapted)"]))
            (difference,) = read_csv(f"{folder}/adaptation.csv")
            yield (shown, difference["difference"], *cells(difference))

    return table(("set", "encoder of the other set", *shares), rows())


def transfer_trainings() -> list[str]:
    """How long the trainings without labels were."""
    found = {name: read_csv(f"{_FOLDER}/{name}/trainings.csv") for name in ("histology", "x_ray")}
    columns = ("images", "steps", "CPU seconds")

    def rows() -> Iterator[Sequence[str]]:
        for name, lines in found.items():
            for row in lines:
                yield (name.replace("_", "-"), row["encoder"], *(row[one] for one in columns))

    return table(("set", "encoder", *columns), rows())


def _metric(name: str, metric: str, *, with_verdict: bool) -> list[str]:
    found = read_csv(f"{_FOLDER}/{name}/{metric}.csv")
    verdicts = {row["encoder"]: row for row in read_csv(f"{_FOLDER}/{name}/verdicts.csv")}
    shares = [column for column in found[0] if column != "encoder"]

    def rows() -> Iterator[Sequence[str]]:
        for row in found:
            said = verdicts[row["encoder"]]
            yield (
                row["encoder"],
                *(
                    f"{row[share]}, {said[share]}"
                    if with_verdict and said[share] not in ("", "control")
                    else row[share]
                    for share in shares
                ),
            )

    return table(("encoder", *shares), rows())


def _gains(name: str) -> list[str]:
    found = read_csv(f"{_FOLDER}/{name}/against_scratch.csv")
    return table(tuple(found[0]), (tuple(row.values()) for row in found))


TABLES: dict[str, Callable[[], list[str]]] = {
    function.__name__: function
    for function in (
        transfer_histology,
        transfer_histology_auroc,
        transfer_histology_gains,
        transfer_x_ray,
        transfer_x_ray_auroc,
        transfer_x_ray_gains,
        transfer_adaptation,
        transfer_trainings,
    )
}
