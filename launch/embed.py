"""Features of images, by a trained encoder.

python -m launch.embed --images=DIR --encoder=FOLDER --output=FILE    (.npy with names beside it, or .parquet)
"""

import sys

from absl import flags

from .command import choose_device, run

_IMAGES = flags.DEFINE_string("images", None, "A folder, .npy, .npz, a prepared TFDS folder or tfds:NAME.")
_ENCODER = flags.DEFINE_string(
    "encoder",
    None,
    "A trained encoder's folder, a transformers folder (ViTMAE, ViT, DINOv2), or a ResNet's .safetensors file.",
)
_OUTPUT = flags.DEFINE_string("output", None, "The features to write, .npy or .parquet.")
_SPLIT = flags.DEFINE_string("split", None, "Of a TFDS data set or an .npz file.")
_POOLING = flags.DEFINE_enum(
    "pooling", None, ["mean", "class_token"], "How tokens become features; the encoder's if not given."
)
_BATCH = flags.DEFINE_integer("batch_size", 64, "Images at once.", lower_bound=1)


def main() -> None:
    run(_job, "examine-embed")


def _job() -> None:
    for name, value in (("images", _IMAGES.value), ("encoder", _ENCODER.value), ("output", _OUTPUT.value)):
        if not value:
            raise ValueError(f"--{name} is missing (see --help)")
    choose_device()
    from examine_jax.jobs.embed import embed_images

    features, skipped = embed_images(
        _IMAGES.value or "",
        _ENCODER.value or "",
        _OUTPUT.value or "",
        split=_SPLIT.value,
        pooling=_POOLING.value,
        batch_size=_BATCH.value,
    )
    told = f", {len(skipped)} skipped" if skipped else ""
    print(f"{features.shape[0]} x {features.shape[1]} features{told}; see {_OUTPUT.value}", file=sys.stderr)


if __name__ == "__main__":
    main()
