"""What each method learns in the same CPU minutes, on histology tiles of held-out groups.

python -m benchmarks.quality.learning --data=FOLDER_OF_lc25000_96 --workdir=OUT \\
    --output=benchmarks/results/FILE.json

Tiles are split by group, 3/4 to train on. The CPU time of a step is measured first, and a run takes
the steps that its minutes allow; the plan is kept in the workdir, so that a killed run continues.
Two kinds of figures, of features that saw no label: - balanced accuracy of the vote of the 20
nearest training tiles (cosine, weighted) on held-out ones; - noise separation of 500 held-out
tiles, z-scored by clean training features (EXAMINE's Fig. 2b). Controls: the same network
untrained, colour statistics, raw pixels. Each record is written when it is finished, and then kept.
"""

import dataclasses
import json
import os
import pathlib
import time
from collections.abc import Callable

import jax
import numpy as np
from absl import app, flags

from examine_jax.common.atomic_files import write_text
from examine_jax.encoders import Encoder
from examine_jax.evaluation.control_features import colour_statistics, raw_pixels
from examine_jax.evaluation.feature_rank import feature_deviation, rank_me
from examine_jax.evaluation.metrics import balanced_accuracy
from examine_jax.evaluation.noise_experiment import LEVELS, clip_to_bytes
from examine_jax.evaluation.noise_separation import noise_separation
from examine_jax.evaluation.untrained import untrained_encoder
from examine_jax.features.neighbours import UniformEuclidean, WeightedCosine, knn_predict
from examine_jax.features.preprocessing import FeatureStatistics, preprocess
from examine_jax.images import GaussianCorruption, corrupt
from examine_jax.models import architecture
from examine_jax.pretraining import method_preset, pretrain
from examine_jax.reporting.page import package_versions
from examine_jax.scoring import examine
from examine_jax.studies.common.training_length import seconds_a_step

from .histology import read_tiles

_DATA = flags.DEFINE_string("data", None, "The folder lc25000_96, with groups.csv.", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Where the runs live.", required=True)
_OUTPUT = flags.DEFINE_string(
    "output", None, "A JSON file for the records; those in it are kept.", required=True
)
_METHODS = flags.DEFINE_list(
    "methods",
    ["mae", "autoencoder", "simclr", "dcl", "byol", "simsiam", "vicreg"],
    "Which of `method_names()`.",
)
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds.")
_MINUTES = flags.DEFINE_float("minutes", 10.0, "CPU minutes of training a run.")
_ARCHITECTURE = flags.DEFINE_string("architecture", "small", "What is trained.")

_REFERENCE = 2000  # training tiles whose features define the z-scores


@dataclasses.dataclass(frozen=True, eq=False)
class Tiles:
    training: np.ndarray
    training_label: np.ndarray
    held: np.ndarray
    held_label: np.ndarray
    classes: int
    noisy: np.ndarray
    level: np.ndarray


def split_tiles(folder: pathlib.Path, image_size: int, seed: int) -> Tiles:
    """Training tiles, held-out tiles, and held-out tiles with noise."""
    tiles = read_tiles(folder, image_size, seed)
    pixels, label, held = tiles.pixels, tiles.label, tiles.held
    corruption = GaussianCorruption(levels=(0.0, *LEVELS), portion=1.0)
    mean = float(pixels[~held].mean()) / 255
    noisy, level = corrupt(pixels[tiles.assessed], corruption, seed=seed, mean=mean)
    classes = int(label.max()) + 1
    return Tiles(
        pixels[~held], label[~held], pixels[held], label[held], classes, clip_to_bytes(noisy), level
    )


def figures(embed: Callable[[np.ndarray], np.ndarray], tiles: Tiles) -> dict[str, object]:
    known, asked = embed(tiles.training), embed(tiles.held)
    found: dict[str, object] = {}
    statistics = FeatureStatistics.of(known)
    scaled = preprocess(known, "zscore", statistics), preprocess(asked, "zscore", statistics)
    for name, (train, test), voting in (
        ("knn", (known, asked), WeightedCosine()),
        ("knn_zscored", scaled, WeightedCosine()),
        ("knn_euclidean", scaled, UniformEuclidean()),
    ):
        predicted = knn_predict(
            train, tiles.training_label, test, k=20, num_classes=tiles.classes, voting=voting
        )
        found[name] = balanced_accuracy(tiles.held_label, np.asarray(predicted), tiles.classes)
    reference = FeatureStatistics.of(known[:: max(1, len(known) // _REFERENCE)])
    gap = np.asarray(examine(preprocess(embed(tiles.noisy), "zscore", reference)).gap)
    found["noise_separation"] = dataclasses.asdict(noise_separation(gap, tiles.level))
    found["feature_deviation"] = float(feature_deviation(asked))
    found["rank_me"] = float(rank_me(asked))
    return found


def train_and_measure(
    name: str, seed: int, tiles: Tiles, workdir: pathlib.Path
) -> dict[str, object]:
    chosen = architecture(_ARCHITECTURE.value)
    plan = workdir / f"{name}.json"  # of all seeds
    if not plan.exists():
        method, settings = method_preset(name, chosen)
        cost = seconds_a_step(method, tiles.training, settings.batch_size)
        write_text(
            plan,
            json.dumps({"cpu_seconds_a_step": cost, "steps": round(_MINUTES.value * 60 / cost)}),
        )
    planned = json.loads(plan.read_text())
    method, settings = method_preset(name, chosen, steps=planned["steps"])
    settings = dataclasses.replace(settings, seed=seed)
    begin = time.process_time()
    result = pretrain(method, tiles.training, settings, workdir / f"{name}_{seed}")
    cpu_seconds = time.process_time() - begin
    encoder = Encoder(method, result.params, result.state)
    losses = [record["loss"] for record in result.history]
    return {
        **figures(encoder.embed, tiles),
        **planned,
        "first_loss": float(np.mean(losses[:20])),
        "final_loss": float(np.mean(losses[-20:])),
        "cpu_seconds_of_the_last_start": cpu_seconds,
    }


def controls(seed: int, tiles: Tiles) -> dict[str, dict[str, object]]:
    method, _ = method_preset("mae", architecture(_ARCHITECTURE.value))
    untrained = untrained_encoder(method, tiles.training[:1], seed)
    makers = {
        "untrained": untrained.embed,
        "colour statistics": colour_statistics,
        "raw pixels": raw_pixels,
    }
    return {name: figures(make, tiles) for name, make in makers.items()}


def main(_: list[str]) -> None:
    workdir, output = pathlib.Path(_WORKDIR.value), pathlib.Path(_OUTPUT.value)
    workdir.mkdir(parents=True, exist_ok=True)
    stored = json.loads(output.read_text()) if output.exists() else {"records": {}}
    stored["machine"] = {
        "device": str(jax.devices()[0]),
        "cores": os.cpu_count(),
        "versions": package_versions(),
    }
    stored["settings"] = {"minutes": _MINUTES.value, "architecture": _ARCHITECTURE.value}
    image_size = architecture(_ARCHITECTURE.value).encoder.image_size

    def keep(seed: int, name: str, record: dict[str, object]) -> None:
        stored["records"].setdefault(str(seed), {})[name] = record
        write_text(output, json.dumps(stored, indent=1) + "\n")
        separation = record["noise_separation"]["rank_correlation"]  # type: ignore[index]
        print(f"seed {seed} {name:18s} knn {record['knn']:.3f}  noise {separation:.3f}", flush=True)

    for seed in map(int, _SEEDS.value):
        tiles = split_tiles(pathlib.Path(_DATA.value), image_size, seed)
        done = stored["records"].get(str(seed), {})
        if "untrained" not in done:
            for name, record in controls(seed, tiles).items():
                keep(seed, name, record)
        for name in _METHODS.value:
            if name not in done:
                keep(seed, name, train_and_measure(name, seed, tiles, workdir))


if __name__ == "__main__":
    app.run(main)
