"""BYOL-TracIn's study: pre-training, fine-tuning on 10, 50 and 100 % of the labels, transfer to a second set; three seeds, one page.

python -m launch.reproduce_byol_tracin --images=DIR --transfer_images=DIR --workdir=OUT     (classes: sub-folders, or --labels=L.csv)
python -m launch.reproduce_byol_tracin --preset=paper --layout=isic_2019 --images=DIR --transfer_layout=isic_2016 --transfer_images=DIR
    --workdir=OUT    (or chestx_ray14 and shenzhen; a GPU)

The same command goes on where it was killed; --seeds and --methods may be added to later.
"""

import dataclasses
import pathlib
import sys
from typing import TYPE_CHECKING, Any

from absl import flags

from .command import choose_device, run, tell_other_seeds

if TYPE_CHECKING:
    from examine_jax.studies.byol_tracin.settings import StudySettings

_LAYOUTS = ["folder", "isic_2019", "isic_2016", "chestx_ray14", "shenzhen"]
_PRESET = flags.DEFINE_enum("preset", "small", ["small", "paper"], "For two CPU cores, or the paper's.")
_IMAGES = flags.DEFINE_string("images", None, "The folder to pre-train and fine-tune on.")
_LAYOUT = flags.DEFINE_enum("layout", "folder", _LAYOUTS, "How it is laid out.")
_LABELS = flags.DEFINE_string("labels", None, "A .csv file; the images' sub-folders if not given.")
_GROUPS = flags.DEFINE_string("groups", None, "A .csv file: patient or slide of each image; no group is torn apart.")
_IMAGE_COLUMN = flags.DEFINE_string("image_column", "image", "The header of the images' names.")
_LABEL_COLUMN = flags.DEFINE_string("label_column", "label", "The header of the labels.")
_GROUP_COLUMN = flags.DEFINE_string("group_column", "group", "The header of the groups.")
_OTHER_IMAGES = flags.DEFINE_string("transfer_images", None, "The folder to transfer to.")
_OTHER_LAYOUT = flags.DEFINE_enum("transfer_layout", "folder", _LAYOUTS, "How it is laid out.")
_OTHER_LABELS = flags.DEFINE_string("transfer_labels", None, "As --labels.")
_OTHER_GROUPS = flags.DEFINE_string("transfer_groups", None, "As --groups.")
_OTHER_IMAGE_COLUMN = flags.DEFINE_string("transfer_image_column", "image", "As --image_column.")
_OTHER_LABEL_COLUMN = flags.DEFINE_string("transfer_label_column", "label", "As --label_column.")
_OTHER_GROUP_COLUMN = flags.DEFINE_string("transfer_group_column", "group", "As --group_column.")
_ON_DEMAND = flags.DEFINE_bool("on_demand", False, "Decode the images of official layouts while training.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where everything is written.")
_SEEDS = flags.DEFINE_list("seeds", None, "A repetition each; 0,1,2 if not given, small: 1,2,3.")
_METHODS = flags.DEFINE_list(
    "methods", None, "byol, byol_fnc, byol_ft, byol_fs, byol_tracin, byol_sup, ..._pretrained."
)
_ARCHITECTURE = flags.DEFINE_string("architecture", None, "The preset's if not given.")
_STEPS = flags.DEFINE_integer("steps", None, "Of each pre-training, in place of the preset's length.", lower_bound=2)
_MINUTES = flags.DEFINE_float(
    "minutes", None, "Of computing, of BYOL's pre-training (CPU time on a CPU); the others take as many steps."
)
_BATCH = flags.DEFINE_integer("batch_size", None, "Images a step; the preset's if not given.", lower_bound=2)
_SCORER = flags.DEFINE_string(
    "scorer", None, "A BYOL encoder's folder for ..._pretrained; the seed's BYOL if not given."
)
_SCORED = flags.DEFINE_enum("scored", None, ["first", "second", "both"], "The views whose gradients TracIn compares.")
_WEIGHT = flags.DEFINE_float("extra_weight", None, "Of the extra positive in the loss.", lower_bound=0.0)
_PRETRAINING_RATE = flags.DEFINE_float(
    "pretraining_learning_rate", None, "Of the pre-training, at a batch of 256; the preset's if not given."
)
_MOST = flags.DEFINE_integer("fnc_most", None, "False negatives that byol_fnc attracts, at most.", lower_bound=1)
_THRESHOLD = flags.DEFINE_float("fnc_threshold", None, "The cosine above which they are such.")
_CONCENTRATION = flags.DEFINE_float("ft_concentration", None, "Of byol_ft's Beta distribution.")
_VIEWS = flags.DEFINE_enum("extra_views", None, ["both", "other"], "The views of the extra image that enter.")
_EPOCHS = flags.DEFINE_integer("epochs", None, "Of each fine-tuning, in place of the preset's length.", lower_bound=1)
_TUNING_STEPS = flags.DEFINE_integer("fine_tuning_steps", None, "Of each fine-tuning, to whole epochs.", lower_bound=1)
_RATE = flags.DEFINE_float("learning_rate", None, "Of the fine-tuning, at a batch of 256.")


def main() -> None:
    run(_job, "reproduce-byol-tracin")


def _job() -> None:
    for flag in (_WORKDIR, _IMAGES, _OTHER_IMAGES):
        if not flag.value:
            raise ValueError(
                f"--{flag.name}=FOLDER is missing: the study needs two labelled sets and a folder for its results"
            )
    if _ON_DEMAND.value and _LAYOUT.value == _OTHER_LAYOUT.value == "folder":
        raise ValueError("--on_demand is for official layouts; plain folders are read at once: leave it out")
    device = choose_device()
    from examine_jax.common.progress import progress_bar
    from examine_jax.studies.byol_tracin.page import write_study
    from examine_jax.studies.byol_tracin.sets import read_set
    from examine_jax.studies.byol_tracin.study import claim_workdir, expected_time, gallery, run_seed

    settings = _settings()
    encoder = settings.chosen().encoder
    sets = []
    for folder, layout, labels, groups, image, label, group in (
        (_IMAGES, _LAYOUT, _LABELS, _GROUPS, _IMAGE_COLUMN, _LABEL_COLUMN, _GROUP_COLUMN),
        (
            *(_OTHER_IMAGES, _OTHER_LAYOUT, _OTHER_LABELS, _OTHER_GROUPS),
            *(_OTHER_IMAGE_COLUMN, _OTHER_LABEL_COLUMN, _OTHER_GROUP_COLUMN),
        ),
    ):
        with progress_bar("images", True) as told:
            read = read_set(
                str(folder.value),
                layout.value,
                image_size=encoder.image_size,
                channels=encoder.channels,
                labels=labels.value,
                groups=groups.value,
                image_column=image.value,
                label_column=label.value,
                group_column=group.value,
                on_demand=_ON_DEMAND.value and layout.value != "folder",
                on_progress=told,
            )
        sets.append(read)
    source, other = sets
    workdir = pathlib.Path(str(_WORKDIR.value))
    splits = claim_workdir(workdir, source, other, settings)
    print(expected_time(workdir, source, splits, settings), file=sys.stderr)
    tell_other_seeds(workdir, settings.seeds)
    found = []
    for seed, both in zip(settings.seeds, splits):
        found.append(run_seed(source, other, both, workdir, settings, seed))
        shown = gallery(source, splits[0][0], workdir, settings, settings.seeds[0])
        page = write_study(workdir, found, source, other, settings, shown, device=device)
        print(f"{len(found)} of {len(settings.seeds)} seeds are done; open {page}", file=sys.stderr)


def _settings() -> "StudySettings":
    from examine_jax.studies.byol_tracin.settings import study_preset
    from examine_jax.training.optimiser import WarmupCosine

    settings = study_preset(_PRESET.value)
    if _STEPS.value is not None and _MINUTES.value is None:
        settings = dataclasses.replace(settings, minutes=None)
    try:
        seeds = None if _SEEDS.value is None else tuple(int(seed) for seed in _SEEDS.value)
    except ValueError as error:
        raise ValueError(f"--seeds takes whole numbers, got {','.join(_SEEDS.value or ())}") from error
    tuning = settings.fine_tuning
    if _EPOCHS.value is not None:
        if _TUNING_STEPS.value is not None:
            raise ValueError("give either --epochs or --fine_tuning_steps")
        tuning = dataclasses.replace(tuning, epochs=_EPOCHS.value)
        settings = dataclasses.replace(settings, fine_tuning_steps=None)
    if _RATE.value is not None:
        tuning = dataclasses.replace(tuning, schedule=WarmupCosine(_RATE.value))
    likely: dict[str, Any] = {"most": _MOST.value, "threshold": _THRESHOLD.value}
    likely = {name: value for name, value in likely.items() if value is not None}
    given: dict[str, Any] = {
        "learning_rate": _PRETRAINING_RATE.value,
        "false_negatives": dataclasses.replace(settings.false_negatives, **likely),
        "concentration": _CONCENTRATION.value,
        "methods": None if _METHODS.value is None else tuple(_METHODS.value),
        "architecture": _ARCHITECTURE.value,
        "steps": _STEPS.value,
        "minutes": _MINUTES.value,
        "batch_size": _BATCH.value,
        "scorer": _SCORER.value,
        "scored": _SCORED.value,
        "weight": _WEIGHT.value,
        "extra_views": _VIEWS.value,
        "fine_tuning": tuning,
        "fine_tuning_steps": _TUNING_STEPS.value,
        "seeds": seeds,
    }
    return dataclasses.replace(settings, **{name: value for name, value in given.items() if value is not None})


if __name__ == "__main__":
    main()
