"""Values rows of features, or images: the worth of each for a classifier, or without labels.

python -m launch.value --features=F.npy --labels=L.csv --workdir=OUT
python -m launch.value --features=F.npy --labels=L.npy --workdir=OUT \\
    --validation_features=V.npy --validation_labels=W.npy
python -m launch.value --images=DIR --encoder=FOLDER --labels=L.csv --workdir=OUT
"""

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from absl.flags import FlagValues

from examine_jax.common.settings import setting

from .command import choose_device, run
from .flags import define, read

if TYPE_CHECKING:
    import numpy as np

    from examine_jax.images import SkippedImage
    from examine_jax.labelled.labelled_rows import LabelledRows

_FLAG_NAMES = {"allow_shared_groups": "force", "allow_long": "yes"}


@dataclasses.dataclass(frozen=True)
class ValueFlags:
    """What `value` takes besides `ValueSettings`."""

    workdir: str = setting(
        help="Results go here. The same command again continues a killed run.", metavar="FOLDER", main=True
    )
    features: str | None = setting(
        None, "An .npy or .parquet file [N, D], or a folder of either.", metavar="PATH", main=True
    )
    images: str | None = setting(
        None, "Images instead: a folder, .npy or .npz file; with --encoder.", metavar="PATH", main=True
    )
    encoder: str | None = setting(None, "A trained encoder's folder, for --images.", metavar="PATH", main=True)
    labels: str | None = setting(
        None, "A .csv or .npy file, one label a row; label-free valuers need none.", metavar="FILE", main=True
    )
    groups: str | None = setting(
        None, "A .csv or .npy file: each row's patient or slide. Folds keep groups whole.", metavar="FILE", main=True
    )
    validation_features: str | None = setting(
        None, "The validation set, which defines a model's worth. If not given: folds.", metavar="PATH", main=True
    )
    validation_labels: str | None = setting(None, "Its labels.", metavar="FILE", main=True)
    validation_groups: str | None = setting(None, "Its groups, none of which may be among --groups.", metavar="FILE")
    label_column: str = setting("label", "The header of the labels' column.", metavar="NAME")
    group_column: str = setting("group", "The header of the groups' column.", metavar="NAME")
    image_column: str = setting("image", "The header of the names' column.", metavar="NAME")

    def __post_init__(self) -> None:
        if (self.features is None) == (self.images is None):
            raise ValueError("give --features=FILE, or --images=DIR with --encoder=FOLDER")
        if (self.images is None) != (self.encoder is None):
            raise ValueError("--images and --encoder=FOLDER go together (examine-assess trains one: its OUT/encoder)")
        if (self.validation_features is None) != (self.validation_labels is None):
            raise ValueError("--validation_features and --validation_labels go together")
        if self.validation_groups is not None and (self.validation_features is None or self.groups is None):
            raise ValueError("--validation_groups are compared with --groups: give both, and --validation_features")


def main() -> None:
    run("examine-value", __doc__, define_flags, _job)


def define_flags(values: FlagValues) -> None:
    from examine_jax.valuation import LogisticRegression, ValueSettings

    define(values, ValueFlags)
    define(values, ValueSettings, names=_FLAG_NAMES)
    define(values, LogisticRegression)


def _job(values: FlagValues) -> None:
    from examine_jax.jobs.value.page import write_values
    from examine_jax.reporting.tables import write_skipped
    from examine_jax.valuation import LogisticRegression, ValueSettings, value_features
    from examine_jax.valuation.registry import describe_valuers

    if "help" in values["valuers"].value:
        raise ValueError(describe_valuers())
    flags = read(values, ValueFlags)
    device = choose_device(values)
    settings = read(values, ValueSettings, model=read(values, LogisticRegression))
    rows, skipped = _rows(flags)
    validation = _validation(flags)
    workdir = pathlib.Path(flags.workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    if skipped:
        write_skipped(workdir / "skipped.csv", skipped)
    with _progress_bars() as on_progress:
        found = value_features(rows, workdir, settings, validation=validation, on_progress=on_progress)
    against = (
        "by folds of the rows themselves"
        if validation is None
        else f"against {len(validation.features)} validation rows"
    )
    source = pathlib.Path(flags.features or flags.images or "").name
    page = write_values(workdir, found, settings, names=rows.names, source=source, validation=against, device=device)
    for warning in found.warnings:
        print(f"note: {warning}", file=sys.stderr)
    if skipped:
        print(f"{len(skipped)} file(s) could not be read: {workdir / 'skipped.csv'}", file=sys.stderr)
    print(f"{len(rows.features)} rows valued by {len(found.valuations)} valuers; open {page}", file=sys.stderr)


def _rows(flags: ValueFlags) -> "tuple[LabelledRows, tuple[SkippedImage, ...]]":
    """The rows to be valued, and the images that could not be read."""
    from examine_jax.jobs.embed import embedded

    if flags.features is not None:
        return _labelled(flags, flags.features, flags.labels, flags.groups), ()
    found = embedded(flags.images or "", flags.encoder or "")
    rows = _with_columns(flags, found.features, found.names, flags.labels, flags.groups)
    return dataclasses.replace(rows, pixels=found.images), found.skipped


def _validation(flags: ValueFlags) -> "LabelledRows | None":
    if flags.validation_features is None:
        return None
    return _labelled(flags, flags.validation_features, flags.validation_labels, flags.validation_groups)


def _labelled(flags: ValueFlags, path: str, labels: str | None, groups: str | None) -> "LabelledRows":
    """Features in files, with their names, labels and groups."""
    import numpy as np

    from examine_jax.features.feature_chunks import open_features
    from examine_jax.labelled.tables import names_beside, read_names

    chunks = open_features(path)
    names = chunks.image_names(flags.image_column)
    if names is None and (file := names_beside(path)) is not None:
        names = read_names(file, chunks.rows, flags.image_column)
    return _with_columns(flags, np.concatenate(list(chunks)), None if names is None else tuple(names), labels, groups)


def _with_columns(
    flags: ValueFlags, features: "np.ndarray", names: tuple[str, ...] | None, labels: str | None, groups: str | None
) -> "LabelledRows":
    from examine_jax.labelled.labelled_rows import LabelledRows
    from examine_jax.labelled.tables import read_column

    def column(file: str | None, flag: str) -> "np.ndarray | None":
        if file is None:
            return None
        header = getattr(flags, flag)
        return read_column(file, len(features), header, names, flags.image_column, column_flag=flag)

    return LabelledRows(features, column(labels, "label_column"), column(groups, "group_column"), names)


@contextlib.contextmanager
def _progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each valuer in turn, as a function of (valuer, done, total)."""
    from tqdm import tqdm

    bars: dict[str, tqdm] = {}

    def progress(name: str, done: int, total: int) -> None:
        if name not in bars:
            for bar in bars.values():
                bar.close()
            bars[name] = tqdm(total=total, desc=name, file=sys.stderr)
        bars[name].update(done - bars[name].n)

    try:
        yield progress
    finally:
        for bar in bars.values():
            bar.close()


if __name__ == "__main__":
    main()
