"""The tables of the detection study's page, beside the paper's numbers."""

from collections.abc import Sequence

import numpy as np

from examine_jax.detection.agreement import ALL_CLASSES, PairAgreement
from examine_jax.reporting.page import Table
from examine_jax.studies.common.verdict import learned, mean_sd
from examine_jax.studies.detection import published
from examine_jax.studies.detection.results import RANDOM, WITH, WITHOUT, RowResult

Balance = Sequence[tuple[str, int, float]]

MAIN = ("ap", "ap50", "ap_small", "ar", "ar_small")
MORE = (
    "class_ar",
    "voc_map",
    "cpm",
    "image_auroc",
    "false_alarms",
    "matched_overlap",
    "unmatched_share",
)
_WORDS = {
    "ap": "mAP",
    "ap50": "mAP50",
    "ap_small": "mAP small",
    "ar": "AR, any class",
    "ar_small": "AR small, any class",
    "class_ar": "AR by class",
    "voc_map": "mAP at .4",
    "cpm": "CPM",
    "image_auroc": "AUROC of images",
    "false_alarms": "false alarms an image",
    "matched_overlap": "matched IoU",
    "unmatched_share": "unmatched share",
}


def by_cell(results: Sequence[RowResult]) -> list[tuple[float, str, list[RowResult]]]:
    """(share, row, one result a seed), in order."""
    found: dict[tuple[float, str], list[RowResult]] = {}
    for one in results:
        found.setdefault((one.share, one.row), []).append(one)
    order = (WITH, WITHOUT, RANDOM)
    keys = sorted(found, key=lambda key: (-key[0], order.index(key[1])))
    return [(*key, found[key]) for key in keys]


def values_of(of: Sequence[RowResult], name: str) -> list[float]:
    return [one.figures[name] for one in of if one.figures.get(name) is not None]


def text_of(of: Sequence[RowResult], name: str) -> str:
    values = values_of(of, name)
    return mean_sd(values) if values else "no truth"


def table_1(results: Sequence[RowResult]) -> Table:
    rows = []
    for share, row, of in by_cell(results):
        paper = published.TABLE_1.get(round(share, 6))
        # The paper's baseline has no pre-training; its other rows say that they have.
        beside = paper if paper is not None and (row == WITH) == (share < 1) else None
        if share == 1 and row == RANDOM and any(one.row == WITHOUT for one in results):
            beside = None
        rows.append(
            (
                f"{share:.0%}",
                row,
                f"{of[0].labelled:,}",
                *(text_of(of, name) for name in MAIN),
                *(("",) * 5 if beside is None else (f"{value:.3f}" for value in beside[:5])),
                "" if beside is None else f"{beside[5]:,}",
            )
        )
    names = [_WORDS[name] for name in MAIN]
    return Table(
        "Table I",
        (
            "labelled",
            "row",
            "labelled images",
            *names,
            *(f"paper: {name}" for name in names),
            "paper: labelled images",
        ),
        tuple(rows),
        "On the test images; mean and standard deviation over the seeds. AR is the paper's: recall "
        "at 100 detections without regard to classes. The paper has one seed and VinDr-CXR; in its "
        "released code the pre-trained weights never reach the detector. 'No truth': no test box "
        "to measure by.",
    )


def gains(results: Sequence[RowResult]) -> Table:
    """What self-supervision adds on the same labelled images, by share and figure."""
    cells = {(share, row): of for share, row, of in by_cell(results)}
    rows = []
    for share, row in cells:
        if row != WITH:
            continue
        for other in (WITHOUT, RANDOM):
            if (share, other) not in cells:
                continue
            texts = []
            for name in ("ap", "ap50", "ar"):
                pairs = paired(cells[share, WITH], cells[share, other], name)
                texts.append(gain_text(pairs))
            rows.append((f"{share:.0%}", f"less {other}", *texts))
    return Table(
        "What self-supervision adds",
        ("labelled", "self-supervision", *(_WORDS[name] for name in ("ap", "ap50", "ar"))),
        tuple(rows),
        "The mean difference over the seeds, on the same split and the same labelled images; in "
        "brackets the seeds in which it is above 0. 'Clear': above two standard errors.",
    )


def paired(
    of: Sequence[RowResult], other: Sequence[RowResult], name: str
) -> list[tuple[float, float]]:
    theirs = {one.seed: one.figures.get(name) for one in other}
    found = []
    for one in of:
        ours, other_value = one.figures.get(name), theirs.get(one.seed)
        if ours is not None and other_value is not None:
            found.append((float(ours), float(other_value)))
    return found


def gain_text(pairs: Sequence[tuple[float, float]]) -> str:
    if not pairs:
        return "unknown"
    gain = np.subtract(*np.transpose(pairs))
    clear = learned([a for a, _ in pairs], [b for _, b in pairs])
    verdict = "" if clear is None else ", clear" if clear else ", not clear"
    return f"{gain.mean():+.3f} ({int((gain > 0).sum())} of {len(gain)}{verdict})"


def table_2(results: Sequence[RowResult], agreement: Sequence[PairAgreement]) -> Table:
    rows: list[tuple[str, ...]] = []
    for pair in agreement:
        if pair.class_name != ALL_CLASSES:
            continue
        rows.append(
            (
                f"{pair.reader_a} and {pair.reader_b}",
                f"{pair.matched_iou:.3f} ({pair.matched_iou_low:.3f} to "
                f"{pair.matched_iou_high:.3f})",
                f"{pair.unmatched_share:.1%}",
                f"{pair.pairs_iou:.3f}, {pair.pairs_iou_sd:.3f}",
                f"{pair.pairs_above_iou:.3f}, {pair.pairs_above_iou_sd:.3f}",
                "",
                "",
            )
        )
    for share, row, of in by_cell(results):
        paper = published.BEST_OVERLAP.get(round(share, 6))
        shown = paper is not None and (row == WITH) == (share < 1)
        rows.append(
            (
                f"{share:.0%} labelled, {row}",
                text_of(of, "matched_overlap"),
                text_of(of, "unmatched_share"),
                "",
                "",
                f"{text_of(of, 'best_overlap')}, {_mean(of, 'best_overlap_sd')}",
                f"{paper[0]:.3f}, {paper[1]:.3f}" if paper is not None and shown else "",
            )
        )
    for (a, b), (mean, deviation) in published.READERS.items():
        rows.append((f"the paper's {a} and {b}", "", "", "", "", "", f"{mean}, {deviation}"))
    return Table(
        "Table II",
        (
            "pair",
            "matched IoU",
            "unmatched",
            "all pairs, sd",
            "pairs above .2, sd",
            "best detection, sd",
            "paper",
        ),
        tuple(rows),
        "Matched: boxes one to one within image and class (detections of a score of .05 or more). "
        "The other columns are the paper's rules, which do not compare: its first pair of readers "
        "counts all pairs of boxes, its second those above .2, and a detector is given the best of "
        "its detections for each box, 0 where there is none. Readers: of the last seed's test "
        "images.",
    )


def _mean(of: Sequence[RowResult], name: str) -> str:
    values = values_of(of, name)
    return f"{np.mean(values):.3f}" if values else "no truth"


def balance_table(balance: Balance) -> Table:
    rows = []
    for name, before, after in balance:
        paper = published.IMAGES_BY_CLASS.get(name)
        beside = ("", "") if paper is None else (f"{paper[0]:,}", f"{paper[1]:,}")
        rows.append((name, f"{before:,}", f"{after:,.0f}", *beside))
    return Table(
        "Figure 3: training images of each class",
        ("class", "images", "with repetitions", "paper: images", "paper: with repetitions"),
        tuple(rows),
        "Of the first seed's training images, all labelled. An image repeats as often as its "
        "rarest class needs.",
    )


def by_class_table(results: Sequence[RowResult], classes: Sequence[str]) -> Table:
    rows = []
    for share, row, of in by_cell(results):
        texts = []
        for name in classes:
            values = [
                one.figures["class_ap"][name]
                for one in of
                if one.figures["class_ap"].get(name) is not None
            ]
            text = f"{np.mean(values):.3f}" if values else "no truth"
            paper = published.CLASS_AP.get((name, round(share, 6)))
            if paper is not None and (row == WITH) == (share < 1):
                text += f" (paper {paper})"
            texts.append(text)
        rows.append((f"{share:.0%}", row, *texts))
    return Table(
        "Figure 4: average precision by class",
        ("labelled", "row", *classes),
        tuple(rows),
        "Means over the seeds; AP over IoU .5 to .95. The paper's are read off its picture.",
    )


def further(results: Sequence[RowResult]) -> Table:
    rows = tuple(
        (f"{share:.0%}", row, *(text_of(of, name) for name in MORE))
        for share, row, of in by_cell(results)
    )
    return Table(
        "Further figures",
        ("labelled", "row", *(_WORDS[name] for name in MORE)),
        rows,
        "AR by class is COCO's, at 100 detections; mAP at .4 is Kaggle's overlap with Pascal VOC's "
        "interpolation; CPM is the mean sensitivity at 1/8 to 8 false positives an image; false "
        "alarms are detections of a score of .5 or more on images without a box.",
    )


def class_values(of: Sequence[RowResult], name: str) -> list[float]:
    values = (one.figures["class_ap"].get(name) for one in of)
    return [value for value in values if value is not None]
