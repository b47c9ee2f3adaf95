"""Fuses the boxes of several readers to one set, and says how far the readers agree.

python -m launch.fuse_boxes --boxes=annotations_train.csv --output=fused.csv
"""

import sys

from absl.flags import FlagValues

from .command import run
from .device import choose_device
from .flags import define, read


def main() -> None:
    run("examine-fuse-boxes", __doc__, define_flags, _job)


def define_flags(values: FlagValues) -> None:
    from examine_jax.jobs.fuse_boxes import FuseBoxesSettings

    define(values, FuseBoxesSettings)


def _job(values: FlagValues) -> None:
    from examine_jax.jobs.fuse_boxes import FuseBoxesSettings, fuse_boxes

    settings = read(values, FuseBoxesSettings)
    choose_device(values, alone="one process fuses boxes: leave --distributed out")
    found = fuse_boxes(settings)
    for line in found.summary():
        print(line, file=sys.stderr)
    print(f"see {settings.output} and {settings.agreement_file}", file=sys.stderr)


if __name__ == "__main__":
    main()
