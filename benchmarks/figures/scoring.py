"""Accuracy and speed of the scorer."""

from collections.abc import Callable, Iterator, Sequence

from benchmarks.figures.cells import read_csv, read_json, span, table


def accuracy() -> list[str]:
    found = read_csv("2026-11-21-accuracy.csv")
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

    return table(titles, rows())


def bounds() -> list[str]:
    titles = ("path", "rows", "errors above the bound", "largest share of the bound")
    found = read_json("2026-11-21-scoring-limits.json")["bounds"]
    return table(
        titles,
        (
            (name, f"{one['rows']:,}", str(one["violations"]), f"{one['largest_multiple']:.2f}")
            for name, one in found.items()
        ),
    )


def exports() -> list[str]:
    record = read_json("2026-11-30-exports.json")
    platforms = ("cpu", "cuda", "tpu", "rocm")

    def rows() -> Iterator[Sequence[str]]:
        for name, entry in record["functions"].items():
            done = ("yes" if entry[platform] == "exported" else "no" for platform in platforms)
            products = (f"{entry['operations'][dtype] / 1e9:.1f}" for dtype in ("f32", "f64"))
            yield (name, *done, *products)

    titles = ("computation", *platforms, "cuda: float32", "cuda: float64")
    return table(titles, rows())


def scoring_speed() -> list[str]:
    runs = read_json("2026-11-21-scoring-speed.json")["runs"]
    small = [runs[f"{time} UTC, 500x1024 gaussian"] for time in ("13:34", "14:09")]
    encoder = runs["13:34 UTC, 500x1024 encoder"]
    large = runs["13:35 UTC, 100000x768, before two later changes to the full path"]
    again = runs["13:41 UTC, 100000x768 encoder"]

    def over(runs: Sequence[dict[str, float]], slower: str, faster: str, digits: int = 0) -> str:
        return span([run[f"{slower}_seconds"] / run[f"{faster}_seconds"] for run in runs], digits)

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
    return table(("float32 features", "solver", "time"), iter(rows))


def scoring_speed_one_core() -> list[str]:
    small, middle, large = (
        next(iter(run["sizes"].values()))
        for run in read_json("2026-11-30-scoring-speed-one-core.json")["runs"]
    )
    loop = small["loops, scaled from a few rows"]["numpy SVD loop"]
    spectra = {"gaussian": "Gaussian", "decaying": "decaying", "encoder": "an encoder's"}

    def seconds(size: dict[str, dict[str, dict[str, float]]], spectrum: str, name: str) -> float:
        return size[spectrum][name]["seconds"]

    def rows() -> Iterator[Sequence[str]]:
        for spectrum, title in spectra.items():
            quick = seconds(small, spectrum, "Secular")
            yield (
                f"500 x 1,024, {title}",
                f"{quick * 1e3:.0f} ms, {loop / quick:.0f} times faster than the loop",
                f"{seconds(small, spectrum, 'AdaptiveSecular') * 1e3:.0f} ms",
                f"{loop / seconds(small, spectrum, 'MaskedPower'):.0f} times faster than the loop",
            )
        for spectrum, title in spectra.items():
            work = seconds(middle, spectrum, "two products") + seconds(middle, spectrum, "eigh")
            whole, adaptive = (
                seconds(middle, spectrum, name) for name in ("Secular", "AdaptiveSecular")
            )
            yield (
                f"5,000 x 768, {title}",
                f"{whole:.2f} s, {whole / work:.2f} times its two products and LAPACK's "
                "eigendecomposition",
                f"{adaptive:.2f} s, {adaptive / work:.2f} times the same",
                "",
            )
        for spectrum, title in spectra.items():
            products = seconds(large, spectrum, "two products")
            whole, adaptive = (
                seconds(large, spectrum, name) for name in ("Secular", "AdaptiveSecular")
            )
            yield (
                f"50,000 x 768, {title}",
                f"{whole:.2f} s, {whole / products:.2f} times its two products",
                f"{adaptive:.2f} s, {adaptive / products:.2f} times the two products",
                "",
            )

    titles = ("float32 features, spectrum", "`Secular`", "`AdaptiveSecular`", "`MaskedPower`")
    return table(titles, rows())


def scoring_threads() -> list[str]:
    calls = read_json("2026-11-30-scoring-threads.json")["calls"]
    titles = ("call, float32 features", "one BLAS thread", "two BLAS threads", "ratio")
    return table(
        titles,
        (
            (
                name,
                f"{one['one_thread_seconds'] * 1e3:.0f} ms",
                f"{one['all_threads_seconds'] * 1e3:.0f} ms",
                f"{one['ratio']:.1f}",
            )
            for name, one in calls.items()
        ),
    )


def _largest_bound_share() -> str:
    found = read_json("2026-11-21-scoring-limits.json")["bounds"].values()
    if any(one["violations"] for one in found):
        raise ValueError("an error bound was exceeded: the pages say that none was")
    return f"{max(one['largest_multiple'] for one in found):.2f}"


def _memory(solver: str) -> str:
    memory = read_json("2026-11-21-scoring-limits.json")["memory"]
    return f"{memory[solver]['peak_beyond_before_gib']:.2f} GiB"


def _scoring_ratio() -> str:
    small = read_json("2026-11-30-scoring-speed-one-core.json")["runs"][0]
    (size,) = small["sizes"].values()
    loop = size["loops, scaled from a few rows"]["numpy SVD loop"]
    spectra = ("gaussian", "decaying", "encoder")
    return span([loop / size[name]["Secular"]["seconds"] for name in spectra], 0)


TABLES: dict[str, Callable[[], list[str]]] = {
    function.__name__: function
    for function in (
        accuracy,
        bounds,
        exports,
        scoring_speed,
        scoring_speed_one_core,
        scoring_threads,
    )
}


def _flat(size: str, version: str) -> Callable[[], str]:
    def seconds() -> str:
        record = read_json("2026-11-30-scoring-speed-one-core.json")["before_and_after"]
        return f"{sorted(record[size][version])[1]:.2f} s"

    return seconds


def _inside_a_jit() -> str:
    found = read_json("2026-11-30-scoring-speed-one-core.json")["inside_a_jit_500x1024_gaussian"]
    return f"{found['loop'] / found['jit']:.0f}"


FIGURES: dict[str, Callable[[], str]] = {
    "scoring_inside_a_jit": _inside_a_jit,
    **{
        f"flat_{short}_{version}": _flat(size, version)
        for short, size in (("5000", "5,000 x 768"), ("20000", "20,000 x 768"))
        for version in ("before", "after")
    },
    "scoring_threads_load": lambda: (
        f"{read_json('2026-11-30-scoring-threads.json')['machine']['load_at_the_end']:.0f}"
    ),
    "scoring_times_faster": _scoring_ratio,
    "largest_share_of_a_bound": _largest_bound_share,
    "memory_secular": lambda: _memory("Secular"),
    "memory_adaptive_secular": lambda: _memory("AdaptiveSecular"),
}
