"""Trains an encoder on images without labels.

python -m launch.pretrain --images=DIR --method=mae --workdir=OUT

The trained encoder's folder is OUT/encoder: pass it as --encoder to other commands. The same
command again continues a killed run. --init=FOLDER goes on from an encoder that is there.
"""

import dataclasses
import pathlib
import sys

from absl.flags import FlagValues

from examine_jax.common.settings import setting

from .command import run
from .device import choose_device
from .flags import define, read
from .intensity import check_range
from .slices_and_tiles import SliceAndTileFlags


@dataclasses.dataclass(frozen=True)
class PretrainFlags:
    """What `pretrain` takes besides `TrainingSettings`."""

    workdir: str = setting(help="Results go here.", metavar="FOLDER", main=True)
    images: str | None = setting(
        None,
        "A folder, list (.txt, .csv), archive (.zip, .tar), .npy, .npz, TFDS folder or tfds:NAME. "
        "If not given: scikit-image's sample.",
        metavar="PATH",
        main=True,
    )
    split: str | None = setting(None, "Of a TFDS data set or an .npz file.", metavar="NAME")
    on_demand: bool = setting(
        False, "Decode images while training, for sets larger than memory.", main=True
    )
    intensity_range: tuple[float, float] | None = setting(
        None,
        "Black and white of grey DICOM values, rescaled. If not given: by their windows.",
        metavar="LOW,HIGH",
    )
    dicom_window: int = setting(1, "Which of a DICOM file's windows.", minimum=1)
    labels: str | None = setting(
        None,
        "A .csv file of labels to report by. Only byol_sup trains with them.",
        metavar="FILE",
        main=True,
    )
    image_column: str = setting(
        "image", "The header of the image names in --labels.", metavar="NAME"
    )
    label_column: str = setting("label", "The header of the labels in --labels.", metavar="NAME")
    watch_every: int = setting(
        100, "Steps between two evaluations of the features; 0: none.", minimum=0, main=True
    )
    tensorboard: bool = setting(False, "Write event files too (needs tensorboardX).", main=True)

    def __post_init__(self) -> None:
        check_range(self.intensity_range)


def main() -> None:
    run("examine-pretrain", __doc__, define_flags, _job)


def define_flags(values: FlagValues) -> None:
    from examine_jax.jobs.headers import PrivacySettings
    from examine_jax.jobs.pretrain.settings import TrainingSettings

    define(values, PretrainFlags)
    define(values, SliceAndTileFlags)
    define(values, PrivacySettings)
    define(values, TrainingSettings)


def _job(values: FlagValues) -> None:
    flags, parts = read(values, PretrainFlags), read(values, SliceAndTileFlags)
    from examine_jax.common.processes import is_first
    from examine_jax.jobs.headers import PrivacySettings
    from examine_jax.jobs.pretrain.page import write_training
    from examine_jax.jobs.pretrain.pretrain import train_encoder
    from examine_jax.jobs.pretrain.settings import TrainingSettings

    settings = read(values, TrainingSettings)
    compared = settings.init is not None and settings.compare
    if (
        flags.labels is not None
        and flags.watch_every == 0
        and not compared
        and not settings.uses_labels()
    ):
        raise ValueError(
            "--labels are for the evaluations that --watch_every=0 turns off: leave one of them out"
        )
    workdir = pathlib.Path(flags.workdir)
    device = choose_device(values, workdir)
    trained = train_encoder(
        flags.images,
        workdir,
        settings,
        split=flags.split,
        on_demand=flags.on_demand,
        intensity_range=flags.intensity_range,
        dicom_window=flags.dicom_window,
        slicing=parts.slicing,
        tiling=parts.tiling,
        labels=flags.labels,
        image_column=flags.image_column,
        label_column=flags.label_column,
        watch_every=flags.watch_every or None,
        tensorboard=flags.tensorboard,
        privacy=read(values, PrivacySettings),
    )
    if not is_first():
        return
    source = "scikit-image's sample picture"
    if flags.images is not None:
        source = trained.headers.path(pathlib.Path(flags.images).name)
    page = write_training(workdir, trained, settings, source=source, device=device)
    print(f"the encoder is in {workdir / 'encoder'}; open {page}", file=sys.stderr)


if __name__ == "__main__":
    main()
