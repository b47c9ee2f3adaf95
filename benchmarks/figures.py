"""Write figures into README.md and docs/: the measured ones from the records in benchmarks/results.

    python -m benchmarks.figures            # fails if a page differs from the records
    python -m benchmarks.figures --write    # writes the pages anew

A page holds a table between `<!-- table: NAME -->` and `<!-- /table -->`, and a figure within a
sentence between `<!-- figure: NAME -->` and `<!-- /figure -->`. A new table or figure is one
function here and its entry in TABLES or FIGURES. Nothing is rounded or copied by hand.
"""

import csv
import json
import pathlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"

_TABLE = re.compile(r"(<!-- table: (\S+) -->\n).*?(<!-- /table -->)", re.DOTALL)
_FIGURE = re.compile(r"(<!-- figure: (\S+) -->)[^\n]*?(<!-- /figure -->)")
_OPENING = re.compile(r"<!-- (table|figure): (\S+) -->")


def pages(root: pathlib.Path = ROOT) -> list[pathlib.Path]:
    """README.md and every page of docs/ that is written by hand."""
    generated = {root / "docs" / "_build", root / "docs" / "api"}
    docs = sorted((root / "docs").rglob("*.md"))
    return [root / "README.md", *(page for page in docs if not generated & set(page.parents))]


def filled(text: str, where: str = "") -> str:
    """`text` with every marked table and figure taken from the records.

    Raises:
        ValueError: a marker has no end, or names a table or figure that is not known.
    """
    for found, known, kind in ((_TABLE, TABLES, "table"), (_FIGURE, FIGURES, "figure")):
        opened = [name for opening, name in _OPENING.findall(text) if opening == kind]
        closed = [name for _, name, _ in found.findall(text)]
        if opened != closed:
            raise ValueError(
                f"{where}: a {kind} marker has no end: "
                f"{sorted(set(opened) - set(closed)) or opened}"
            )
        unknown = sorted(set(opened) - known.keys())
        if unknown:
            raise ValueError(
                f"{where}: unknown {kind} {unknown[0]!r}: choose from {', '.join(sorted(known))}"
            )
    text = _TABLE.sub(
        lambda match: match[1] + "\n".join(TABLES[match[2]]()) + "\n" + match[3], text
    )
    return _FIGURE.sub(lambda match: match[1] + FIGURES[match[2]]() + match[3], text)


# Reading records, and the form of cells.


def _json(name: str) -> Any:
    return json.loads((RESULTS / name).read_text())


def _csv(name: str) -> list[dict[str, str]]:
    with (RESULTS / name).open(newline="") as file:
        return list(csv.DictReader(file))


def _table(titles: Sequence[str], rows: Iterator[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    return [*lines, *("| " + " | ".join(row) + " |" for row in rows)]


def _mean_and_deviation(values: Sequence[float], digits: int = 3) -> str:
    return f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1):.{digits}f}"


def _mean_and_error(values: Sequence[float], digits: int = 3) -> str:
    return (
        f"{np.mean(values):.{digits}f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.{digits}f}"
    )


def _range(values: Sequence[float], digits: int) -> str:
    low, high = f"{min(values):.{digits}f}", f"{max(values):.{digits}f}"
    return low if low == high else f"{low} to {high}"


def _code(name: str) -> str:
    """Names of methods and valuers are code; names of controls are words."""
    return (
        f"`{name}`"
        if re.fullmatch(r"[a-z0-9_]+", name) and name not in {"untrained", "random"}
        else name
    )


# How well the gap separates noise levels.

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
        for source, seeds in _json("2026-11-21-noise-separation.json")["results"].items():
            for features in next(iter(seeds.values()))["separations"]:
                found = [seed["separations"][features] for seed in seeds.values()]
                auroc = np.mean([one["auroc"][1:] for one in found], axis=0)
                correlation = _mean_and_deviation([one["rank_correlation"] for one in found])
                yield names[source], features, correlation, *(f"{value:.3f}" for value in auroc)

    return _table(titles, rows())


def noise_separation_by_encoder() -> list[str]:
    titles = ("encoder", "rank correlation", *(f"AUROC, δ = {level}" for level in _LEVELS))
    columns = ("rank correlation", *(f"AUROC at δ = {level}" for level in _LEVELS))
    found = _csv("2026-11-21-examine-experiments/noise_separation.csv")
    return _table(
        titles, ((_code(row["features"]), *(row[column] for column in columns)) for row in found)
    )


# What training teaches.


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
    seeds = _json("2026-11-21-learning.json")["records"]
    controls = ("colour statistics", "raw pixels", "untrained")
    methods = ("mae", "autoencoder", "simclr", "dcl", "byol", "simsiam", "vicreg")

    def rows() -> Iterator[Sequence[str]]:
        for name in (*controls, *methods):
            found = [seed[name] for seed in seeds.values()]
            accuracies = (
                _mean_and_error([one[f"knn{form}"] for one in found])
                for form in ("", "_zscored", "_euclidean")
            )
            noise = _mean_and_error([one["noise_separation"]["rank_correlation"] for one in found])
            rank = f"{np.mean([one['rank_me'] for one in found]):.1f}"
            yield _code(name), *accuracies, noise, rank, str(found[0].get("steps", ""))

    return _table(titles, rows())


# The values of images, and the classifiers that they choose images for.


def values() -> list[str]:
    folder = "2026-11-21-examine-experiments"
    areas = {row["valuer"]: row for row in _csv(f"{folder}/areas.csv")}
    noise = {
        row["features"]: row["rank correlation"]
        for row in _csv(f"{folder}/noise_separation_by_valuer.csv")
    }
    wrong = {row["valuer"]: row["AUROC"] for row in _csv(f"{folder}/wrong_labels.csv")}
    times = {row["valuer"]: row["median time"] for row in _csv(f"{folder}/running_times.csv")}
    label_free = (
        "examine",
        "facility_location",
        "k_centre",
        "prob_cover",
        "leverage",
        "mahalanobis",
    )
    label_free += ("knn_distance", "typicality", "prototype_distance")
    with_labels = ("loo", "tmc_shapley", "banzhaf", "knn_shapley", "data_oob")
    names = ("random", *label_free, *with_labels)
    if set(names) != areas.keys():
        raise ValueError(f"areas.csv holds other valuers: {sorted(areas.keys() ^ set(names))}")
    titles = (
        "values",
        "labels",
        "(a) ↑",
        "(b) ↓",
        "(c) ↓",
        "(d) ↑",
        "noise, rank correlation",
        "wrong labels, AUROC",
        "time",
    )

    def rows() -> Iterator[Sequence[str]]:
        for name in names:
            columns = [column for column in areas[name] if column != "valuer"]
            found = [
                re.fullmatch(r"(\S+) ± \S+(?: \((\d+) of 5\))?", areas[name][column])
                for column in columns
            ]
            cells = [
                f"{float(one[1]):.3f}" + (f" ({one[2]})" if one[2] else "") for one in found if one
            ]
            noisy = f"{float(noise[name]):.2f}" if name in noise else ""
            mislabelled = f"{float(wrong[name].split()[0]):.2f}" if name in wrong else ""
            yield (
                "random order" if name == "random" else f"`{name}`",
                "yes" if name in with_labels else "",
                *cells,
                noisy,
                mislabelled,
                times.get(name, ""),
            )

    return _table(titles, rows())


def mislabelled() -> list[str]:
    titles = ("probe on", "self-influence", "loss at the end", "random")

    def rows() -> Iterator[Sequence[str]]:
        for probe in _json("2026-11-21-mislabelled.json"):
            features = probe["what"].partition("flipped; ")[2].partition(", z-scored")[0]
            found = (
                [seed[name]["precision_at_10"] for seed in probe["seeds"]]
                for name in ("self-influence", "loss", "random")
            )
            yield features, *(_range(one, 2) for one in found)

    return _table(titles, rows())


# The studies of the other two papers.


def low_resource() -> list[str]:
    return _low_resource("2026-11-22-low-resource", with_settings=True)


def low_resource_dermoscopy() -> list[str]:
    return _low_resource("2026-11-22-low-resource/dermoscopy_two_seeds", with_settings=False)


def _low_resource(folder: str, *, with_settings: bool) -> list[str]:
    knn, probe = (
        _csv(f"{folder}/table_2.csv"),
        {row["encoder"]: row for row in _csv(f"{folder}/table_3.csv")},
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
        {row["encoder"]: row["batch size (learning rate)"] for row in _csv(f"{folder}/table_1.csv")}
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

    return _table(titles, rows())


# What K labels buy.


def budget_histology() -> list[str]:
    return _budget("histology")


def budget_dermoscopy() -> list[str]:
    return _budget("dermoscopy")


def budget_x_ray() -> list[str]:
    return _budget("x_ray")


def _budget(name: str) -> list[str]:
    """Random's accuracy, and what every other choice is above it on the same pool."""
    folder = f"2026-11-29-selection/{name}"
    gains = {
        tuple(row[column] for column in ("pool", "encoder", "choice")): row
        for row in _csv(f"{folder}/against_random.csv")
    }
    found = _csv(f"{folder}/curves.csv")
    budgets = [column for column in found[0] if "%" in column]
    encoders = {"given": "`simclr`"}

    def rows() -> Iterator[Sequence[str]]:
        for row in found:
            key = tuple(row[column] for column in ("pool", "encoder", "choice"))
            encoder = encoders.get(row["encoder"], row["encoder"])
            yield (row["pool"], encoder, row["choice"], *(gains.get(key, row)[b] for b in budgets))

    return _table(("pool", "encoder", "choice", *budgets), rows())


def selection_rules() -> list[str]:
    """What each rule gains over random on seeds that no report uses, by set and budget."""
    found = {}
    for path in sorted((RESULTS / "2026-11-30-selection-rules").glob("*.json")):
        found[path.stem.replace("_", "-")] = json.loads(path.read_text())
    first = next(iter(found.values()))
    titles = [
        f"{name}, {share:.0%}" for name, record in found.items() for share in record["shares"]
    ]

    def rows() -> Iterator[Sequence[str]]:
        for rule in first["rules"]:
            cells = []
            for record in found.values():
                own = record["rules"][rule]
                pairs = zip(own["gain"], own["above_random"])
                cells += [f"{gain:+.3f} ({above:.0%})" for gain, above in pairs]
            yield [rule, *cells]

    return _table(("rule", *titles), rows())


def first_labels() -> list[str]:
    """Balanced accuracy after labelling by each order, on clean pools."""
    names = {"random": "random", "examine": "EXAMINE, rank 1 first"} | {
        "facility_location": "facility location",
        "k_means_medoids": "k-means medoids (the default)",
    }
    sets = {
        name: {row["choice"]: row for row in _csv(f"2026-11-30-first-labels/{name}/curves.csv")}
        for name in ("histology", "dermoscopy")
    }

    def accuracies(row: dict[str, str]) -> str:
        return ", ".join(cell for column, cell in row.items() if "%" in column)

    titles = ("order", "histology, 5 classes", "dermoscopy, 7 classes")
    return _table(
        titles,
        (
            (shown, *(accuracies(rows[choice]) for rows in sets.values()))
            for choice, shown in names.items()
        ),
    )


def batch_sizes() -> list[str]:
    found = _csv("2026-11-22-low-resource/batch_sizes.csv")
    sizes = list(dict.fromkeys(row["batch size"] for row in found))
    cells = {
        (row["encoder"], row["batch size"]): f"{row['accuracy']}, {row['verdict']}" for row in found
    }
    encoders = dict.fromkeys(row["encoder"] for row in found)
    titles = ("encoder", *(f"batch of {size}" for size in sizes))
    return _table(
        titles, ((f"`{name}`", *(cells[name, size] for size in sizes)) for name in encoders)
    )


def byol_tracin() -> list[str]:
    folder = "2026-11-22-byol-tracin"
    transfer = {row["method"]: row["BMA"] for row in _csv(f"{folder}/transfer.csv")}
    extra = {
        row["method"]: row["of the right class"] for row in _csv(f"{folder}/extra_positives.csv")
    }
    found = _csv(f"{folder}/semi_supervised_bma.csv")
    shares = [column for column in found[0] if column != "method"]
    titles = ("pre-training", *shares, "transfer", "right extra positives")

    def rows() -> Iterator[Sequence[str]]:
        for row in found:
            name = row["method"]
            yield (
                _code(name),
                *(row[share] for share in shares),
                transfer[name],
                extra.get(name, ""),
            )

    return _table(titles, rows())


def byol_tracin_cost() -> list[str]:
    found = _json("2026-11-21-byol-tracin-cost.json")["methods"]
    titles = ("method", "CPU time over BYOL's", "wall time over BYOL's", "operations over BYOL's")
    columns = ("cpu_over_byol", "wall_over_byol", "flops_over_byol")
    return _table(
        titles,
        (
            (f"`{name}`", *(f"{one[column]:.2f}" for column in columns))
            for name, one in found.items()
        ),
    )


# Accuracy and speed of the scorer.


def accuracy() -> list[str]:
    found = _csv("2026-11-21-accuracy.csv")
    columns = ("of_largest_gap", "of_own_gap", "of_error_bound")
    titles = (
        "solver",
        "share of the largest gap",
        "share of the row's own gap",
        "share of the error bound",
    )

    def rows() -> Iterator[Sequence[str]]:
        for solver in dict.fromkeys(row["solver"] for row in found):
            worst = [
                max(float(row[column]) for row in found if row["solver"] == solver)
                for column in columns
            ]
            yield f"`{solver}`", f"{worst[0]:.1e}", f"{worst[1]:.1e}", f"{worst[2]:.2f}"

    return _table(titles, rows())


def bounds() -> list[str]:
    titles = ("path", "rows", "errors above the bound", "largest share of the bound")
    found = _json("2026-11-21-scoring-limits.json")["bounds"]
    return _table(
        titles,
        (
            (name, f"{one['rows']:,}", str(one["violations"]), f"{one['largest_multiple']:.2f}")
            for name, one in found.items()
        ),
    )


def exports() -> list[str]:
    record = _json("2026-11-30-exports.json")
    platforms = ("cpu", "cuda", "tpu", "rocm")

    def rows() -> Iterator[Sequence[str]]:
        for name, entry in record["functions"].items():
            done = ("yes" if entry[platform] == "exported" else "no" for platform in platforms)
            products = (f"{entry['operations'][dtype] / 1e9:.1f}" for dtype in ("f32", "f64"))
            yield (name, *done, *products)

    titles = ("computation", *platforms, "cuda: float32", "cuda: float64")
    return _table(titles, rows())


def scoring_speed() -> list[str]:
    runs = _json("2026-11-21-scoring-speed.json")["runs"]
    small = [runs[f"{time} UTC, 500x1024 gaussian"] for time in ("13:34", "14:09")]
    encoder = runs["13:34 UTC, 500x1024 encoder"]
    large = runs["13:35 UTC, 100000x768, before two later changes to the full path"]
    again = runs["13:41 UTC, 100000x768 encoder"]

    def over(runs: Sequence[dict[str, float]], slower: str, faster: str, digits: int = 0) -> str:
        return _range([run[f"{slower}_seconds"] / run[f"{faster}_seconds"] for run in runs], digits)

    loop, products = "numpy_loop_scaled", "two_products"
    rows = [
        (
            "500 x 1024, Gaussian",
            "`Secular`",
            f"{over(small, loop, 'Secular')} times faster than a loop of NumPy SVDs",
        ),
        (
            "500 x 1024, Gaussian",
            "`MaskedPower`",
            f"{over(small, loop, 'MaskedPower')} times faster than the same loop",
        ),
        (
            "500 x 1024, an encoder's spectrum",
            "`AdaptiveSecular`",
            f"{over([encoder], 'Secular', 'AdaptiveSecular', 1)} times faster than `Secular`",
        ),
        (
            "100,000 x 768, Gaussian",
            "`Secular`",
            f"{over([large['gaussian']], 'Secular', products, 1)} times its two matrix products "
            "alone",
        ),
        (
            "100,000 x 768, Gaussian",
            "`AdaptiveSecular`, which gives up after a sample",
            f"{over([large['gaussian']], 'AdaptiveSecular', 'Secular', 2)} times `Secular`",
        ),
        (
            "100,000 x 768, an encoder's spectrum",
            "`Secular`",
            f"{over([large['encoder'], again], 'Secular', products, 1)} times its two matrix "
            "products alone",
        ),
        (
            "100,000 x 768, an encoder's spectrum",
            "`AdaptiveSecular`, the default",
            f"{over([large['encoder'], again], 'Secular', 'AdaptiveSecular', 1)} times faster than "
            "`Secular`",
        ),
    ]
    return _table(("float32 features", "solver", "time"), iter(rows))


def pretraining_speed() -> list[str]:
    titles = (
        "micro-batches",
        "a step (median)",
        "PyTorch, eager (median)",
        "ratio of medians",
        "ratio of the fastest",
    )

    def rows() -> Iterator[Sequence[str]]:
        for one in _json("2026-11-21-pretraining-speed.json")["mae_step"]:
            seconds = (f"{one[name]:.3f} s" for name in ("median_s", "torch_median_s"))
            ratios = (f"{one[f'torch_over_ours_{name}']:.2f}" for name in ("medians", "fastest"))
            yield str(one["micro_batches"]), *seconds, *ratios

    return _table(titles, rows())


def resnet_step() -> list[str]:
    titles = ("image size", "micro-batches", "a step by itself", "inside a compiled loop", "ratio")

    def rows() -> Iterator[Sequence[str]]:
        for one in _json("2026-11-22-resnet-step.json")["resnet_step"]:
            seconds = (f"{one[name]:.2f} s" for name in ("median_s", "looped_median_s"))
            yield (
                f"{one['image_size']} px",
                str(one["micro_batches"]),
                *seconds,
                f"{one['looped_over_ours']:.1f}",
            )

    return _table(titles, rows())


def valuation_speed() -> list[str]:
    found = _json("2026-11-21-valuation.json")["results"]
    titles = (
        "values",
        "fits",
        "time",
        "than a loop of scikit-learn fits",
        "largest difference of an accuracy",
    )
    names = {
        "examine": "EXAMINE",
        "loo": "LOO",
        "tmc_shapley": "TMC-Shapley, 100 permutations, nothing cut",
    }

    def rows() -> Iterator[Sequence[str]]:
        for key, name in names.items():
            one = found[key]
            cells = ["", ""]
            if "times_faster" in one:
                faster = (
                    f"{one['times_faster']:.0f} times faster, "
                    f"{one['times_less_cpu']:.0f} times in CPU time"
                )
                cells = [faster, f"{one['largest_difference_of_a_worth']:.0e}"]
            yield name, f"{int(one['fits']):,}", f"{one['seconds']:.3g} s", *cells

    return _table(titles, rows())


# What the library holds.


def detection_bccd() -> list[str]:
    """Average precision by seed, against the original boxes and against TXL-PBC's."""
    seeds = _json("2026-11-30-detection-bccd.json")["seeds"]
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
                _mean_and_deviation([one["ap50"] for one in own]),
                _mean_and_deviation([one["ap"] for one in own]),
                *by_class,
            )

    names = tuple(f"AP50 {name}" for name in seeds[0]["original"]["ap50_by_class"])
    return _table(("true boxes", "images", "boxes", "AP50", "AP", *names), rows())


def method_presets() -> list[str]:
    from examine_jax.pretraining import method_names, preset_names

    return _table(
        ("method", "presets"),
        (
            (f"`{name}`", ", ".join(f"`{preset}`" for preset in preset_names(name)))
            for name in method_names()
        ),
    )


# Figures within sentences.


def _neighbours(name: str) -> Any:
    return _json("2026-11-22-nearest-neighbours.json")[name]


def _noise_correlation(features: str, source: str = "sample") -> str:
    seeds = _json("2026-11-21-noise-separation.json")["results"][source].values()
    return f"{np.mean([seed['separations'][features]['rank_correlation'] for seed in seeds]):.2f}"


def _largest_bound_share() -> str:
    found = _json("2026-11-21-scoring-limits.json")["bounds"].values()
    if any(one["violations"] for one in found):
        raise ValueError("an error bound was exceeded: the pages say that none was")
    return f"{max(one['largest_multiple'] for one in found):.2f}"


def _area(valuer: str, panel: str) -> str:
    row = next(
        row for row in _csv("2026-11-21-examine-experiments/areas.csv") if row["valuer"] == valuer
    )
    return next(
        f"{float(cell.split()[0]):.3f}"
        for column, cell in row.items()
        if column.startswith(f"({panel})")
    )


def _wrong_labels(valuer: str) -> str:
    found = _csv("2026-11-21-examine-experiments/wrong_labels.csv")
    return next(f"{float(row['AUROC'].split()[0]):.2f}" for row in found if row["valuer"] == valuer)


def _first_step(cache: str) -> str:
    found = _json("2026-11-21-pretraining-speed.json")["first_step"]
    return next(f"{one['median_s']:.1f} s" for one in found if one["compilation_cache"] == cache)


def _memory(solver: str) -> str:
    memory = _json("2026-11-21-scoring-limits.json")["memory"]
    return f"{memory[solver]['peak_beyond_before_gib']:.2f} GiB"


def _detection_minutes() -> str:
    seeds = _json("2026-11-30-detection-bccd.json")["seeds"]
    return _range([seed["cpu_seconds"] / 60 for seed in seeds], 1)


def _scoring_ratio() -> str:
    runs = _json("2026-11-21-scoring-speed.json")["runs"]
    found = [runs[f"{time} UTC, 500x1024 gaussian"] for time in ("13:34", "14:09")]
    return _range([run["numpy_loop_scaled_seconds"] / run["Secular_seconds"] for run in found], 0)


TABLES: dict[str, Callable[[], list[str]]] = {
    function.__name__: function
    for function in (
        *(noise_separation, noise_separation_by_encoder, learning, values, mislabelled),
        *(low_resource, low_resource_dermoscopy, batch_sizes, byol_tracin, byol_tracin_cost),
        *(detection_bccd,),
        *(first_labels, selection_rules, budget_histology, budget_dermoscopy, budget_x_ray),
        *(
            accuracy,
            bounds,
            exports,
            scoring_speed,
            pretraining_speed,
            resnet_step,
            valuation_speed,
            method_presets,
        ),
    )
}

FIGURES: dict[str, Callable[[], str]] = {
    "detection_minutes": _detection_minutes,
    "scoring_times_faster": _scoring_ratio,
    "largest_share_of_a_bound": _largest_bound_share,
    "noise_correlation_trained": lambda: _noise_correlation("trained encoder"),
    "noise_correlation_untrained": lambda: _noise_correlation("untrained encoder"),
    "noise_correlation_trained_histology": lambda: _noise_correlation(
        "trained encoder", "lc25000_96"
    ),
    "noise_correlation_untrained_histology": lambda: _noise_correlation(
        "untrained encoder", "lc25000_96"
    ),
    "area_a_examine": lambda: _area("examine", "a"),
    "area_a_random": lambda: _area("random", "a"),
    "area_a_facility_location": lambda: _area("facility_location", "a"),
    "wrong_labels_examine": lambda: _wrong_labels("examine"),
    "wrong_labels_data_oob": lambda: _wrong_labels("data_oob"),
    "knn_cpu_seconds": lambda: f"{_neighbours('whole_cpu_seconds'):.0f} s",
    "knn_memory": lambda: f"{_neighbours('peak_mib_beyond_before'):.0f} MiB",
    "knn_distances_memory": lambda: f"{_neighbours('distances_mib') / 1024:.0f} GiB",
    "knn_scikit_learn_ratio": lambda: _range(_neighbours("scikit_learn_over_examine_jax"), 2),
    "first_step_without_cache": lambda: _first_step("none"),
    "first_step_with_cache": lambda: _first_step("filled"),
    "memory_secular": lambda: _memory("Secular"),
    "memory_adaptive_secular": lambda: _memory("AdaptiveSecular"),
}


def main(arguments: Sequence[str]) -> int:
    """Checks the pages, or writes them with `--write`; returns the exit code."""
    if arguments not in ([], ["--write"]):
        print(__doc__, file=sys.stderr)
        return 2
    drifted = 0
    for page in pages():
        text = page.read_text()
        wanted = filled(text, str(page.relative_to(ROOT)))
        if text == wanted:
            continue
        drifted += 1
        if arguments:
            page.write_text(wanted)
        print(
            f"{page.relative_to(ROOT)} {'written' if arguments else 'differs from the records'}",
            file=sys.stderr,
        )
    return 1 if drifted and not arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
