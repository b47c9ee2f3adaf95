"""Repeats the EXAMINE paper's experiments (Fig. 2a to 3d, running times) on your own images.

python -m launch.reproduce examine --images=DIR --labels=L.csv --groups=G.csv --workdir=OUT
python -m launch.reproduce examine --preset=paper --workdir=OUT    (PCam by TFDS; a GPU)

The same command again continues a killed run. --seeds, --valuers and --methods may be added to
later. PCam must be prepared by TFDS as array_record.
"""

import dataclasses
from typing import TYPE_CHECKING, Literal

from absl.flags import FlagValues

from examine_jax.common.settings import setting

from .command import run
from .device import choose_device
from .flags import changed, define, given, read
from .shared_seeds import spread_seeds

if TYPE_CHECKING:
    from examine_jax.studies.examine.settings import ExperimentSettings

_PCAM = "tfds:patch_camelyon"
_NOISE_NAMES = {
    "spread": "noise_spread",
    "division": "noise_division",
    "training": "noise_training",
}


@dataclasses.dataclass(frozen=True)
class ReproduceExamineFlags:
    """What the command takes besides the study's settings."""

    workdir: str = setting(help="Results go here.", metavar="FOLDER", main=True)
    images: str | None = setting(
        None,
        "A folder, list, archive, .npy, .npz, TFDS folder or tfds:NAME. "
        f"With --preset=paper: {_PCAM}.",
        metavar="SOURCE",
        main=True,
    )
    preset: Literal["small", "paper"] = setting(
        "small", "For two CPU cores, or the paper's for a GPU.", main=True
    )
    sizes: tuple[int, ...] | None = setting(
        None, "Images of the sets: pretraining,assessed,clean,validation.", metavar="P,A,C,V"
    )
    curve_step: int | None = setting(None, "Images between two points of a curve.", minimum=1)
    yes: bool = setting(False, "Go on if valuing would take more than a day.")

    def __post_init__(self) -> None:
        if self.images is None and self.preset != "paper":
            raise ValueError(
                "--images=FOLDER is missing (with --labels=L.csv): "
                "the experiments need labelled images"
            )
        if self.sizes is not None and len(self.sizes) != 4:
            raise ValueError(
                f"--sizes takes four numbers, as in 2400,500,100,1000; "
                f"got {','.join(map(str, self.sizes))}"
            )


def main() -> None:
    run("reproduce-examine", __doc__, define_flags, job)


def define_flags(values: FlagValues) -> None:
    from examine_jax.labelled.sets import LabelledSource
    from examine_jax.studies.examine.settings import ExperimentSettings, NoiseSettings, TrainingPlan
    from examine_jax.valuation import LogisticRegression

    define(values, ReproduceExamineFlags)
    define(values, LabelledSource)
    define(values, ExperimentSettings, preset=True)
    define(values, TrainingPlan, preset=True)
    define(values, NoiseSettings, names=_NOISE_NAMES, preset=True)
    define(values, LogisticRegression, only=["objective", "C"], preset=True)


def job(values: FlagValues) -> None:
    """Runs the study that the flags describe."""
    from examine_jax.labelled.sets import LabelledSource
    from examine_jax.studies import examine

    flags = read(values, ReproduceExamineFlags)
    settings = _settings(values, flags)
    source = read(values, LabelledSource, images=flags.images or _PCAM)
    if spread_seeds(values, "examine", settings.seeds, flags.workdir):
        return
    device = choose_device(values)
    examine.run(settings, source, flags.workdir, allow_long=flags.yes, device=device)


def _settings(values: FlagValues, flags: ReproduceExamineFlags) -> "ExperimentSettings":
    from examine_jax.studies.examine.settings import SetSizes, TrainingPlan, examine_preset

    settings = examine_preset(flags.preset)
    plan = settings.training
    named = given(values, TrainingPlan)
    if named.get("steps") is not None and named.get("minutes") is None:
        plan = dataclasses.replace(plan, minutes=None)
    if "methods" in named:
        own = dict(zip(plan.methods, plan.presets))
        named["presets"] = tuple(own.get(name, flags.preset) for name in named["methods"])
    settings = dataclasses.replace(
        settings,
        training=dataclasses.replace(plan, **named),
        noise=changed(values, settings.noise),
        model=changed(values, settings.model),
        sizes=settings.sizes if flags.sizes is None else SetSizes(*flags.sizes),
    )
    if flags.curve_step is not None:
        settings = dataclasses.replace(
            settings, curves=dataclasses.replace(settings.curves, step=flags.curve_step)
        )
    return changed(values, settings)


if __name__ == "__main__":
    main()
