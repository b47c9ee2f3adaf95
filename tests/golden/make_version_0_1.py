"""Writes version_0_1/: what the last commit of version 0.1.0 wrote, which later versions must read.

Run it with that commit's checkout first on the path: PYTHONPATH=CHECKOUT python
tests/golden/make_version_0_1.py
"""

import pathlib
import tempfile

import numpy as np

from examine_jax import SpectralSummary
from examine_jax.encoder_training import train_and_save
from examine_jax.images.augmentation import byol_views
from examine_jax.models import DecoderConfig, ViTConfig
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining import BYOL, MAE, MovingAverage, Phase, PretrainSettings
from examine_jax.pretraining.byol_tracin import BYOLTracIn

FOLDER = pathlib.Path(__file__).parent / "version_0_1"


def main() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(20, 4)).astype(np.float32)
    SpectralSummary.of(rows).save(FOLDER / "summary.npz")
    images = generator.integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)
    vit = ViTConfig(
        image_size=8, patch_size=4, channels=3, width=12, depth=1, heads=3, mlp_width=16
    )
    byol = BYOL(
        vit,
        byol_views(8),
        HeadConfig((10, 6)),
        HeadConfig((9, 6), output_bias=False),
        MovingAverage(0.9, 20),
    )
    methods = {
        "mae": MAE(vit, DecoderConfig(width=8, depth=1, heads=2, mlp_width=8), 0.5),
        "byol_tracin": BYOLTracIn(byol, labels=(0, 1) * 4),
    }
    arrays = {"rows": rows, "images": images}
    for name, method in methods.items():
        with tempfile.TemporaryDirectory() as folder:
            settings = PretrainSettings((Phase(steps=2),), batch_size=4)
            work = pathlib.Path(folder)
            encoder, _ = train_and_save(
                method, (images,), settings, work, architecture="tiny", progress=False
            )
            (work / "encoder").rename(FOLDER / name)
        arrays[name] = encoder.embed(images)
    np.savez(FOLDER / "arrays.npz", **arrays)


if __name__ == "__main__":
    main()
