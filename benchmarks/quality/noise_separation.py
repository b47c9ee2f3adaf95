"""Does the gap separate noise levels, on the sample and on held-out histology tiles?

python -m benchmarks.quality.noise_separation --workdir=OUT [--data=FOLDER_OF_lc25000_96]
    --output=benchmarks/results/FILE.json

Each run is a whole assessment: features z-scored by the clean training images, the scorer's default
solver. A killed run continues in the same workdir. Controls are treated the same way. The record
has the time of every run.
"""

import dataclasses
import json
import os
import pathlib
import time

import jax
import numpy as np
from absl import app, flags

from examine_jax.common.atomic_files import write_array, write_text
from examine_jax.evaluation.noise_experiment import LEVELS
from examine_jax.evaluation.noise_separation import NoiseSeparation, mean_over_seeds
from examine_jax.images import GaussianCorruption
from examine_jax.jobs.assess.assess import assess_images
from examine_jax.jobs.assess.assessment import Assessment
from examine_jax.jobs.assess.settings import AssessSettings
from examine_jax.pretraining import Phase
from examine_jax.pretraining.recipes import recipe
from examine_jax.reporting.page import package_versions

from .histology import read_tiles

_WORKDIR = flags.DEFINE_string("workdir", None, "Where the runs live.", required=True)
_DATA = flags.DEFINE_string("data", None, "The folder lc25000_96, with groups.csv.")
_STEPS = flags.DEFINE_integer("steps", None, "Training steps; the recipe's if not given.")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds.")
_SETS = flags.DEFINE_list("sets", ["sample", "lc25000_96"], "Which of the two.")
_OUTPUT = flags.DEFINE_string("output", None, "A JSON file for the record.", required=True)


def settings(seed: int) -> AssessSettings:
    training = recipe("small")
    if _STEPS.value is not None:
        training = dataclasses.replace(training, phases=(Phase(steps=_STEPS.value),))
    noise = GaussianCorruption(levels=(0.0, *LEVELS), portion=1.0)
    return AssessSettings(training=training, noise=noise, seed=seed)


def histology(
    folder: pathlib.Path, workdir: pathlib.Path, seed: int
) -> tuple[pathlib.Path, pathlib.Path]:
    """Writes 500 tiles to assess and the tiles to train on as .npy files; no group is in both."""
    tiles = read_tiles(folder, 72, seed)
    files = workdir / "assessed.npy", workdir / "training.npy"
    workdir.mkdir(parents=True, exist_ok=True)
    for file, pixels in zip(files, (tiles.pixels[tiles.assessed], tiles.pixels[~tiles.held])):
        write_array(file, pixels)
    return files


def record(assessment: Assessment, cpu_seconds: float) -> dict[str, object]:
    return {
        "separations": {
            name: dataclasses.asdict(value) for name, value in assessment.separations.items()
        },
        "steps": int(assessment.training_loss[0][-1]) if assessment.training_loss else None,
        "final_loss": float(np.mean(assessment.training_loss[1][-20:]))
        if assessment.training_loss
        else None,
        "seconds": assessment.seconds,
        "cpu_seconds": cpu_seconds,
    }


def main(_: list[str]) -> None:
    root = pathlib.Path(_WORKDIR.value)
    results: dict[str, dict[str, object]] = {}
    for name in _SETS.value:
        if name == "lc25000_96" and _DATA.value is None:
            raise app.UsageError("--data names the folder lc25000_96")
        found = []
        results[name] = {}
        for seed in map(int, _SEEDS.value):
            workdir = root / f"{name}_{seed}"
            kept = workdir / "record.json"
            if not kept.exists():
                images = training = None
                if name == "lc25000_96":
                    images, training = histology(pathlib.Path(_DATA.value), workdir, seed)
                begin = time.process_time()
                assessment = assess_images(
                    images, workdir, settings(seed), pretrain_images=training
                )
                write_text(kept, json.dumps(record(assessment, time.process_time() - begin)))
            entry = json.loads(kept.read_text())
            results[name][str(seed)] = entry
            found.append(entry["separations"])
            print(name, seed, json.dumps(entry["separations"]["trained encoder"]), flush=True)
        results[name]["mean"] = {
            kind: dataclasses.asdict(
                mean_over_seeds(
                    [
                        NoiseSeparation(
                            **{
                                k: tuple(v) if isinstance(v, list) else v
                                for k, v in one[kind].items()
                            }
                        )
                        for one in found
                    ]
                )
            )
            for kind in found[0]
        }
    machine = {
        "device": str(jax.devices()[0]),
        "cores": os.cpu_count(),
        "versions": package_versions(),
    }
    write_text(
        pathlib.Path(_OUTPUT.value),
        json.dumps({"machine": machine, "results": results}, indent=2) + "\n",
    )
    for name, result in results.items():
        for kind, mean in result["mean"].items():  # type: ignore[attr-defined]
            print(
                f"{name:12s} {kind:26s} {mean['rank_correlation']:.3f}",
                " ".join(f"{value:.3f}" for value in mean["auroc"]),
            )


if __name__ == "__main__":
    app.run(main)
