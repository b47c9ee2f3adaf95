"""Which training of the main job's default encoder learns most in the CPU seconds it takes.

python -m benchmarks.quality.default_training --data=FOLDER_OF_DATA_SETS --workdir=OUT \\
    --output=benchmarks/results/FILE.json [--sets=sample,lc25000_96] [--trainings=...] [--seeds=0]

Every run is kept in the workdir, so that a killed command continues, and several commands may share
the work. The record holds all runs of the workdir. A run trains `small` by MAE and measures two
things that no training saw:

- separation: the rank correlation of EXAMINE's gap with the level of noise of 500 images, z-scored
  by the clean training images; mean over three drawings of the noise;
- kNN: balanced accuracy of the vote of the 20 nearest training images, where images have labels.

The sample and histology (split by group, a quarter held out) are for choosing. The two other sets
(a quarter of the images held out) are for checking what was chosen.
"""

import dataclasses
import json
import os
import pathlib
import time

import jax
import numpy as np
from absl import app, flags

from examine_jax.common.atomic_files import write_text
from examine_jax.encoders import Encoder
from examine_jax.evaluation.metrics import balanced_accuracy
from examine_jax.evaluation.noise_experiment import LEVELS, clip_to_bytes
from examine_jax.evaluation.noise_separation import noise_separation
from examine_jax.evaluation.untrained import untrained_encoder
from examine_jax.features.neighbours import WeightedCosine, knn_predict
from examine_jax.features.preprocessing import FeatureStatistics, preprocess
from examine_jax.images import GaussianCorruption, corrupt, load_folder, sample_images
from examine_jax.models.architectures import architecture
from examine_jax.pretraining import Phase, method_preset, pretrain
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.pretraining.recipes import recipe
from examine_jax.reporting.page import package_versions
from examine_jax.scoring import examine
from examine_jax.training.optimiser import WarmupCosine

from .histology import read_tiles

_KNOWN = 1500  # training images among which neighbours are looked for
_ASSESSED = 500


@dataclasses.dataclass(frozen=True)
class Training:
    """One way to train.

    Attributes:
        peak: the learning rate after its rise.
        decoder: the decoder's width and depth.
        pixels: the mean and the deviation by which pixels are scaled.
    """

    steps: int = 500
    batch_size: int = 64
    accumulate: int = 4
    peak: float = 1e-3
    warmup: float = 0.05
    mask_ratio: float = 0.4
    decoder: tuple[int, int] = (96, 2)
    pixels: tuple[float, float] = (0.0, 1.0)


_SCALED = Training(batch_size=16, accumulate=1, pixels=(0.5, 0.25))
TRAININGS = {
    "untrained": Training(steps=0),
    "64": Training(),
    "16": Training(batch_size=16, accumulate=1),
    "16 scaled": _SCALED,
    "16 scaled 700": dataclasses.replace(_SCALED, steps=700),
    "16 scaled 1000": dataclasses.replace(_SCALED, steps=1000),
}

_DATA = flags.DEFINE_string("data", None, "The folder of the data sets.", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Where the runs live.", required=True)
_OUTPUT = flags.DEFINE_string("output", None, "A JSON file for the record.")
_SETS = flags.DEFINE_list("sets", ["sample", "lc25000_96"], "Data sets.")
_TRAININGS = flags.DEFINE_list("trainings", list(TRAININGS), "Names of TRAININGS.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds.")


@dataclasses.dataclass(frozen=True, eq=False)
class Images:
    """Images to train on and images to measure; labels where there are any."""

    training: np.ndarray
    held: np.ndarray
    assessed: np.ndarray
    training_label: np.ndarray | None = None
    held_label: np.ndarray | None = None


def read_images(name: str, data: pathlib.Path, seed: int) -> Images:
    """Reads a data set at 72 px."""
    if name == "sample":
        training, assessed = sample_images(image_size=72)
        return Images(training.pixels, assessed.pixels[:0], assessed.pixels)
    if name == "lc25000_96":
        tiles = read_tiles(data / name, 72, seed)
        pixels, label, held = tiles.pixels, tiles.label, tiles.held
        return Images(
            pixels[~held], pixels[held], pixels[tiles.assessed], label[~held], label[held]
        )
    images = load_folder(data / name, image_size=72, channels=3)
    folders = [pathlib.PurePosixPath(image).parts[0] for image in images.names]
    label = np.unique(folders, return_inverse=True)[1].astype(np.int32)
    order = np.random.default_rng(seed).permutation(len(label))
    held, rest = np.split(order, [len(order) // 4])
    pixels = images.pixels
    return Images(pixels[rest], pixels[held], pixels[held][:_ASSESSED], label[rest], label[held])


def train(training: Training, images: Images, seed: int, workdir: pathlib.Path) -> Encoder:
    """The encoder that this training gives."""
    chosen = architecture("small")
    width, depth = training.decoder
    assert chosen.decoder is not None
    decoder = dataclasses.replace(
        chosen.decoder, width=width, depth=depth, heads=width // 32, mlp_width=4 * width
    )
    method, _ = method_preset("mae", dataclasses.replace(chosen, decoder=decoder))
    mean, deviation = training.pixels
    method = dataclasses.replace(  # type: ignore[type-var]
        method, mask_ratio=training.mask_ratio, pixels=PixelScale((mean,), (deviation,))
    )
    if training.steps == 0:
        return untrained_encoder(method, images.training[:1], seed)
    batch_size = min(training.batch_size, len(images.training))
    settings = dataclasses.replace(
        recipe("small"),
        phases=(Phase(steps=training.steps),),
        batch_size=batch_size,
        accumulate=training.accumulate if batch_size == training.batch_size else 1,
        schedule=WarmupCosine(training.peak * 256 / batch_size, training.warmup),
        seed=seed,
    )
    result = pretrain(method, images.training, settings, workdir, progress=False)
    return Encoder(method, result.params, result.state)


def measure(encoder: Encoder, images: Images, seed: int) -> dict[str, object]:
    """Separation of noise, and kNN accuracy where there are labels."""
    known = np.linspace(0, len(images.training) - 1, min(_KNOWN, len(images.training))).astype(int)
    features = encoder.embed(images.training[known])
    statistics = FeatureStatistics.of(features)
    levels = GaussianCorruption(levels=(0.0, *LEVELS), portion=1.0)
    separations = []
    for drawing in range(3):
        noisy, level = corrupt(
            images.assessed,
            levels,
            seed=1000 * drawing + seed,
            mean=float(images.training.mean()) / 255,
        )
        scaled = preprocess(encoder.embed(clip_to_bytes(noisy)), "zscore", statistics)
        separations.append(noise_separation(np.asarray(examine(scaled).gap), level))
    found: dict[str, object] = {
        "separation": float(np.mean([one.rank_correlation for one in separations])),
        "auroc": np.mean([one.auroc[1:] for one in separations], axis=0).tolist(),
    }
    if images.training_label is None or images.held_label is None:
        return found
    classes = int(images.training_label.max()) + 1
    held = encoder.embed(images.held)
    predicted = knn_predict(
        preprocess(features, "zscore", statistics),
        images.training_label[known],
        preprocess(held, "zscore", statistics),
        k=20,
        num_classes=classes,
        voting=WeightedCosine(),
    )
    found["knn"] = balanced_accuracy(images.held_label, np.asarray(predicted), classes)
    return found


def main(_: list[str]) -> None:
    workdir, data = pathlib.Path(_WORKDIR.value), pathlib.Path(_DATA.value)
    for seed in map(int, _SEEDS.value):
        for name in _SETS.value:
            for key in _TRAININGS.value:
                folder = workdir / f"{name}, {key}, {seed}".replace(" ", "_")
                kept = folder / "result.json"
                if kept.exists():
                    continue
                images = read_images(name, data, seed)
                begin = time.process_time()
                encoder = train(TRAININGS[key], images, seed, folder)
                seconds = time.process_time() - begin
                result = {
                    "set": name,
                    "training": key,
                    "seed": seed,
                    **measure(encoder, images, seed),
                    "cpu_seconds": seconds,
                    **dataclasses.asdict(TRAININGS[key]),
                }
                folder.mkdir(parents=True, exist_ok=True)
                write_text(kept, json.dumps(result))
                print(json.dumps(result), flush=True)
    if _OUTPUT.value is not None:
        runs = [json.loads(file.read_text()) for file in sorted(workdir.glob("*/result.json"))]
        machine = {
            "device": str(jax.devices()[0]),
            "cores": os.cpu_count(),
            "versions": package_versions(),
        }
        write_text(
            pathlib.Path(_OUTPUT.value),
            json.dumps({"machine": machine, "runs": runs}, indent=1) + "\n",
        )


if __name__ == "__main__":
    app.run(main)
