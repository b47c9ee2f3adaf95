"""Scores features of any size by EXAMINE.

python -m launch.score --features=PATH --output=FILE
python -m launch.score --features=PATH --groups=GROUPS.csv --output=FILE  (leaves out patients)
python -m launch.score --features=NEW.npy --against=SUMMARY --output=FILE (new rows and a corpus)
"""

import pathlib
import sys

from absl.flags import FlagValues

from .command import run
from .device import choose_device
from .flags import define, read


def main() -> None:
    run("examine-score", __doc__, define_flags, _job)


def define_flags(values: FlagValues) -> None:
    from examine_jax.jobs.score import ScoreSettings

    define(values, ScoreSettings)


def _job(values: FlagValues) -> None:
    from examine_jax.jobs.score import ScoreSettings, score_features

    if not values["features"].value or not values["output"].value:
        raise ValueError("--features=PATH and --output=FILE are both needed (see --help)")
    settings = read(values, ScoreSettings)
    choose_device(values, pathlib.Path(settings.output).parent)
    found = score_features(settings)
    sigma = float(found.singular_value)
    print(f"{len(found.gap)} scored; sigma = {sigma:.6g}; see {settings.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
