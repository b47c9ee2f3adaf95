"""Writes the features that a trained encoder gives images.

python -m launch.embed --images=DIR --encoder=FOLDER --output=FILE

FILE ends in .npy (image names go to a table beside it) or in .parquet. Without an ending it is a
folder of shards: the same command again writes what is missing.
"""

import dataclasses
import pathlib
import sys
from typing import Literal

from absl.flags import FlagValues

from examine_jax.common.settings import setting

from .command import run
from .device import choose_device
from .flags import define, read, refuse_without_effect
from .intensity import check_range
from .slices_and_tiles import SliceAndTileFlags


@dataclasses.dataclass(frozen=True)
class EmbedFlags:
    """The arguments of `examine_jax.embed_images`."""

    images: str = setting(
        help="A folder, list, archive, .npy, .npz, a prepared TFDS folder or tfds:NAME.",
        metavar="PATH",
        main=True,
    )
    encoder: str = setting(
        help="A folder, ours or of transformers, timm or OpenCLIP; or a .safetensors file.",
        metavar="PATH",
        main=True,
    )
    output: str = setting(
        help="The features to write: .npy, .parquet, or a folder for shards.",
        metavar="FILE",
        main=True,
    )
    split: str | None = setting(
        None, "Of a TFDS data set or an .npz file.", metavar="NAME", main=True
    )
    pooling: Literal["mean", "class_token"] | None = setting(
        None, "How tokens become features. If not given: the encoder's.", main=True
    )
    intensity_range: tuple[float, float] | None = setting(
        None,
        "Black and white of grey DICOM values, rescaled. If not given: as the encoder's training.",
        metavar="LOW,HIGH",
    )
    dicom_window: int | None = setting(
        None, "Which of a DICOM file's windows. If not given: as the encoder's training.", minimum=1
    )
    batch_size: int = setting(64, "Images at once on each device.", minimum=1, main=True)

    def __post_init__(self) -> None:
        check_range(self.intensity_range)


def main() -> None:
    run("examine-embed", __doc__, define_flags, _job)


def define_flags(values: FlagValues) -> None:
    from examine_jax.encoders.settings import EncoderUse
    from examine_jax.jobs.embed_shards import ShardSettings
    from examine_jax.jobs.headers import PrivacySettings

    define(values, EmbedFlags)
    define(values, ShardSettings)
    define(values, EncoderUse)
    define(values, PrivacySettings)
    define(values, SliceAndTileFlags)


def _job(values: FlagValues) -> None:
    given = read(values, EmbedFlags)
    output = pathlib.Path(given.output)
    in_shards = not output.suffix
    one_file = (
        f"several processes write shards: name a folder in place of {output} (without an ending), "
        "or leave --distributed out"
    )
    choose_device(
        values, output if in_shards else output.parent, alone=None if in_shards else one_file
    )
    from examine_jax.encoders.settings import EncoderUse
    from examine_jax.jobs.embed import embed_images
    from examine_jax.jobs.embed_shards import ShardSettings, embed_into_shards
    from examine_jax.jobs.headers import PrivacySettings

    parts = read(values, SliceAndTileFlags)
    if in_shards:
        found = embed_into_shards(
            **dataclasses.asdict(given),
            shards=read(values, ShardSettings),
            slicing=parts.slicing,
            tiling=parts.tiling,
            privacy=read(values, PrivacySettings),
            use=read(values, EncoderUse),
        )
        print(
            f"{found.rows} x {found.width} features in {found.shards} shards, {found.skipped} "
            f"skipped; see {output}",
            file=sys.stderr,
        )
        return
    refuse_without_effect(values, ("shard_rows",), f"{output} is one file")
    features, skipped = embed_images(
        **dataclasses.asdict(given),
        slicing=parts.slicing,
        tiling=parts.tiling,
        privacy=read(values, PrivacySettings),
        use=read(values, EncoderUse),
    )
    left_out = f", {len(skipped)} skipped" if skipped else ""
    print(
        f"{' x '.join(map(str, features.shape))} features{left_out}; see {given.output}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
