"""Finds objects in images with a trained detector.

python -m launch.detect --images=DIR --detector=OUT/detector --output=P.csv
python -m launch.detect --images=DIR --detector=OUT/detector --output=P.json --boxes=TRUTH.json

P.csv: image,class,score,x_min,y_min,x_max,y_max in each image's own pixels. P.html shows pictures;
with --boxes, the metrics and the worst misses.
"""

import pathlib
import sys

from absl.flags import FlagValues

from .command import run
from .device import choose_device
from .flags import define, read
from .slices_and_tiles import SliceAndTileFlags


def main() -> None:
    run("examine-detect", __doc__, define_flags, _job)


def define_flags(values: FlagValues) -> None:
    from examine_jax.jobs.detect.detect import DetectSettings
    from examine_jax.jobs.headers import PrivacySettings

    define(values, DetectSettings)
    define(values, PrivacySettings)
    define(values, SliceAndTileFlags)


def _job(values: FlagValues) -> None:
    from examine_jax.common.processes import is_first
    from examine_jax.jobs.detect.detect import DetectSettings, detect_boxes
    from examine_jax.jobs.headers import PrivacySettings

    settings = read(values, DetectSettings)
    device = choose_device(values, pathlib.Path(settings.output).parent)
    parts = read(values, SliceAndTileFlags)
    found = detect_boxes(
        settings,
        privacy=read(values, PrivacySettings),
        slicing=parts.slicing,
        tiling=parts.tiling,
    )
    if not is_first():
        return
    from examine_jax.jobs.detect.page import write_page

    page = write_page(settings, found, device=device)
    print(
        f"{len(found.whole)} detections on {len(found.images)} images in {settings.output}; "
        f"open {page}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
