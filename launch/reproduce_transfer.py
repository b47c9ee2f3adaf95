"""Shows what an encoder from elsewhere is worth on your labelled images, at few and many labels.

python -m launch.reproduce transfer --images=DIR --encoders=FOLDER,NAME=FOLDER --workdir=OUT
python -m launch.reproduce transfer --images=DIR --groups=G.csv --source=DIR2 --workdir=OUT

It is used frozen and fine-tuned, beside networks trained from scratch, random initialisation and
colour statistics. Without --labels, a folder's sub-folders are the classes. The same command again
continues a killed run. --seeds, --encoders, --uses and --shares may be added to later.
"""

import dataclasses
from typing import TYPE_CHECKING, Literal

from absl.flags import FlagValues

from examine_jax.common.settings import setting

from .command import run
from .device import DeviceFlags, choose_device
from .flags import changed, define, given, read
from .shared_seeds import spread_seeds

if TYPE_CHECKING:
    from examine_jax.studies.transfer.settings import TransferSettings


@dataclasses.dataclass(frozen=True)
class ReproduceTransferFlags:
    """What the command takes besides the labelled images and the study's settings."""

    workdir: str = setting(help="Results go here.", metavar="FOLDER", main=True)
    images: str = setting(
        help="A labelled folder, .npy, .npz, TFDS folder or tfds:NAME.", metavar="PATH", main=True
    )
    encoders: tuple[str, ...] = setting(
        (),
        "Trained encoders from elsewhere; NAME=FOLDER names one.",
        metavar="FOLDER,…",
        main=True,
    )
    source: str | None = setting(
        None,
        "Other images, on which the study first trains an encoder without labels.",
        metavar="PATH",
        main=True,
    )
    preset: Literal["smoke", "small", "full"] = setting(
        "small", "A few steps, a minute a training, or an hour on a GPU.", main=True
    )

    def __post_init__(self) -> None:
        if not self.encoders and self.source is None:
            raise ValueError(
                "--encoders=FOLDER,… and --source=PATH are missing: the study needs an encoder "
                "from elsewhere, or images to train one on"
            )


def main() -> None:
    run("reproduce-transfer", __doc__, define_flags, job)


def define_flags(values: FlagValues) -> None:
    from examine_jax.labelled.sets import LabelledSource
    from examine_jax.studies.transfer.settings import TransferSettings

    define(values, ReproduceTransferFlags)
    define(values, LabelledSource)
    define(values, TransferSettings, preset=True)


def job(values: FlagValues) -> None:
    """Runs the study that the flags describe."""
    from examine_jax.labelled.sets import LabelledSource
    from examine_jax.studies import transfer

    flags = read(values, ReproduceTransferFlags)
    settings = _settings(values, flags)
    if flags.source is not None and read(values, DeviceFlags).distributed:
        raise ValueError(
            "--source trains one encoder for all seeds, and --distributed gives each process seeds "
            "of its own: train it first by launch.pretrain, and give it as --encoders=FOLDER"
        )
    if spread_seeds(values, "transfer", settings.seeds, flags.workdir):
        return
    device = choose_device(values)
    target = read(values, LabelledSource, images=flags.images)
    transfer.run(
        settings,
        target,
        flags.workdir,
        encoders=flags.encoders,
        source=flags.source,
        device=device,
    )


def _settings(values: FlagValues, flags: ReproduceTransferFlags) -> "TransferSettings":
    from examine_jax.studies.transfer.settings import TransferSettings, transfer_preset

    settings = transfer_preset(flags.preset)
    named = given(values, TransferSettings)
    if "steps" in named and "minutes" not in named:
        settings = dataclasses.replace(settings, minutes=None)
    if "minutes" in named and "steps" not in named:
        settings = dataclasses.replace(settings, steps=None)
    return changed(values, settings)


if __name__ == "__main__":
    main()
