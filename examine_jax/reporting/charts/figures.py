"""Charts of a run, each a pure function from arrays to a PNG (bytes, at least 1,000 pixels wide)."""

from collections.abc import Sequence

import numpy as np
from matplotlib import colors, ticker
from matplotlib.axes import Axes
from matplotlib.axis import Axis

from examine_jax.common.shapes import Float, Int
from examine_jax.reporting.charts.drawing import (
    BLUE,
    INK,
    MINUS,
    MUTED,
    SEQUENTIAL,
    SIGMA,
    VERMILLION,
    level_colours,
    new_figure,
    plain,
    png,
    style,
)

# More points than this are only ink, and take minutes to draw.
_MOST_POINTS = 20_000
_SCORE = f"score, exp({MINUS}gap)"


def score_distribution(
    score: Float[np.ndarray, " n"], gap: Float[np.ndarray, " n"], level: Float[np.ndarray, " n"] | None = None
) -> bytes:
    """How scores spread, with the gaps beside them: exp(-gap) crowds towards 1 (or 0), where only the gap still tells images apart.

    With `level`, the noise that was added to each image, both are drawn by level (EXAMINE, Fig. 2a). Without it, the right panel is
    the gap in the order of the ranking. The gap's axis is logarithmic where gaps span more than a factor of 30.
    """
    with style():
        figure = new_figure(7.2, 3.3)
        left, right = figure.subplots(1, 2)
        if level is None:
            _score_histogram(left, score)
            _gap_curve(right, gap)
        else:
            levels = np.unique(level)
            groups, colours = [level == value for value in levels], level_colours(len(levels))
            labels = [f"δ = {value:g}" if value > 0 else "clean" for value in levels]
            _score_ridges(left, score, groups, colours, labels)
            _gap_strips(right, gap, groups, colours, labels)
        return png(figure)


def loss_curve(step: Int[np.ndarray, " t"], loss: Float[np.ndarray, " t"]) -> bytes:
    """The training loss by step, [T] each: as recorded (faint) and as its running median, on a logarithmic axis.

    Losses that are not finite or not positive are left out.
    """
    with style():
        figure = new_figure(5.6, 3.2)
        axes = figure.subplots()
        kept = np.isfinite(loss) & (loss > 0)
        step, loss = step[kept], loss[kept].astype(np.float64)
        if len(loss) == 0:
            _say(axes, "no loss was recorded")
        else:
            width = max(1, len(loss) // 40) | 1
            axes.plot(
                step, loss, color=BLUE, alpha=0.28, linewidth=0.8, marker="o" if len(loss) < 30 else "", markersize=3
            )
            axes.plot(step, _running_median(loss, width), color=BLUE, linewidth=1.8)
            axes.set_yscale("log")
            _plain_log_ticks(axes.yaxis, loss)
            axes.annotate(
                f"{_running_median(loss, width)[-1]:.3g}",
                (step[-1], _running_median(loss, width)[-1]),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                color=BLUE,
                fontsize=8.5,
            )
        axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
        axes.grid(axis="y")
        axes.set(xlabel="training step", ylabel="loss", title="Training loss")
        return png(figure)


def watched_curve(step: Int[np.ndarray, " t"], value: Float[np.ndarray, " t"], title: str) -> bytes:
    """Something that was looked at every so many steps, [T] each."""
    with style():
        figure = new_figure(5.6, 3.2)
        axes = figure.subplots()
        axes.plot(step, value, color=BLUE, linewidth=1.6, marker="o", markersize=3)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
        axes.grid(axis="y")
        axes.set(xlabel="training step", ylabel=title, title=title.capitalize())
        return png(figure)


def feature_map(features: Float[np.ndarray, "n d"], gap: Float[np.ndarray, " n"]) -> bytes:
    """The features [N, D] on their first two principal components, coloured by gap [N]; the largest gaps are drawn on top.

    Beyond 20,000 images an even sample is drawn (the title says so).
    """
    from sklearn.decomposition import PCA

    with style():
        components = min(2, *features.shape)
        projection = PCA(components, svd_solver="auto", random_state=0)
        with np.errstate(invalid="ignore", divide="ignore"):  # features that are all alike explain nothing
            points = projection.fit_transform(features.astype(np.float32, copy=False))
            explained = np.nan_to_num(projection.explained_variance_ratio_)
        points = np.pad(points, ((0, 0), (0, 2 - components)))
        explained = np.pad(explained, (0, 2 - components))

        shown = np.argsort(gap, kind="stable")
        if len(shown) > _MOST_POINTS:
            shown = shown[np.linspace(0, len(shown) - 1, _MOST_POINTS).astype(np.int64)]
        title = "Features" if len(shown) == len(gap) else f"Features ({len(shown):,} of {len(gap):,} images)"
        figure = new_figure(5.6, 4.3)
        axes = figure.subplots()
        drawn = axes.scatter(
            points[shown, 0],
            points[shown, 1],
            c=_floored(gap[shown]) if _spans_decades(gap) else gap[shown],
            cmap=SEQUENTIAL,
            norm=colors.LogNorm() if _spans_decades(gap) else colors.Normalize(),
            s=float(np.clip(9000 / len(shown), 3, 26)),
            linewidths=0.25 if len(shown) < 2000 else 0,
            edgecolors="white",
        )
        bar = figure.colorbar(drawn, ax=axes, pad=0.02, aspect=28)
        bar.set_label("gap (small: ranked high)")
        if _spans_decades(gap):
            bar.ax.yaxis.set_major_formatter(plain)
            bar.ax.yaxis.set_minor_formatter(ticker.NullFormatter())
        bar.outline.set_visible(False)
        axes.set(
            xlabel=f"principal component 1 ({explained[0]:.0%} of the variance)",
            ylabel=f"principal component 2 ({explained[1]:.0%})",
            title=title,
        )
        axes.margins(0.05)
        return png(figure)


def spectrum(features: Float[np.ndarray, "n d"], at_most: int = 64) -> bytes:
    """The leading singular values of the features [N, D] as scored: how far the first, which EXAMINE watches, stands out."""
    with style():
        tall = features.astype(np.float64) if features.shape[0] >= features.shape[1] else features.T.astype(np.float64)
        # Squares of singular values from the smaller Gram matrix: right to 1e-8 of the largest, finer than ink.
        energy = np.clip(np.linalg.eigvalsh(tall.T @ tall)[::-1], 0.0, None)
        values = np.sqrt(energy)[:at_most]
        figure = new_figure(5.6, 3.2)
        axes = figure.subplots()
        positive = values > max(values[0], np.finfo(np.float64).tiny) * 1e-8
        order = np.arange(1, len(values) + 1)
        axes.plot(order[positive], values[positive], color=MUTED, linewidth=0.8, zorder=1)
        axes.scatter(
            order[positive],
            values[positive],
            s=14,
            color=[VERMILLION, *[BLUE] * (positive.sum() - 1)][: positive.sum()],
        )
        if positive.any():
            axes.set_yscale("log")
            _plain_log_ticks(axes.yaxis, values[positive])
            share = energy[0] / energy.sum()
            axes.annotate(
                f"{SIGMA} = {values[0]:.4g}, {share:.0%} of the features' energy",
                (1, values[0]),
                xytext=(9, -1),
                textcoords="offset points",
                va="center",
                color=VERMILLION,
                fontsize=8.5,
            )
        axes.xaxis.set_major_locator(ticker.MaxNLocator(8, integer=True))
        axes.grid(axis="y")
        axes.set(xlabel="order", ylabel="singular value", title="Spectrum of the features")
        return png(figure)


def _score_histogram(axes: Axes, score: Float[np.ndarray, " n"]) -> None:
    axes.set_title("Score")
    if not _say_where_saturated(axes, score):
        axes.hist(
            score,
            bins=int(np.clip(np.sqrt(len(score)), 5, 60)),
            color=BLUE,
            alpha=0.85,
            edgecolor="white",
            linewidth=0.6,
        )
        axes.xaxis.set_major_locator(ticker.MaxNLocator(5))
        axes.grid(axis="y")
        axes.set(xlabel=_SCORE, ylabel="images")


def _score_ridges(
    axes: Axes,
    score: Float[np.ndarray, " n"],
    groups: Sequence[np.ndarray],
    colours: Sequence[object],
    labels: Sequence[str],
) -> None:
    """The score's density by level, a row a level, the first on top; every row is as high as its peak, so that shapes compare."""
    axes.set_title("Score")
    if _say_where_saturated(axes, score):
        return
    low, high = float(score.min()), float(score.max())
    place = np.linspace(low - 0.06 * (high - low), high + 0.06 * (high - low), 400)
    for row, (group, colour) in enumerate(zip(groups, colours)):
        values = score[group].astype(np.float64)
        # Silverman's bandwidth, but never finer than the axis can show.
        width = max(0.9 * values.std() * len(values) ** -0.2, (high - low) / 80)
        counts, edges = np.histogram(
            values, bins=2000, range=(low, high)
        )  # binned first: a million images cost no more
        centres = (edges[:-1] + edges[1:]) / 2
        density = np.exp(-0.5 * ((place[:, None] - centres) / width) ** 2) @ counts
        base = float(len(groups) - 1 - row)
        height = base + 1.25 * density / density.max()
        axes.fill_between(place, base, height, color=colour, alpha=0.75, linewidth=0, zorder=2 + row)
        axes.plot(place, height, color="white", linewidth=1.0, zorder=2 + row)
        axes.plot(place, np.full_like(place, base), color=colour, linewidth=0.8, zorder=2 + row)
    axes.set_yticks(range(len(groups))[::-1], labels)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(5))
    axes.margins(x=0)
    axes.set_xlabel(_SCORE)


def _say_where_saturated(axes: Axes, score: Float[np.ndarray, " n"]) -> bool:
    """Where exp(-gap) has rounded away the differences, says so in place of a chart."""
    if score.max() - score.min() >= 1e-6:
        return False
    _say(axes, f"all scores lie within 1e-6 of {float(score.max()):.6g}:\nexp({MINUS}gap) saturates here, read the gap")
    return True


def _gap_curve(axes: Axes, gap: Float[np.ndarray, " n"]) -> None:
    """The gap in the order of the ranking."""
    logarithmic = _spans_decades(gap)
    ordered = np.sort(_floored(gap) if logarithmic else gap)
    rank = np.arange(1, len(gap) + 1)
    axes.plot(rank, ordered, color=BLUE, linewidth=1.8, marker="o" if len(gap) < 40 else "", markersize=3)
    middle = float(np.median(ordered))
    axes.axhline(middle, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.annotate(
        f"median {middle:.3g}", (rank[0], middle), xytext=(0, 4), textcoords="offset points", fontsize=8, color=MUTED
    )
    _gap_axis(axes, ordered, logarithmic)
    axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=True))
    axes.set_xlim(left=1 - 0.02 * len(gap))
    axes.set(xlabel="rank (1: best)", title="Gap by rank")


def _gap_strips(
    axes: Axes,
    gap: Float[np.ndarray, " n"],
    groups: Sequence[np.ndarray],
    colours: Sequence[object],
    labels: Sequence[str],
) -> None:
    """Every image's gap, a column a level, with the median."""
    logarithmic = _spans_decades(gap)
    shown = _floored(gap) if logarithmic else gap
    for column, (group, colour) in enumerate(zip(groups, colours)):
        values = shown[group]
        drawn = values[np.linspace(0, len(values) - 1, min(len(values), 1000)).astype(np.int64)]
        # Spread by the golden ratio: even, and the same in every run.
        offset = ((np.arange(len(drawn)) * 0.618034) % 1.0 - 0.5) * 0.56
        axes.scatter(column + offset, drawn, s=7, color=[colour], alpha=0.5, linewidths=0)
        axes.hlines(float(np.median(values)), column - 0.36, column + 0.36, color=INK, linewidth=1.6, zorder=3)
    axes.set_xticks(range(len(groups)), labels)
    _gap_axis(axes, shown, logarithmic)
    axes.set(xlabel="noise added (bar: median)", title="Gap")


def _gap_axis(axes: Axes, shown: Float[np.ndarray, " n"], logarithmic: bool) -> None:
    if logarithmic:
        axes.set_yscale("log")
        _plain_log_ticks(axes.yaxis, shown)
    else:
        axes.set_ylim(bottom=min(0.0, float(shown.min())))
    axes.grid(axis="y")
    axes.set_ylabel(f"gap, {SIGMA} {MINUS} {SIGMA} without it")


def _spans_decades(gap: Float[np.ndarray, " n"]) -> bool:
    """Whether a linear axis would press most gaps into its lowest thirtieth."""
    return bool(gap.max() > 0 and np.quantile(gap, 0.25) < gap.max() / 30)


def _floored(gap: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Gaps fit for a logarithmic axis: what is below a millionth of the largest (zero included) is drawn there."""
    return np.maximum(gap, gap.max() * 1e-6)


def _plain_log_ticks(axis: Axis, values: Float[np.ndarray, " n"]) -> None:
    """Labels on a logarithmic axis: at 1, 2, 5 where it spans less than two decades, at the decades else."""
    decades = np.log10(values.max() / values.min())
    axis.set_major_locator(ticker.LogLocator(subs=(1.0, 2.0, 5.0) if decades < 2 else (1.0,)))
    axis.set_major_formatter(plain)
    axis.set_minor_formatter(ticker.NullFormatter())


def _running_median(values: Float[np.ndarray, " t"], width: int) -> Float[np.ndarray, " t"]:
    """The median of `width` (odd) neighbours; the ends are mirrored outwards."""
    padded = np.pad(values, width // 2, mode="reflect")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=-1)


def _say(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=MUTED)
    axes.set(xticks=[], yticks=[])
    axes.spines[["left", "bottom"]].set_visible(False)
