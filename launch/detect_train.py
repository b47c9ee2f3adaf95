"""Trains an object detector on images with boxes.

python -m launch.detect_train --images=DIR --boxes=BOXES.json --workdir=OUT
python -m launch.detect_train --images=DIR --boxes=B.csv --encoder=PRETRAINED/encoder --workdir=OUT

The detector's folder is OUT/detector: pass it as --detector to launch.detect. OUT/boxes.png shows
the first images with their boxes. The same command again continues a killed run.
"""

import sys

from absl.flags import FlagValues

from .command import run
from .device import choose_device
from .flags import define, read
from .slices_and_tiles import SliceAndTileFlags


def main() -> None:
    run("examine-detect-train", __doc__, define_flags, _job)


def define_flags(values: FlagValues) -> None:
    from examine_jax.jobs.detect_train.settings import DetectTrainSettings
    from examine_jax.jobs.headers import PrivacySettings

    define(values, DetectTrainSettings)
    define(values, PrivacySettings)
    define(values, SliceAndTileFlags)


def _job(values: FlagValues) -> None:
    from examine_jax.jobs.detect_train.settings import DetectTrainSettings

    settings = read(values, DetectTrainSettings)
    device = choose_device(values, settings.workdir)
    from examine_jax.common.processes import is_first
    from examine_jax.jobs.detect_train.detect_train import train_on_boxes
    from examine_jax.jobs.detect_train.page import write_training
    from examine_jax.jobs.headers import PrivacySettings

    parts = read(values, SliceAndTileFlags)
    trained = train_on_boxes(
        settings,
        privacy=read(values, PrivacySettings),
        slicing=parts.slicing,
        tiling=parts.tiling,
    )
    if not is_first():
        return
    page = write_training(settings, trained, device=device)
    print(f"the detector is in {settings.workdir}/detector; open {page}", file=sys.stderr)


if __name__ == "__main__":
    main()
