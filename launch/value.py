"""Value rows of features, or images: what is each worth for a classifier, and by what needs no labels?

python -m launch.value --features=F.npy --labels=L.csv --workdir=OUT [--valuers=examine,loo,tmc_shapley,random]
python -m launch.value --features=F.npy --labels=L.npy --validation_features=V.npy --validation_labels=W.npy --workdir=OUT
python -m launch.value --images=DIR --encoder=FOLDER --labels=L.csv --workdir=OUT
"""

import pathlib
import sys
from typing import Any, cast

from absl import flags

from .command import choose_device, run

FLAGS = flags.FLAGS
_FEATURES = flags.DEFINE_string("features", None, "An .npy or .parquet file [N, D], or a folder of either.")
_IMAGES = flags.DEFINE_string("images", None, "Images instead: a folder, or an .npy or .npz file; with --encoder.")
_ENCODER = flags.DEFINE_string("encoder", None, "A trained encoder's folder, for --images.")
_LABELS = flags.DEFINE_string("labels", None, "A .csv or .npy file, one label a row; label-free valuers need none.")
_GROUPS = flags.DEFINE_string(
    "groups", None, "A .csv or .npy file: the patient or slide of each row; folds keep groups whole."
)
_VALIDATION_FEATURES = flags.DEFINE_string(
    "validation_features", None, "The set that says what a model is worth; folds of the rows if not given."
)
_VALIDATION_LABELS = flags.DEFINE_string("validation_labels", None, "Its labels.")
_VALIDATION_GROUPS = flags.DEFINE_string("validation_groups", None, "Its groups, none of which may be among --groups.")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Where everything is written; the same command goes on where it was killed."
)
_VALUERS = flags.DEFINE_list(
    "valuers", ["examine", "loo", "tmc_shapley", "random"], "Which; `--valuers=help` lists them."
)
_OBJECTIVE = flags.DEFINE_enum(
    "objective", "liblinear", ["liblinear", "lbfgs"], "Of the logistic regression, as scikit-learn's solvers read it."
)
_C = flags.DEFINE_float("C", 1.0, "Inverse strength of its penalty.")
_METRIC = flags.DEFINE_enum(
    "metric", "accuracy", ["accuracy", "balanced_accuracy", "log_loss", "auroc"], "What a fitted model is worth."
)
_PERMUTATIONS = flags.DEFINE_integer("permutations", 1000, "At most, of tmc_shapley and beta_shapley.", lower_bound=1)
_TRUNCATE = flags.DEFINE_bool("truncate", True, "Cut permutations short and stop early, as DataShapley does.")
_SETS = flags.DEFINE_integer("sets", 1000, "Of banzhaf.", lower_bound=2)
_BAGS = flags.DEFINE_integer("bags", 200, "Of data_oob.", lower_bound=1)
_NEIGHBOURS = flags.DEFINE_integer("neighbours", 5, "Of knn_shapley.", lower_bound=1)
_FOLDS = flags.DEFINE_integer("folds", 5, "Without a validation set.", lower_bound=2)
_LABEL_COLUMN = flags.DEFINE_string("label_column", "label", "The header of the labels' column.")
_GROUP_COLUMN = flags.DEFINE_string("group_column", "group", "The header of the groups' column.")
_IMAGE_COLUMN = flags.DEFINE_string("image_column", "image", "The header of the names' column.")
_FORCE = flags.DEFINE_bool("force", False, "Go on where the validation set shares groups with the assessed one.")
_YES = flags.DEFINE_bool("yes", False, "Go on where the work would take more than a day.")
_SEED = flags.DEFINE_integer("seed", 0, "Of everything random.", lower_bound=0)


def main() -> None:
    run(_job, "examine-value")


def _job() -> None:
    _check_flags()
    device = choose_device()
    from tqdm import tqdm

    from examine_jax.jobs.value.page import write_values
    from examine_jax.jobs.value.value import ValueSettings, value_features
    from examine_jax.labelled.labelled_rows import LabelledRows
    from examine_jax.labelled.row_column import read_column
    from examine_jax.reporting.tables import write_skipped
    from examine_jax.valuation import LogisticRegression

    settings = ValueSettings(
        valuers=tuple(_VALUERS.value),
        model=LogisticRegression(cast(Any, _OBJECTIVE.value), _C.value),
        metric=cast(Any, _METRIC.value),
        permutations=_PERMUTATIONS.value,
        truncate=_TRUNCATE.value,
        sets=_SETS.value,
        bags=_BAGS.value,
        neighbours=_NEIGHBOURS.value,
        folds=_FOLDS.value,
        force=_FORCE.value,
        yes=_YES.value,
        seed=_SEED.value,
    )
    features, names, pixels, skipped = _rows()

    def column(file: str | None, count: int, header: str, of: tuple[str, ...] | None):  # type: ignore[no-untyped-def]
        return None if file is None else read_column(file, count, header, of, _IMAGE_COLUMN.value)

    rows = LabelledRows(
        features,
        column(_LABELS.value, len(features), _LABEL_COLUMN.value, names),
        column(_GROUPS.value, len(features), _GROUP_COLUMN.value, names),
        names,
        pixels,
    )
    validation = None
    if _VALIDATION_FEATURES.value is not None:
        there, their_names = _read(_VALIDATION_FEATURES.value)
        validation = LabelledRows(
            there,
            column(_VALIDATION_LABELS.value, len(there), _LABEL_COLUMN.value, their_names),
            column(_VALIDATION_GROUPS.value, len(there), _GROUP_COLUMN.value, their_names),
            their_names,
        )
    workdir = pathlib.Path(_WORKDIR.value or "")
    workdir.mkdir(parents=True, exist_ok=True)
    if skipped:
        write_skipped(workdir / "skipped.csv", skipped)
    bars: dict[str, tqdm] = {}

    def told(name: str, done: int, of: int) -> None:
        if name not in bars:
            for bar in bars.values():
                bar.close()
            bars[name] = tqdm(total=of, desc=name, file=sys.stderr)
        bars[name].update(done - bars[name].n)

    try:
        found = value_features(rows, workdir, settings, validation=validation, on_progress=told)
    finally:
        for bar in bars.values():
            bar.close()
    against = (
        "by folds of the rows themselves"
        if validation is None
        else f"against {len(validation.features)} validation rows"
    )
    source = pathlib.Path(_FEATURES.value or _IMAGES.value or "").name
    page = write_values(workdir, found, settings, names=names, source=source, validation=against, device=device)
    for warning in found.warnings:
        print(f"note: {warning}", file=sys.stderr)
    if skipped:
        print(f"{len(skipped)} file(s) could not be read: {workdir / 'skipped.csv'}", file=sys.stderr)
    print(f"{len(features)} rows valued by {len(found.valuations)} valuers; open {page}", file=sys.stderr)


def _check_flags() -> None:
    if "help" in _VALUERS.value:
        from examine_jax.jobs.value.value import LABEL_FREE, SUPERVISED
        from examine_jax.valuation import IMAGE_QUALITIES

        raise ValueError(
            f"label-free: {', '.join(LABEL_FREE)}; with labels: {', '.join(SUPERVISED)}; with --images: {', '.join(IMAGE_QUALITIES)}"
        )
    if not _WORKDIR.value:
        raise ValueError("--workdir=FOLDER is missing: where should the results be written?")
    if (_FEATURES.value is None) == (_IMAGES.value is None):
        raise ValueError("give --features=FILE, or --images=DIR with --encoder=FOLDER")
    if (_IMAGES.value is None) != (_ENCODER.value is None):
        raise ValueError("--images and --encoder=FOLDER go together (examine-assess trains one: its OUT/encoder)")
    if (_VALIDATION_FEATURES.value is None) != (_VALIDATION_LABELS.value is None):
        raise ValueError("--validation_features and --validation_labels go together")
    if _VALIDATION_GROUPS.value is not None and (_VALIDATION_FEATURES.value is None or _GROUPS.value is None):
        raise ValueError("--validation_groups are compared with --groups: give both, and --validation_features")


def _rows():  # type: ignore[no-untyped-def]
    if _FEATURES.value is not None:
        return (*_read(_FEATURES.value), None, ())
    from examine_jax.jobs.embed import embedded

    found = embedded(_IMAGES.value, _ENCODER.value)
    return found.features, found.names, found.images, found.skipped


def _read(path: str):  # type: ignore[no-untyped-def]
    """(features, names or None)"""
    import numpy as np

    from examine_jax.features.feature_chunks import open_features
    from examine_jax.labelled.image_names import names_beside, read_names

    chunks = open_features(path)
    names = chunks.image_names(_IMAGE_COLUMN.value)
    if names is None and (file := names_beside(path)) is not None:
        names = read_names(file, chunks.rows, _IMAGE_COLUMN.value)
    return np.concatenate(list(chunks)), None if names is None else tuple(names)


if __name__ == "__main__":
    main()
