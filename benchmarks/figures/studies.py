"""The papers' studies."""

from collections.abc import Callable, Iterator, Sequence

from benchmarks.figures.cells import code, read_csv, read_json, table


def low_resource() -> list[str]:
    return _low_resource("2026-11-22-low-resource", with_settings=True)


def low_resource_dermoscopy() -> list[str]:
    return _low_resource("2026-11-22-low-resource/dermoscopy_two_seeds", with_settings=False)


def _low_resource(folder: str, *, with_settings: bool) -> list[str]:
    knn, probe = (
        read_csv(f"{folder}/table_2.csv"),
        {row["encoder"]: row for row in read_csv(f"{folder}/table_3.csv")},
    )
    columns = ("accuracy", "weighted F1", "balanced accuracy")
    titles = [
        "encoder",
        *(f"kNN: {column}" for column in columns),
        "",
        *(f"probe: {column}" for column in columns),
        "",
    ]
    settings = (
        {
            row["encoder"]: row["batch size (learning rate)"]
            for row in read_csv(f"{folder}/table_1.csv")
        }
        if with_settings
        else {}
    )
    if with_settings:
        titles.append("the probe's batch size (learning rate)")

    def rows() -> Iterator[Sequence[str]]:
        for row in knn:
            cells = [row["encoder"] if row["verdict"] == "control" else f"`{row['encoder']}`"]
            for found in (row, probe[row["encoder"]]):
                cells += [
                    *(found[column] for column in columns),
                    "" if found["verdict"] == "control" else found["verdict"],
                ]
            yield [*cells, *([settings[row["encoder"]]] if with_settings else [])]

    return table(titles, rows())


def byol_tracin() -> list[str]:
    folder = "2026-11-22-byol-tracin"
    transfer = {row["method"]: row["BMA"] for row in read_csv(f"{folder}/transfer.csv")}
    extra = {
        row["method"]: row["of the right class"]
        for row in read_csv(f"{folder}/extra_positives.csv")
    }
    found = read_csv(f"{folder}/semi_supervised_bma.csv")
    shares = [column for column in found[0] if column != "method"]
    titles = ("pre-training", *shares, "transfer", "right extra positives")

    def rows() -> Iterator[Sequence[str]]:
        for row in found:
            name = row["method"]
            yield (
                code(name),
                *(row[share] for share in shares),
                transfer[name],
                extra.get(name, ""),
            )

    return table(titles, rows())


def byol_tracin_cost() -> list[str]:
    found = read_json("2026-11-21-byol-tracin-cost.json")["methods"]
    titles = ("method", "CPU time over BYOL's", "wall time over BYOL's", "operations over BYOL's")
    columns = ("cpu_over_byol", "wall_over_byol", "flops_over_byol")
    return table(
        titles,
        (
            (f"`{name}`", *(f"{one[column]:.2f}" for column in columns))
            for name, one in found.items()
        ),
    )


TABLES: dict[str, Callable[[], list[str]]] = {
    function.__name__: function
    for function in (
        low_resource,
        low_resource_dermoscopy,
        byol_tracin,
        byol_tracin_cost,
    )
}
