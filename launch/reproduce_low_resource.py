"""The low-resource study (DCL, SimCLR, SimSiam, VICReg on small medical sets; tables 1 to 3, figures 3 and 4), one page.

python -m launch.reproduce_low_resource --images=tiles=DIR --labels=tiles=L.csv --groups=tiles=G.csv --workdir=OUT
python -m launch.reproduce_low_resource --preset=paper --images=breast=DIR,colorectal=tfds:colorectal_histology,pneumonia=DIR \\
    --imagenet=resnet50.safetensors --workdir=OUT        (a GPU)

Without --labels, a folder's sub-folders are the classes; sets named breast, colorectal and pneumonia are read from their official folders,
and stand beside the paper's numbers. The same command goes on where it was killed; sets, --seeds, --methods, --batch_sizes and --imagenet
may be added later.
"""

import dataclasses
import pathlib
import sys

from absl import flags

from .command import choose_device, run, tell_other_seeds

_PRESET = flags.DEFINE_enum(
    "preset", "small", ["small", "paper", "released_code"], "For two CPU cores, the paper's text, or its authors' code."
)
_IMAGES = flags.DEFINE_list("images", None, "NAME=SOURCE of each set: a folder, .npy, .npz or tfds:NAME.")
_LABELS = flags.DEFINE_list("labels", [], "NAME=CSV of sets whose source or sub-folders do not tell the classes.")
_GROUPS = flags.DEFINE_list("groups", [], "NAME=CSV: patient or slide of each image; no group is in two parts.")
_IMAGE_COLUMN = flags.DEFINE_string("image_column", "image", "The header of the images' names.")
_LABEL_COLUMN = flags.DEFINE_string("label_column", "label", "The header of the labels.")
_GROUP_COLUMN = flags.DEFINE_string("group_column", "group", "The header of the groups.")
_KEEP_GROUPS = flags.DEFINE_bool("keep_groups", True, "Whole groups in each part; the paper splits images at random.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Where everything is written.")
_IMAGENET = flags.DEFINE_string("imagenet", None, "A local ResNet-50 (.safetensors or a folder), for the transfer row.")
_METHODS = flags.DEFINE_list("methods", None, "dcl,simclr,simsiam,vicreg if not given.")
_BATCH_SIZES = flags.DEFINE_list("batch_sizes", None, "Of pre-training; 16,32,64 if not given.")
_TABLE_BATCH = flags.DEFINE_integer("table_batch", None, "The batch size of table 2, and of sets not in --ablated; 64.")
_ABLATED = flags.DEFINE_list("ablated", None, "Sets on which all batch sizes are compared; all if not given.")
_SEEDS = flags.DEFINE_list("seeds", None, "A repetition each; small: 0,1,2, else 0.")
_ARCHITECTURE = flags.DEFINE_string("architecture", None, "resnet50 if not given; small: resnet18_imagenet_stem.")
_IMAGE_SIZE = flags.DEFINE_integer("image_size", None, "Of what the encoder sees; the architecture's.", lower_bound=8)
_STEPS = flags.DEFINE_integer("steps", None, "Of each training, in place of the preset's length.", lower_bound=1)
_MINUTES = flags.DEFINE_float("minutes", None, "Of computing, of each training: CPU time on a CPU; small: 10.")
_K = flags.DEFINE_integer("k", None, "Neighbours, fewer than training images; 200.", lower_bound=1)
_RATES = flags.DEFINE_list("probe_learning_rates", None, "Swept by the validation images; 0.005,0.01,0.1,0.5.")
_PROBE_BATCH = flags.DEFINE_integer("probe_batch_size", None, "The pre-training's if not given.", lower_bound=2)


def main() -> None:
    run(_job, "reproduce-low-resource")


def _job() -> None:
    if not _WORKDIR.value:
        raise ValueError("--workdir=FOLDER is missing: where should the results be written?")
    if not _IMAGES.value:
        raise ValueError("--images=NAME=SOURCE is missing: the study needs one labelled set at least")
    sources, labels, groups = (_named(flag) for flag in (_IMAGES, _LABELS, _GROUPS))
    for flag, given in (("labels", labels), ("groups", groups), ("ablated", dict.fromkeys(_ABLATED.value or ()))):
        unknown = [name for name in given if name not in sources]
        if unknown:
            raise ValueError(f"--{flag} names {unknown[0]!r}, but the sets are {', '.join(sources)}")
    settings = _settings()
    device = choose_device()
    from examine_jax.encoders import load_encoder
    from examine_jax.studies.low_resource.layouts import describe
    from examine_jax.studies.low_resource.page import write_study
    from examine_jax.studies.low_resource.study import check_set, claim_set, claim_study, expected_seconds, run_set

    shape = settings.chosen().encoder
    sets = {
        name: _read(name, source, labels.get(name), groups.get(name), shape.image_size, shape.channels)
        for name, source in sources.items()
    }
    for name, images in sets.items():
        check_set(name, images, settings)
    imagenet = None if _IMAGENET.value is None else load_encoder(_IMAGENET.value, image_size=shape.image_size)
    workdir = pathlib.Path(_WORKDIR.value)
    claim_study(workdir, settings)
    for name, images in sets.items():
        claim_set(name, images, workdir, imagenet=imagenet)
        tell_other_seeds(workdir / name, settings.seeds)
    left, seconds = expected_seconds(sets, workdir, settings)
    about = "" if seconds is None else f", about {seconds / 3600:.1f} h of computing, embedding and probes not counted"
    print(f"{left} trainings to do{about}; what is done is kept", file=sys.stderr)
    found, described = [], {}
    for name, images in sets.items():
        described[name] = describe(images)
        last = settings.methods[-1], settings.batches_on(name)[-1]
        for one in run_set(name, images, workdir, settings, imagenet=imagenet):
            found.append(one)
            batch = "" if one.batch_size is None else f", batch {one.batch_size}"
            told = f"kNN accuracy {one.figures['knn']['accuracy']:.3f}" if one.diverged is None else one.diverged
            print(f"{name}, seed {one.seed}, {one.name}{batch}: {told}", file=sys.stderr)
            if (one.name, one.batch_size) == last:  # of this seed
                page = write_study(workdir, found, described, settings, device=device)
                print(f"{name}, seed {one.seed} is done; open {page}", file=sys.stderr)


def _read(name: str, source: str, labels: str | None, groups: str | None, image_size: int, channels: int):  # type: ignore[no-untyped-def]
    from examine_jax.common.progress import progress_bar
    from examine_jax.studies.examine.sets import read_labelled
    from examine_jax.studies.low_resource.layouts import LAYOUTS, read_official

    folder = pathlib.Path(source)
    prepared = (folder / "dataset_info.json").is_file()  # by TFDS
    with progress_bar(f"images of {name}", True) as told:
        if name in LAYOUTS and labels is None and folder.is_dir() and not prepared:
            if groups is not None:
                raise ValueError(f"--groups={name}=... needs --labels={name}=...: official folders name their own")
            return read_official(source, name, image_size=image_size, channels=channels, on_progress=told)
        return read_labelled(
            source,
            image_size=image_size,
            channels=channels,
            labels=labels,
            groups=groups,
            image_column=_IMAGE_COLUMN.value,
            label_column=_LABEL_COLUMN.value,
            group_column=_GROUP_COLUMN.value,
            on_progress=told,
        )


def _settings():  # type: ignore[no-untyped-def]
    from examine_jax.models.presets import architecture
    from examine_jax.studies.low_resource.settings import low_resource_preset

    settings = low_resource_preset(_PRESET.value)
    changes = {
        "methods": None if _METHODS.value is None else tuple(_METHODS.value),
        "batch_sizes": _numbers(_BATCH_SIZES, int),
        "table_batch": _TABLE_BATCH.value,
        "ablated": None if _ABLATED.value is None else tuple(_ABLATED.value),
        "seeds": _numbers(_SEEDS, int),
        "architecture": _ARCHITECTURE.value,
        "steps": _STEPS.value,
        "minutes": _MINUTES.value,
        "k": _K.value,
        "probe_learning_rates": _numbers(_RATES, float),
        "probe_batch_size": _PROBE_BATCH.value,
    }
    if _STEPS.value is not None and _MINUTES.value is None:
        settings = dataclasses.replace(settings, minutes=None)
    given = {name: value for name, value in changes.items() if value is not None}
    settings = dataclasses.replace(settings, keep_groups=_KEEP_GROUPS.value, **given)
    if _IMAGE_SIZE.value is None:
        return settings
    return dataclasses.replace(settings, network=architecture(settings.architecture, image_size=_IMAGE_SIZE.value))


def _numbers(flag, kind):  # type: ignore[no-untyped-def]
    if flag.value is None:
        return None
    try:
        return tuple(kind(text) for text in flag.value)
    except ValueError as error:
        raise ValueError(f"--{flag.name} takes numbers, got {','.join(flag.value)}") from error


def _named(flag) -> dict[str, str]:  # type: ignore[no-untyped-def]
    found: dict[str, str] = {}
    for text in flag.value:
        name, equals, value = text.partition("=")
        if not (name and equals and value) or name in found:
            raise ValueError(f"--{flag.name} takes NAME=SOURCE, each name once, got {text!r}")
        found[name] = value
    return found


if __name__ == "__main__":
    main()
