"""One process of test_sharded.py: trains small methods on all devices and saves the results.

python -m tests.training.sharded_process FOLDER DEVICES [PORT PROCESS PROCESSES]
"""

import dataclasses
import pathlib
import shutil
import sys

import jax
import jax.flatten_util
import numpy as np
from flax import linen as nn

from examine_jax.images.augmentation import Dihedral, TwoViews
from examine_jax.models import DecoderConfig, ViTConfig
from examine_jax.models.flax_encoder import FlaxEncoder
from examine_jax.models.heads import HeadConfig
from examine_jax.models.low_rank import LowRank
from examine_jax.pretraining import MAE, Phase, PretrainSettings, WarmupCosine, pretrain
from examine_jax.pretraining.low_rank import LowRankMethod
from examine_jax.pretraining.methods.byol import BYOL
from examine_jax.pretraining.methods.dcl import DCL
from examine_jax.pretraining.methods.simclr import SimCLR
from examine_jax.pretraining.methods.vicreg import VICReg
from examine_jax.pretraining.moving_average import MovingAverage
from examine_jax.training.optimiser import LARS, SGD

STEPS = 6


class Convolutions(nn.Module):
    @nn.compact
    def __call__(self, images, *, train=False):
        x = nn.Conv(4, (3, 3), strides=(2, 2))(images)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        return nn.relu(x).reshape(len(x), -1)


ENCODER = FlaxEncoder(Convolutions(), image_size=8, channels=1, features=64)
VIEWS = TwoViews(Dihedral(), Dihedral())
HEAD, PREDICTOR = HeadConfig((8, 8)), HeadConfig((4, 8))
VIT = ViTConfig(image_size=8, patch_size=4, channels=1, width=8, depth=1, heads=2, mlp_width=16)
DECODER = DecoderConfig(width=8, depth=1, heads=2, mlp_width=16)
# One of each kind: a compilation takes seconds. The autoencoder computes as MAE, SimSiam as BYOL.
METHODS = {
    "mae": MAE(VIT, DECODER),
    "simclr": SimCLR(ENCODER, VIEWS, HEAD),
    "dclw": DCL(ENCODER, VIEWS, HEAD, weight_sigma=0.5),
    "byol": BYOL(ENCODER, VIEWS, HEAD, PREDICTOR, MovingAverage(0.9, STEPS)),
    "vicreg": VICReg(ENCODER, VIEWS, HEAD),
}
# Adam would make signs of gradients that are zero but for rounding.
SETTINGS = PretrainSettings(
    (Phase(steps=STEPS),), batch_size=8, optimiser=SGD(), schedule=WarmupCosine(1.0, 0.0)
)
# MAE itself is in the two runs of it that do more.
RUNS = {name: (method, SETTINGS) for name, method in METHODS.items() if name != "mae"} | {
    "mae in micro-batches": (METHODS["mae"], dataclasses.replace(SETTINGS, accumulate=2)),
    "mae with pairs": (LowRankMethod(METHODS["mae"], LowRank(2, 8.0)), SETTINGS),
    "simclr": (METHODS["simclr"], dataclasses.replace(SETTINGS, optimiser=LARS())),
}
ACROSS_PROCESSES = ("vicreg", "mae in micro-batches")
RESUMED = "byol"
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8)


class Streamed:
    """The same images, read when they are asked for.

    Each process reads its own share of a batch.
    """

    shape = IMAGES.shape
    most = 0

    def __len__(self):
        return len(IMAGES)

    def __getitem__(self, indices):
        if len(indices) <= SETTINGS.batch_size:  # not the sample that tells sets apart
            self.most = max(self.most, len(indices))
        return IMAGES[indices]


def main(
    folder: pathlib.Path, devices: int, port: str = "", process: int = 0, processes: int = 1
) -> None:
    jax.config.update("jax_num_cpu_devices", devices)
    if processes > 1:
        jax.distributed.initialize(f"127.0.0.1:{port}", processes, process)
    assert jax.device_count() == devices * processes
    saved = {}
    for name, (method, settings) in RUNS.items():
        if processes > 1 and name not in ACROSS_PROCESSES:
            continue
        workdir = folder / f"{devices}x{processes}" / name
        streamed = Streamed()
        images = streamed if processes > 1 and name == "vicreg" else IMAGES
        often = 0.0 if name == RESUMED else 3600.0  # a checkpoint takes longer than a step
        run = pretrain(method, images, settings, workdir, checkpoint_seconds=often, progress=False)
        saved |= outcome(name, run)
        if images is streamed:
            saved["read at once"] = np.array(streamed.most)
        if devices > 1:  # goes on in a folder that one device left behind
            left = folder / "1x1" / name / "checkpoints"
            if processes == 1 and name == RESUMED:
                newest = max(int(step.name) for step in left.iterdir() if step.name.isdigit())
                shutil.rmtree(left / str(newest))
                saved |= outcome(
                    "resumed", pretrain(method, IMAGES, settings, left.parent, progress=False)
                )
    np.savez(folder / f"{devices}x{processes}-{process}.npz", **saved)


def outcome(name: str, run: object) -> dict[str, np.ndarray]:
    parameters, _ = jax.flatten_util.ravel_pytree(run.params)
    keys = ("loss", "gradient_norm")
    found = {f"{name}/{key}": np.array([record[key] for record in run.history]) for key in keys}
    return found | {f"{name}/params": np.asarray(parameters)}


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:4], *map(int, sys.argv[4:]))
