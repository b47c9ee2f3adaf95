"""Repeats the detection study: how many boxes does pre-training on unlabelled images spare?

python -m launch.reproduce detection --images=DIR --boxes=boxes.json --workdir=OUT
python -m launch.reproduce detection --preset=paper --images=VINDR/train --init=COCO.safetensors \\
    --boxes=VINDR/annotations/annotations_train.csv --workdir=OUT    (a GPU)

For each labelled share: a detector from self-supervision, the same without it, and from random
weights. Boxes of several readers are fused. The same command again continues a killed run. --seeds
and larger --shares may be added later.
"""

import dataclasses
from typing import Literal

from absl.flags import FlagValues

from examine_jax.common.settings import setting

from .command import run
from .device import choose_device
from .flags import changed, define, read
from .shared_seeds import spread_seeds


@dataclasses.dataclass(frozen=True)
class ReproduceDetectionFlags:
    """What the command takes besides images, boxes and the study's settings."""

    workdir: str = setting(help="Results go here.", metavar="FOLDER", main=True)
    preset: Literal["small", "paper", "released_code"] = setting(
        "small", "For two CPU cores, the paper's text, or its authors' code.", main=True
    )
    encoder: str | None = setting(
        None, "A trained ResNet that all detectors start from.", metavar="FOLDER", main=True
    )
    init: str | None = setting(
        None,
        "A torchvision fasterrcnn_resnet50_fpn state that they start from.",
        metavar="FILE.safetensors",
        main=True,
    )


def main() -> None:
    run("reproduce-detection", __doc__, define_flags, job)


def define_flags(values: FlagValues) -> None:
    from examine_jax.studies.detection.sets import DetectionSource
    from examine_jax.studies.detection.settings import DetectionStudySettings

    define(values, ReproduceDetectionFlags)
    define(values, DetectionSource)
    define(values, DetectionStudySettings, preset=True)


def job(values: FlagValues) -> None:
    """Runs the study that the flags describe."""
    from examine_jax.studies import detection
    from examine_jax.studies.detection.sets import DetectionSource
    from examine_jax.studies.detection.settings import detection_preset

    flags = read(values, ReproduceDetectionFlags)
    settings = changed(values, detection_preset(flags.preset))
    source = read(values, DetectionSource)
    if spread_seeds(values, "detection", settings.seeds, flags.workdir):
        return
    device = choose_device(values)
    detection.run(
        settings, source, flags.workdir, encoder=flags.encoder, init=flags.init, device=device
    )


if __name__ == "__main__":
    main()
