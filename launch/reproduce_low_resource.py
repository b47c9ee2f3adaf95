"""Repeats the low-resource study: DCL, SimCLR, SimSiam and VICReg on small medical sets.

python -m launch.reproduce low_resource --workdir=OUT --images=tiles=DIR --labels=tiles=L.csv
python -m launch.reproduce low_resource --workdir=OUT --preset=paper --imagenet=RESNET50 \\
    --images=breast=DIR,colorectal=tfds:colorectal_histology,pneumonia=DIR    (a GPU)

Without --labels, a folder's sub-folders are the classes. Sets named breast, colorectal and
pneumonia are read from their authors' folders, and stand beside the paper's numbers. The same
command again continues a killed run. Sets, --seeds, --methods, --batch_sizes and --imagenet may be
added later.
"""

import dataclasses
from typing import TYPE_CHECKING, Literal

from absl.flags import FlagValues

from examine_jax.common.settings import setting

from .command import run
from .device import choose_device
from .flags import changed, define, given, read
from .group_by import GroupBy
from .shared_seeds import spread_seeds

if TYPE_CHECKING:
    from examine_jax.labelled.sets import LabelledSource
    from examine_jax.studies.low_resource.settings import LowResourceSettings


@dataclasses.dataclass(frozen=True)
class ReproduceLowResourceFlags:
    """What the command takes besides the study's settings."""

    workdir: str = setting(help="Results go here.", metavar="FOLDER", main=True)
    images: tuple[str, ...] | None = setting(
        None,
        "Each set: a folder, .npy, .npz or tfds:NAME.",
        metavar="NAME=SOURCE,…",
        main=True,
    )
    preset: Literal["small", "paper", "released_code"] = setting(
        "small", "For two CPU cores, the paper's text, or its authors' code.", main=True
    )
    labels: tuple[str, ...] = setting(
        (),
        "Labels of sets whose source or sub-folders are not the classes.",
        metavar="NAME=CSV,…",
        main=True,
    )
    groups: tuple[str, ...] = setting(
        (),
        "The patient or slide of each image; no group is in two parts.",
        metavar="NAME=CSV,…",
        main=True,
    )
    group_by: GroupBy | None = setting(
        None,
        "Of sets that bring no groups: images of one patient, study or series by their DICOM "
        "headers, of one folder, or of one slide, volume or file.",
    )
    image_column: str = setting("image", "The header of the images' names.")
    label_column: str = setting("label", "The header of the labels.")
    group_column: str = setting("group", "The header of the groups.")
    imagenet: str | None = setting(
        None,
        "A local ResNet-50 (.safetensors or a folder), for the transfer row.",
        metavar="PATH",
        main=True,
    )
    image_size: int | None = setting(
        None, "The size of the encoder's images; the architecture's if not given.", minimum=8
    )

    def __post_init__(self) -> None:
        if not self.images:
            raise ValueError(
                "--images=NAME=SOURCE is missing: the study needs one labelled set at least"
            )


def main() -> None:
    run("reproduce-low-resource", __doc__, define_flags, job)


def define_flags(values: FlagValues) -> None:
    from examine_jax.studies.low_resource.settings import LowResourceSettings

    define(values, ReproduceLowResourceFlags)
    define(values, LowResourceSettings, preset=True)


def job(values: FlagValues) -> None:
    """Runs the study that the flags describe."""
    from examine_jax.studies import low_resource

    flags = read(values, ReproduceLowResourceFlags)
    sources = _sources(values, flags)
    settings = _settings(values, flags)
    if spread_seeds(values, "low_resource", settings.seeds, flags.workdir):
        return
    device = choose_device(values)
    low_resource.run(settings, sources, flags.workdir, imagenet=flags.imagenet, device=device)


def _sources(values: FlagValues, flags: ReproduceLowResourceFlags) -> "dict[str, LabelledSource]":
    from examine_jax.labelled.sets import LabelledSource

    sources, labels, groups = (
        _by_name(flag, getattr(flags, flag) or ()) for flag in ("images", "labels", "groups")
    )
    for flag, named in (
        ("labels", labels),
        ("groups", groups),
        ("ablated", values["ablated"].value or ()),
    ):
        unknown = [name for name in named if name not in sources]
        if unknown:
            raise ValueError(
                f"--{flag} names {unknown[0]!r}, but the sets are {', '.join(sources)}"
            )
    columns = (flags.image_column, flags.label_column, flags.group_column)
    return {
        name: LabelledSource(
            source,
            labels.get(name),
            groups.get(name),
            *columns,
            group_by=None if name in groups else flags.group_by,
        )
        for name, source in sources.items()
    }


def _settings(values: FlagValues, flags: ReproduceLowResourceFlags) -> "LowResourceSettings":
    from examine_jax.models.architectures import architecture
    from examine_jax.studies.low_resource.settings import LowResourceSettings, low_resource_preset

    settings = low_resource_preset(flags.preset)
    named = given(values, LowResourceSettings)
    if "steps" in named and "minutes" not in named:
        settings = dataclasses.replace(settings, minutes=None)
    settings = changed(values, settings)
    if flags.image_size is None:
        return settings
    return dataclasses.replace(
        settings, network=architecture(settings.architecture, image_size=flags.image_size)
    )


def _by_name(flag: str, texts: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value) or name in found:
            raise ValueError(f"--{flag} takes NAME=SOURCE, each name once, got {text!r}")
        found[name] = value
    return found


if __name__ == "__main__":
    main()
