"""Repeats BYOL-TracIn's study: pre-training, fine-tuning on shares of the labels, transfer.

python -m launch.reproduce byol_tracin --images=DIR --transfer_images=DIR --workdir=OUT
python -m launch.reproduce byol_tracin --preset=paper --layout=isic_2019 --images=DIR \\
    --transfer_layout=isic_2016 --transfer_images=DIR --workdir=OUT    (a GPU)

The same command again continues a killed run. --seeds and --methods may be added to later. The
paper's other pair of sets is chestx_ray14 and shenzhen.
"""

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

from absl.flags import FlagValues

from examine_jax.common.settings import setting

from .command import run
from .device import choose_device
from .flags import changed, define, given, read
from .group_by import GroupBy
from .shared_seeds import spread_seeds

if TYPE_CHECKING:
    from examine_jax.studies.byol_tracin.sets import StudySource
    from examine_jax.studies.byol_tracin.settings import StudySettings

Layout = Literal["folder", "isic_2019", "isic_2016", "chestx_ray14", "shenzhen"]
_NAMES = {
    "learning_rate": "pretraining_learning_rate",
    "weight": "extra_weight",
    "concentration": "ft_concentration",
}


@dataclasses.dataclass(frozen=True)
class ReproduceByolTracInFlags:
    """What the command takes besides the study's settings."""

    workdir: str = setting(
        help="The study needs a folder for its results.", metavar="FOLDER", main=True
    )
    images: str = setting(
        help="The study needs a set to pre-train and fine-tune on.", metavar="FOLDER", main=True
    )
    transfer_images: str = setting(
        help="The study needs a second set to transfer to.", metavar="FOLDER", main=True
    )
    preset: Literal["small", "paper"] = setting(
        "small", "For two CPU cores, or the paper's for a GPU.", main=True
    )
    layout: Layout = setting("folder", "The layout of --images.", main=True)
    transfer_layout: Layout = setting("folder", "The layout of --transfer_images.", main=True)
    labels: str | None = setting(
        None, "A .csv file; if not given, the sub-folders.", metavar="FILE", main=True
    )
    groups: str | None = setting(
        None,
        "A .csv file: the patient or slide of each image; groups stay whole.",
        metavar="FILE",
        main=True,
    )
    group_by: GroupBy | None = setting(
        None,
        "In place of --groups, in plain folders: images of one patient, study or series by their "
        "DICOM headers, of one folder, or of one slide, volume or file.",
    )
    image_column: str = setting("image", "The header of the images' names.")
    label_column: str = setting("label", "The header of the labels.")
    group_column: str = setting("group", "The header of the groups.")
    transfer_labels: str | None = setting(None, "As --labels.", metavar="FILE")
    transfer_groups: str | None = setting(None, "As --groups.", metavar="FILE")
    transfer_group_by: GroupBy | None = setting(None, "As --group_by.")
    transfer_image_column: str = setting("image", "As --image_column.")
    transfer_label_column: str = setting("label", "As --label_column.")
    transfer_group_column: str = setting("group", "As --group_column.")
    on_demand: bool = setting(False, "Decode the images of official layouts while training.")
    fnc_most: int | None = setting(
        None, "False negatives that byol_fnc attracts, at most.", minimum=1
    )
    fnc_threshold: float | None = setting(
        None, "The cosine above which an image is a false negative."
    )
    epochs: int | None = setting(
        None, "Epochs of each fine-tuning; replaces the preset's length.", minimum=1
    )
    fine_tuning_learning_rate: float | None = setting(
        None, "Of the fine-tuning, at a batch of 256."
    )

    def __post_init__(self) -> None:
        if self.on_demand and self.layout == self.transfer_layout == "folder":
            raise ValueError(
                "--on_demand is for official layouts; plain folders are read at once: leave it out"
            )


def main() -> None:
    run("reproduce-byol-tracin", __doc__, define_flags, job)


def define_flags(values: FlagValues) -> None:
    from examine_jax.studies.byol_tracin.settings import StudySettings

    define(values, ReproduceByolTracInFlags, names={"fine_tuning_learning_rate": "learning_rate"})
    define(values, StudySettings, names=_NAMES, preset=True)


def job(values: FlagValues) -> None:
    """Runs the study that the flags describe."""
    from examine_jax.studies import byol_tracin

    flags = read(values, ReproduceByolTracInFlags)
    settings = _settings(values, flags)
    if spread_seeds(values, "byol_tracin", settings.seeds, flags.workdir):
        return
    device = choose_device(values)
    source, transfer = _sources(flags)
    byol_tracin.run(settings, source, transfer, flags.workdir, device=device)


def _sources(flags: ReproduceByolTracInFlags) -> "tuple[StudySource, StudySource]":
    from examine_jax.labelled.sets import LabelledSource
    from examine_jax.studies.byol_tracin.sets import StudySource

    columns = ("image_column", "label_column", "group_column")
    first, second = (
        StudySource(
            LabelledSource(
                getattr(flags, f"{prefix}images"),
                getattr(flags, f"{prefix}labels"),
                getattr(flags, f"{prefix}groups"),
                **{column: getattr(flags, prefix + column) for column in columns},
                group_by=getattr(flags, f"{prefix}group_by"),
            ),
            getattr(flags, f"{prefix}layout"),
            flags.on_demand and getattr(flags, f"{prefix}layout") != "folder",
        )
        for prefix in ("", "transfer_")
    )
    return first, second


def _settings(values: FlagValues, flags: ReproduceByolTracInFlags) -> "StudySettings":
    from examine_jax.studies.byol_tracin.settings import StudySettings, byol_tracin_preset
    from examine_jax.training.optimiser import WarmupCosine

    settings = byol_tracin_preset(flags.preset)
    named = given(values, StudySettings)
    if "steps" in named and "minutes" not in named:
        settings = dataclasses.replace(settings, minutes=None)
    tuning = settings.fine_tuning
    if flags.epochs is not None:
        if "fine_tuning_steps" in named:
            raise ValueError("give either --epochs or --fine_tuning_steps")
        tuning = dataclasses.replace(tuning, epochs=flags.epochs)
        settings = dataclasses.replace(settings, fine_tuning_steps=None)
    if flags.fine_tuning_learning_rate is not None:
        tuning = dataclasses.replace(tuning, schedule=WarmupCosine(flags.fine_tuning_learning_rate))
    named_alike = {"most": flags.fnc_most, "threshold": flags.fnc_threshold}
    alike: dict[str, Any] = {
        name: value for name, value in named_alike.items() if value is not None
    }
    false_negatives = dataclasses.replace(settings.false_negatives, **alike)
    return changed(
        values, dataclasses.replace(settings, fine_tuning=tuning, false_negatives=false_negatives)
    )


if __name__ == "__main__":
    main()
