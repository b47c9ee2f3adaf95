"""Chooses the images to label from features: together they represent all usable images.

python -m launch.select --features=F.npy --budget=200 --output=to_label.csv
python -m launch.select --features=F.npy --budget=2% --groups=G.csv --per_group=1 --output=T.csv
python -m launch.select --features=F.npy --budget=200 --labelled=to_label.csv --output=next.csv
"""

import pathlib
import sys

from absl.flags import FlagValues

from .command import run
from .device import choose_device
from .flags import define, read


def main() -> None:
    run("examine-select", __doc__, define_flags, _job)


def define_flags(values: FlagValues) -> None:
    from examine_jax.jobs.select import SelectSettings

    define(values, SelectSettings)


def _job(values: FlagValues) -> None:
    from examine_jax.common.processes import is_first
    from examine_jax.jobs.select import SelectSettings, select_features

    settings = read(values, SelectSettings)
    choose_device(values, pathlib.Path(settings.output).parent)
    if not is_first():
        return  # one process chooses and writes; the others wait
    found = select_features(settings)
    print(
        f"{len(found.indices)} of {found.num_usable} usable images chosen; see {settings.output}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
