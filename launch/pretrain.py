"""Train an encoder on images without labels.

python -m launch.pretrain --images=DIR --method=mae --workdir=OUT    (without --images: the sample that ships with scikit-image)

OUT/encoder is what --encoder takes everywhere; the same command again goes on where it was killed.
"""

import pathlib
import sys
from typing import Literal, cast

from absl import flags

from .command import choose_device, run

_IMAGES = flags.DEFINE_string(
    "images", None, "A folder, .npy, .npz, a prepared TFDS folder or tfds:NAME; the sample if not given."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Where everything is written.")
_METHOD = flags.DEFINE_string(
    "method",
    "mae",
    "mae, autoencoder, simclr, dcl, dclw, byol, simsiam, vicreg, byol_tracin, byol_fs, byol_fnc, byol_ft or byol_sup.",
)
_PRESET = flags.DEFINE_string(
    "preset", "small", "How it is trained: small, paper, and where they differ original, released_code."
)
_ARCHITECTURE = flags.DEFINE_string(
    "architecture", "small", "small, examine_paper, vit_s8, vit_b8, resnet18 or resnet50."
)
_STEPS = flags.DEFINE_integer("steps", None, "Training steps; the preset's if not given.", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch_size", None, "Images a step; the preset's if not given.", lower_bound=1)
_ACCUMULATE = flags.DEFINE_integer("accumulate", None, "Micro-batches a step.", lower_bound=1)
_SIZE = flags.DEFINE_integer(
    "image_size", None, "Side that images are resized to; the architecture's if not given.", lower_bound=1
)
_CHANNELS = flags.DEFINE_integer(
    "channels", None, "1 for grey, 3 for colour; the architecture's if not given.", lower_bound=1
)
_DTYPE = flags.DEFINE_enum("dtype", None, ["float32", "bfloat16"], "Of the computation; parameters are float32 always.")
_REMAT = flags.DEFINE_bool("remat", False, "Less memory for a third more work.")
_SPLIT = flags.DEFINE_string("split", None, "Of a TFDS data set or an .npz file.")
_ON_DEMAND = flags.DEFINE_bool("on_demand", False, "Decode images while training, for sets larger than memory.")
_LABELS = flags.DEFINE_string(
    "labels", None, "A .csv file, for watching alone: no label reaches the training (but byol_sup's)."
)
_IMAGE_COLUMN = flags.DEFINE_string("image_column", "image", "Its header of the images' names.")
_LABEL_COLUMN = flags.DEFINE_string("label_column", "label", "Its header of the labels.")
_WATCH = flags.DEFINE_integer("watch_every", 100, "Steps between two looks at the features; 0: none.", lower_bound=0)
_TENSORBOARD = flags.DEFINE_bool("tensorboard", False, "Write event files too (needs tensorboardX).")
_SEED = flags.DEFINE_integer("seed", 0, "Of everything random.", lower_bound=0)


def main() -> None:
    run(_job, "examine-pretrain")


def _job() -> None:
    if not _WORKDIR.value:
        raise ValueError("--workdir=FOLDER is missing: where should the encoder be written?")
    reports = ("byol_tracin", "byol_fs", "byol_fnc", "byol_sup")  # of how many extra positives are right
    if _LABELS.value is not None and _WATCH.value == 0 and _METHOD.value not in reports:
        raise ValueError("--labels are for watching, which --watch_every=0 turns off: leave one of them out")
    device = choose_device()
    from examine_jax.jobs.pretrain.page import write_training
    from examine_jax.jobs.pretrain.pretrain import TrainingSettings, train_encoder

    settings = TrainingSettings(
        method=_METHOD.value,
        preset=_PRESET.value,
        architecture=_ARCHITECTURE.value,
        image_size=_SIZE.value,
        channels=_CHANNELS.value,
        steps=_STEPS.value,
        batch_size=_BATCH.value,
        accumulate=_ACCUMULATE.value,
        dtype=cast(Literal["float32", "bfloat16"] | None, _DTYPE.value),
        remat=_REMAT.value,
        seed=_SEED.value,
    )
    workdir = pathlib.Path(_WORKDIR.value)
    trained = train_encoder(
        _IMAGES.value,
        workdir,
        settings,
        split=_SPLIT.value,
        on_demand=_ON_DEMAND.value,
        labels=_LABELS.value,
        image_column=_IMAGE_COLUMN.value,
        label_column=_LABEL_COLUMN.value,
        watch_every=_WATCH.value or None,
        tensorboard=_TENSORBOARD.value,
    )
    source = "scikit-image's sample picture" if _IMAGES.value is None else pathlib.Path(_IMAGES.value).name
    page = write_training(workdir, trained, settings, source=source, device=device)
    print(f"the encoder is in {workdir / 'encoder'}; open {page}", file=sys.stderr)


if __name__ == "__main__":
    main()
