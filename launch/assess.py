"""Says which unlabelled images to look at and which to label first, and scores all by EXAMINE.

python -m launch.assess --images=DIR --workdir=OUT --budget=200
python -m launch.assess --features=F.npy --workdir=OUT  (features from any encoder)
"""

import dataclasses
import pathlib
import sys
from typing import TYPE_CHECKING, Literal

from absl.flags import FlagValues

from examine_jax.common.settings import setting

from .command import run
from .device import choose_device
from .flags import define, given, read, refuse_without_effect
from .intensity import check_range
from .slices_and_tiles import NAMES, SliceAndTileFlags

if TYPE_CHECKING:
    from examine_jax.images import GaussianCorruption
    from examine_jax.jobs.assess.settings import AssessSettings
    from examine_jax.pretraining import PretrainSettings


@dataclasses.dataclass(frozen=True)
class AssessFlags:
    """What `assess` takes besides `AssessSettings`."""

    workdir: str = setting(
        help="Results go here. The same command again continues a killed run.",
        metavar="FOLDER",
        main=True,
    )
    images: str | None = setting(
        None,
        "A folder, list (.txt, .csv), archive (.zip, .tar), .npy or .npz file. If not given: "
        "scikit-image's sample.",
        metavar="PATH",
        main=True,
    )
    features: str | None = setting(
        None, "An .npy file [N, D] of features, instead of images.", metavar="FILE", main=True
    )
    pretrain_images: str | None = setting(
        None, "Train the encoder on these images instead.", metavar="PATH", main=True
    )
    encoder: str | None = setting(
        None, "A trained encoder's folder; nothing is trained.", metavar="PATH", main=True
    )
    hand_over: tuple[Literal["list", "label_studio", "fiftyone", "png"], ...] | None = setting(
        None,
        "With --budget, write the chosen images as to_label.txt, Label Studio tasks, a FiftyOne "
        "data set, and a folder of PNG files. If not given: list, and label_studio where browsers "
        "can show the files.",
        metavar="NAME,NAME",
    )
    keep_originals: bool = setting(
        False, "With --budget, copy the chosen files as they are, with their metadata."
    )
    intensity_range: tuple[float, float] | None = setting(
        None,
        "Black and white of grey DICOM values, rescaled. If not given: by their windows.",
        metavar="LOW,HIGH",
    )
    dicom_window: int | None = setting(
        None, "Which of a DICOM file's windows. If not given: the first.", minimum=1
    )
    steps: int | None = setting(
        None, "Training steps. If not given: the architecture's.", minimum=1, main=True
    )
    batch_size: int | None = setting(
        None, "Images a training step. If not given: the architecture's.", minimum=1
    )
    noise_levels: tuple[float, ...] | None = setting(
        None,
        "Corrupt the images at these levels, as the paper's proof of concept does.",
        metavar="0,.1,.3,.5,1",
    )

    def __post_init__(self) -> None:
        check_range(self.intensity_range)
        if self.features is not None:
            for name in (
                "images",
                "pretrain_images",
                "encoder",
                "intensity_range",
                "dicom_window",
                "noise_levels",
            ):
                if getattr(self, name) is not None:
                    raise ValueError(f"--features are made already: leave out --{name}")
        if self.encoder is not None and (
            self.pretrain_images is not None or self.steps is not None
        ):
            raise ValueError(
                "--encoder is trained already: leave out --pretrain_images and --steps"
            )
        levels = self.noise_levels
        if levels is not None and (len(set(levels)) < 2 or max(levels) == 0):
            raise ValueError(
                "--noise_levels needs at least two different levels, as in 0,.1,.3,.5,1"
            )


def main() -> None:
    run("examine-assess", __doc__, define_flags, _job)


def define_flags(values: FlagValues) -> None:
    from examine_jax.images import GaussianCorruption
    from examine_jax.jobs.assess.settings import AssessSettings, DecisionSettings
    from examine_jax.jobs.headers import PrivacySettings

    define(values, AssessFlags)
    define(values, SliceAndTileFlags)
    define(values, PrivacySettings)
    define(values, DecisionSettings)
    define(values, AssessSettings)
    define(values, GaussianCorruption, names={"spread": "noise_spread"}, only=["spread"])


def _job(values: FlagValues) -> None:
    flags, parts = read(values, AssessFlags), read(values, SliceAndTileFlags)
    if flags.features is not None:
        refuse_without_effect(values, NAMES, "--features are made already")
    _check_effects(values, flags)
    device = choose_device(values, flags.workdir)
    from examine_jax.common.processes import is_first
    from examine_jax.jobs.assess.assess import assess_features, assess_images
    from examine_jax.jobs.assess.page import write_assessment
    from examine_jax.jobs.assess.settings import DecisionSettings
    from examine_jax.jobs.headers import PrivacySettings

    settings, decision = _settings(values, flags), read(values, DecisionSettings)
    workdir = pathlib.Path(flags.workdir)
    if flags.features is not None:
        assessment = assess_features(flags.features, workdir, settings, decision)
        source = f"the file {pathlib.Path(flags.features).name}"
    else:
        assessment = assess_images(
            flags.images,
            workdir,
            settings,
            decision,
            pretrain_images=flags.pretrain_images,
            encoder=flags.encoder,
            intensity_range=flags.intensity_range,
            dicom_window=flags.dicom_window,
            slicing=parts.slicing,
            tiling=parts.tiling,
            privacy=read(values, PrivacySettings),
        )
        source = "scikit-image's sample picture"
        if flags.images is not None and assessment.headers is not None:
            source = assessment.headers.path(pathlib.Path(flags.images).name)
    if not is_first():
        return
    page = write_assessment(
        workdir,
        assessment,
        settings,
        decision,
        source=source,
        device=device,
        folder=flags.images,
        hand_over_as=flags.hand_over,
        keep_originals=flags.keep_originals,
        slicing=parts.slicing,
        tiling=parts.tiling,
    )
    skipped = 0 if assessment.images is None else len(assessment.images.skipped)
    left_out = f", {skipped} skipped (see skipped.csv)" if skipped else ""
    chosen = 0 if assessment.selection is None else len(assessment.selection.indices)
    to_label = f", {chosen} to label (see to_label.csv)" if chosen and assessment.asked else ""
    count = len(assessment.names)
    print(f"{count} scored{left_out}{to_label}; open {page}", file=sys.stderr)
    if assessment.unmet:
        raise ValueError(f"nothing is chosen: {assessment.unmet}; {page} says which and why")


def _check_effects(values: FlagValues, flags: AssessFlags) -> None:
    """Refuses flags that would be recorded although they change nothing."""
    training = ("method", "architecture", "image_size", "channels", "steps", "batch_size")
    noise = ("noise_training", "noise_spread")
    if flags.features is not None:
        refuse_without_effect(
            values,
            (*training, "pooling", *noise),
            "--features are made already",
        )
        refuse_without_effect(
            values,
            ("hand_over", "keep_originals", "reference_images"),
            "--features are no images that can be handed over",
        )
        refuse_without_effect(
            values,
            ("id_key", "keep_ids", "anonymous_names"),
            "--features have no headers; launch.embed hides the names beside them",
        )
    if flags.encoder is not None:
        refuse_without_effect(
            values,
            (*training, "noise_training"),
            "--encoder is trained already and has its own image size and channels",
        )
    tables = ("labelled", "groups", "pilot")
    if all(values[name].value is None for name in tables):
        refuse_without_effect(values, ("image_column",), "no table of images is given")
    if values["labelled"].value is None and values["pilot"].value is None:
        refuse_without_effect(values, ("label_column",), "no table of labels is given")
    if values["groups"].value is None:
        refuse_without_effect(values, ("group_column",), "no table of groups is given")
    if values["budget"].value is None:
        refuse_without_effect(
            values, ("hand_over", "keep_originals"), "without --budget nothing is handed over"
        )
    if flags.noise_levels is None:
        refuse_without_effect(values, noise, "without --noise_levels no noise is added")


def _settings(values: FlagValues, flags: AssessFlags) -> "AssessSettings":
    from examine_jax.jobs.assess.settings import AssessSettings

    return read(
        values, AssessSettings, training=_training(values, flags), noise=_noise(values, flags)
    )


def _training(values: FlagValues, flags: AssessFlags) -> "PretrainSettings | None":
    from examine_jax.jobs.assess.settings import AssessSettings
    from examine_jax.pretraining import Phase
    from examine_jax.pretraining.recipes import recipe, with_batch_size

    if flags.encoder is not None or flags.features is not None:
        return None
    named = given(values, AssessSettings)
    training = recipe(named["architecture"], named["method"])
    if flags.steps is not None:
        training = dataclasses.replace(training, phases=(Phase(steps=flags.steps),))
    if flags.batch_size is not None:
        training = with_batch_size(training, flags.batch_size)
    return training


def _noise(values: FlagValues, flags: AssessFlags) -> "GaussianCorruption | None":
    from examine_jax.images import GaussianCorruption

    if flags.noise_levels is None:
        return None
    return read(values, GaussianCorruption, levels=flags.noise_levels, portion=1.0)


if __name__ == "__main__":
    main()
