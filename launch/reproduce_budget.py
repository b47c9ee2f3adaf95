"""Shows what K labels buy, by the way the K images are chosen: on any labelled folder.

python -m launch.reproduce budget --images=DIR --workdir=OUT
python -m launch.reproduce budget --images=DIR --groups=G.csv --artefacts=histology \\
    --encoder=ENCODER --workdir=OUT

Without --labels, a folder's sub-folders are the classes. A share of the pool is then spoilt by
artefacts, and all is done once more. The same command again continues a killed run. --seeds,
--encoders and --strategies may be added to later.
"""

import dataclasses
from typing import TYPE_CHECKING, Literal

from absl.flags import FlagValues

from examine_jax.common.settings import setting

from .command import run
from .device import choose_device
from .flags import changed, define, given, read, refuse_without_effect
from .shared_seeds import spread_seeds

if TYPE_CHECKING:
    from examine_jax.studies.budget.settings import BudgetSettings


@dataclasses.dataclass(frozen=True)
class ReproduceBudgetFlags:
    """What the command takes besides the labelled images and the study's settings."""

    workdir: str = setting(help="Results go here.", metavar="FOLDER", main=True)
    images: str = setting(
        help="A labelled folder, .npy, .npz, TFDS folder or tfds:NAME.", metavar="PATH", main=True
    )
    preset: Literal["small", "full"] = setting(
        "small", "Three seeds and a minute a training, or ten and five.", main=True
    )
    encoder: str | None = setting(
        None, "A trained encoder, in place of all trainings.", metavar="FOLDER", main=True
    )


def main() -> None:
    run("reproduce-budget", __doc__, define_flags, job)


def define_flags(values: FlagValues) -> None:
    from examine_jax.labelled.sets import LabelledSource
    from examine_jax.studies.budget.settings import BudgetSettings

    define(values, ReproduceBudgetFlags)
    define(values, LabelledSource)
    define(values, BudgetSettings, preset=True)


def job(values: FlagValues) -> None:
    """Runs the study that the flags describe."""
    from examine_jax.labelled.sets import LabelledSource
    from examine_jax.studies import budget

    flags = read(values, ReproduceBudgetFlags)
    if flags.encoder is not None:
        refuse_without_effect(
            values, ("steps", "minutes", "architecture"), "--encoder is trained already"
        )
    settings = _settings(values, flags)
    if spread_seeds(values, "budget", settings.seeds, flags.workdir):
        return
    device = choose_device(values)
    source = read(values, LabelledSource, images=flags.images)
    budget.run(settings, source, flags.workdir, encoder=flags.encoder, device=device)


def _settings(values: FlagValues, flags: ReproduceBudgetFlags) -> "BudgetSettings":
    from examine_jax.studies.budget.settings import BudgetSettings, budget_preset

    settings = budget_preset(flags.preset)
    named = given(values, BudgetSettings)
    if "steps" in named and "minutes" not in named:
        settings = dataclasses.replace(settings, minutes=None)
    return changed(values, settings)


if __name__ == "__main__":
    main()
