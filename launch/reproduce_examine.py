"""The EXAMINE paper's experiments (Fig. 2a, 2b, 3a to 3d, running times) on images of one's own, five seeds, one page.

python -m launch.reproduce_examine --preset=small --images=DIR --labels=L.csv --groups=G.csv --workdir=OUT
python -m launch.reproduce_examine --preset=paper --workdir=OUT        (PCam by TFDS, prepared as array_record; a GPU)

The same command goes on where it was killed; --seeds, --valuers and --methods may be added to later.
"""

import dataclasses
import pathlib
import sys

from absl import flags

from .command import choose_device, run, tell_other_seeds

_PRESET = flags.DEFINE_enum(
    "preset", "small", ["small", "paper"], "Sizes and training: for two CPU cores, or the paper's."
)
_IMAGES = flags.DEFINE_string(
    "images",
    None,
    "A folder, .npy, .npz, a prepared TFDS folder or tfds:NAME; paper: tfds:patch_camelyon if not given.",
)
_SPLIT = flags.DEFINE_string("split", None, "Of a TFDS data set or an .npz file; train if not given.")
_LABELS = flags.DEFINE_string("labels", None, "A .csv file; the source's own labels if not given.")
_GROUPS = flags.DEFINE_string("groups", None, "A .csv file: patient or slide of each image; no group is in two sets.")
_IMAGE_COLUMN = flags.DEFINE_string("image_column", "image", "The header of the images' names.")
_LABEL_COLUMN = flags.DEFINE_string("label_column", "label", "The header of the labels.")
_GROUP_COLUMN = flags.DEFINE_string("group_column", "group", "The header of the groups.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where everything is written.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "A repetition each.")
_SIZES = flags.DEFINE_list("sizes", None, "Images of the sets: pretraining,assessed,clean,validation.")
_METHODS = flags.DEFINE_list("methods", None, "Encoders, the main one first; mae,autoencoder,simclr,byol if not given.")
_ARCHITECTURE = flags.DEFINE_string("architecture", None, "The preset's if not given.")
_STEPS = flags.DEFINE_integer("steps", None, "Of each training, in place of the preset's length.", lower_bound=2)
_MINUTES = flags.DEFINE_float("minutes", None, "Of computing, of each training: CPU time on a CPU.")
_BATCH = flags.DEFINE_integer("batch_size", None, "Images a training step; the preset's if not given.", lower_bound=2)
_PREPROCESSING = flags.DEFINE_enum("preprocessing", None, ["none", "l2", "zscore"], "Of the features.")
_VALUED_ON = flags.DEFINE_enum(
    "valued_on",
    None,
    ["validation", "half"],
    "What defines V: all of the validation set, or the half that no curve is measured on.",
)
_VALUERS = flags.DEFINE_list("valuers", None, "Beside random, which is always there.")
_SPREAD = flags.DEFINE_enum(
    "noise_spread", None, ["variance", "standard_deviation"], "Of N(d, d*m), the second argument."
)
_DIVISION = flags.DEFINE_enum("noise_division", None, ["even", "drawn"], "Of the noisy images over the levels.")
_NOISE_TRAINING = flags.DEFINE_enum("noise_training", None, ["clean_then_mixed", "clean"], "What encoders see.")
_CLEAN_SHARE = flags.DEFINE_float("clean_share", None, "Of the training, how much is on clean images alone.")
_CURVE_STEP = flags.DEFINE_integer("curve_step", None, "Images between two points of a curve.", lower_bound=1)
_OBJECTIVE = flags.DEFINE_enum("objective", None, ["liblinear", "lbfgs"], "Of the logistic regression.")
_C = flags.DEFINE_float("C", None, "Inverse strength of its penalty.")
_METRIC = flags.DEFINE_enum(
    "metric", None, ["accuracy", "balanced_accuracy", "log_loss", "auroc"], "What a fitted model is worth."
)
_PERMUTATIONS = flags.DEFINE_integer("permutations", None, "At most, of tmc_shapley.", lower_bound=1)
_MISLABELLED = flags.DEFINE_float("mislabelled", None, "Share of wrong labels, in the experiment on them.")
_YES = flags.DEFINE_bool("yes", False, "Go on where valuing would take more than a day.")


def main() -> None:
    run(_job, "reproduce-examine")


def _job() -> None:
    if not _WORKDIR.value:
        raise ValueError("--workdir=FOLDER is missing: where should the results be written?")
    if _IMAGES.value is None and _PRESET.value != "paper":
        raise ValueError("--images=FOLDER is missing (with --labels=L.csv): the experiments need labelled images")
    device = choose_device()
    from examine_jax.common.compilation_cache import keep_compiled_programs
    from examine_jax.common.progress import progress_bar
    from examine_jax.studies.examine.page import write_experiments
    from examine_jax.studies.examine.sets import read_labelled
    from examine_jax.studies.examine.study import claim_workdir, run_seed

    keep_compiled_programs()
    settings = _settings()
    source = _IMAGES.value or "tfds:patch_camelyon"
    encoder = settings.training.chosen().encoder
    with progress_bar("images", True) as told:
        images = read_labelled(
            source,
            image_size=encoder.image_size,
            channels=encoder.channels,
            labels=_LABELS.value,
            groups=_GROUPS.value,
            image_column=_IMAGE_COLUMN.value,
            label_column=_LABEL_COLUMN.value,
            group_column=_GROUP_COLUMN.value,
            split=_SPLIT.value,
            on_progress=told,
        )
    workdir = pathlib.Path(_WORKDIR.value)
    claim_workdir(workdir, images, settings)
    tell_other_seeds(workdir, settings.seeds)
    found = []
    for seed in settings.seeds:
        found.append(run_seed(images, workdir, settings, seed, force_long=_YES.value))
        page = write_experiments(workdir, found, images, settings, source=pathlib.Path(source).name, device=device)
        print(f"{len(found)} of {len(settings.seeds)} seeds are done; open {page}", file=sys.stderr)


def _settings():  # type: ignore[no-untyped-def]
    from examine_jax.studies.examine.settings import SetSizes, experiment_preset

    settings = experiment_preset(_PRESET.value)
    plan = settings.training
    if _STEPS.value is not None and _MINUTES.value is None:
        plan = dataclasses.replace(plan, minutes=None)
    if _METHODS.value is not None:
        of = dict(zip(plan.methods, plan.presets))
        presets = tuple(of.get(name, "small" if _PRESET.value == "small" else "paper") for name in _METHODS.value)
        plan = dataclasses.replace(plan, methods=tuple(_METHODS.value), presets=presets)
    plan = _changed(
        plan, architecture=_ARCHITECTURE.value, steps=_STEPS.value, minutes=_MINUTES.value, batch_size=_BATCH.value
    )
    noise = _changed(
        settings.noise,
        spread=_SPREAD.value,
        division=_DIVISION.value,
        training=_NOISE_TRAINING.value,
        clean_share=_CLEAN_SHARE.value,
    )
    sizes = settings.sizes
    if _SIZES.value is not None:
        numbers = _whole(_SIZES.value, "sizes")
        if len(numbers) != 4:
            raise ValueError(f"--sizes takes four numbers, as in 2400,500,100,1000; got {','.join(_SIZES.value)}")
        sizes = SetSizes(*numbers)
    return _changed(
        dataclasses.replace(settings, training=plan, noise=noise, sizes=sizes, seeds=_whole(_SEEDS.value, "seeds")),
        preprocessing=_PREPROCESSING.value,
        valued_on=_VALUED_ON.value,
        valuers=None if _VALUERS.value is None else tuple(_VALUERS.value),
        model=_changed(settings.model, objective=_OBJECTIVE.value, C=_C.value),
        metric=_METRIC.value,
        permutations=_PERMUTATIONS.value,
        curves=_changed(settings.curves, step=_CURVE_STEP.value),
        mislabelled=_MISLABELLED.value,
    )


def _changed(settings, **changes):  # type: ignore[no-untyped-def]
    """With what was given on the command line."""
    return dataclasses.replace(settings, **{name: value for name, value in changes.items() if value is not None})


def _whole(texts: list[str], flag: str) -> tuple[int, ...]:
    try:
        return tuple(int(text) for text in texts)
    except ValueError as error:
        raise ValueError(f"--{flag} takes whole numbers, got {','.join(texts)}") from error


if __name__ == "__main__":
    main()
