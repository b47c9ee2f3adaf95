"""One process of test_two_processes.py, a command: does each job together with another process.

At the end the second process is killed at work.

python -m tests.launch.cluster_process FOLDER --distributed --coordinator=HOST:PORT ...
"""

import importlib
import os
import pathlib
import signal
import sys
import types
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from absl.flags import FlagValues

import examine_jax.common.processes
from examine_jax.common.atomic_files import replacing, write_text
from examine_jax.common.processes import (
    check_same,
    check_shared,
    first_alone,
    first_decides,
    gather_arrays,
    is_first,
    process_count,
    process_index,
    share,
    wait_for_all,
)
from examine_jax.detection.training import Detector
from examine_jax.jobs.assess import page
from examine_jax.jobs.detect import together
from examine_jax.jobs.embed_shards import ShardSettings, embed_into_shards
from examine_jax.jobs.score import ScoreSettings, score_features
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.labelled.labelled_rows import LabelledRows
from examine_jax.reporting.page import Illustration
from examine_jax.valuation import ValueSettings, value_features
from launch.command import run
from launch.device import DeviceFlags, choose_device
from launch.flags import define
from launch.shared_seeds import spread

SHARD_ROWS = 3


def game() -> tuple[LabelledRows, LabelledRows]:
    """Rows to value, and a validation set."""
    labels = np.arange(24) % 2
    rows = np.random.default_rng(3).normal(size=(24, 3)).astype(np.float32) + labels[:, None]
    return LabelledRows(rows[:10], labels[:10]), LabelledRows(rows[10:], labels[10:])


def values_settings() -> ValueSettings:
    """Permutations that both processes draw; the last round has work for one alone."""
    return ValueSettings(valuers=("tmc_shapley",), permutations=10, truncate=False)


def all_jobs(folder: pathlib.Path, process: int) -> None:
    """Each job, with what it finds in found_PROCESS.npz."""
    assert (process_count(), jax.device_count()) == (2, 4)
    examine_jax.common.processes._SECONDS_TO_SEE_A_FILE = 0.2
    saved = {"share": np.array(share(5))}
    saved |= exchanged(process)
    saved["refusals"] = np.array(
        [refused(what, process, folder) for what in ("flags", "folder", "features", "rows", "room")]
    )
    found = score_features(
        ScoreSettings(
            folder / "features", folder / "scores.csv", save_summary=folder / "summary.npz"
        ),
        progress=False,
    )
    saved["gap"] = found.gap
    against = ScoreSettings(
        folder / "few.npy", folder / "new.csv", against=folder / "summary.npz", center=True
    )
    saved["new gap"] = score_features(against, progress=False).gap
    (folder / "values").mkdir(exist_ok=True)
    rows, validation = game()
    valued = value_features(rows, folder / "values", values_settings(), validation=validation)
    saved |= {name: one.values for name, one in valued.valuations.items()}
    embed(folder)
    if is_first():
        (folder / "shards" / "manifest.json").unlink()
        (folder / "shards" / "part-00001-of-00003.parquet").unlink()
        stale = folder / "shards" / "part-00001-of-00003.skipped.json"  # of a killed run
        stale.write_text('[["3.png", "nobody answered"]]')
    wait_for_all("removed")
    embed(folder)
    saved |= detected()
    saved |= seeds_shared()
    commands(folder)
    np.savez(folder / f"found_{process}.npz", **saved)
    wait_for_all("end")


def exchanged(process: int) -> dict[str, np.ndarray]:
    """Arrays of several kinds, as this process gets them from both."""
    own = [np.arange(3 * process, dtype=np.float64) / 7, np.array(process, ">i2"), np.zeros((0, 2))]
    gathered = [gather_arrays(array) for array in own]
    assert [part.shape for part in gathered[2]] == [(0, 2)] * 2
    return {
        "floats": np.concatenate(gathered[0]),
        "numbers": np.array(gathered[1], int),
        "decided": np.array(first_decides(lambda: [process, "text"])),
    }


def refused(what: str, process: int, folder: pathlib.Path) -> str:
    """The message for processes that differ in something."""
    own = folder / f"own_{process}"
    try:
        if what == "flags":
            check_same("flags", {"seed": process, "steps": 3})
        elif what == "folder":
            check_shared(own)
        elif what == "features":
            own.mkdir(exist_ok=True)
            np.save(own / "f.npy", np.eye(3 + process, 3))
            score_features(ScoreSettings(own, folder / "never.csv"), progress=False)
        elif what == "room":
            first_alone(lambda: write_text(folder / "few.npy" / "x", "no folder"))
        else:
            rows, validation = game()
            other = LabelledRows(rows.features + process, rows.labels)
            value_features(other, own, values_settings(), validation=validation)
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def brightest(*variables: object, names: Sequence[str], **how: object) -> BoxSet:
    """In place of a detector: as many boxes in an image as its first pixel says."""
    pixels = np.asarray(variables[3])
    image = np.repeat(np.arange(len(names)), pixels[:, 0, 0, 0])
    place = np.arange(len(image))[:, None] + np.array([0.0, 0.0, 1.0, 2.0])
    sizes = np.full((len(names), 2), 8, np.int32)
    return BoxSet(tuple(names), sizes, ("a", "b"), image, image % 2, place, score=place[:, 0])


def detected() -> dict[str, np.ndarray]:
    """The detections of both processes on five images, in batches of two."""
    together.predict = brightest  # type: ignore[assignment]
    method: Any = types.SimpleNamespace(height=8, width=8, classes=("a", "b"))
    pixels = np.zeros((5, 8, 8, 3), np.uint8)
    pixels[:, 0, 0, 0] = [2, 0, 1, 0, 3]
    found = together.predict_together(Detector(method, {}, {}), pixels, list("vwxyz"), batch_size=2)
    return {"image": found.image, "label": found.label, "score": np.asarray(found.score)}


def seeds_shared() -> dict[str, np.ndarray]:
    """The seeds that this process runs, without and with some that fail."""
    runs: list[Sequence[int]] = []

    def fail(seeds: Sequence[int]) -> None:
        runs.append(seeds)
        if 4 in seeds:
            raise ValueError(f"the seeds {seeds} diverge")

    spread((3, 4, 5), runs.append)
    try:
        spread((3, 4, 5), fail)
    except ValueError as error:
        message = str(error)
    return {"seeds": np.array([str(seeds) for seeds in runs]), "failed": np.array(message)}


def commands(folder: pathlib.Path) -> None:
    """Whole commands, as their users give them; this process is joined already."""
    page._illustrations = no_pictures
    for name, *flags in commands_of(folder, "together"):
        script = importlib.import_module(f"launch.{name}")
        values = FlagValues()
        script.define_flags(values)
        define(values, DeviceFlags)
        values([name, *flags])
        script._job(values)
        wait_for_all(name)


def no_pictures(*results: object) -> dict[str, Illustration]:
    """In place of charts, which take as long as all else."""
    return {}


def commands_of(folder: pathlib.Path, results: str) -> list[list[str]]:
    """Commands that are compared with one process, which writes into another folder."""
    out = folder / results
    return [
        [
            "select",
            f"--features={folder / 'features'}",
            "--budget=6",
            f"--groups={folder / 'groups.csv'}",
            "--per_group=2",
            f"--output={out / 'to_label.csv'}",
        ],
        [
            "assess",
            f"--images={folder / 'images'}",
            f"--encoder={folder / 'encoder'}",
            f"--reference_images={folder / 'clean'}",
            f"--labelled={folder / 'labelled.csv'}",
            "--budget=2",
            "--solver=dense_svd",
            "--preprocessing=none",
            f"--workdir={out / 'assessed'}",
        ],
    ]


def embed(folder: pathlib.Path) -> None:
    embed_into_shards(
        folder / "images",
        folder / "encoder",
        folder / "shards",
        shards=ShardSettings(SHARD_ROWS),
        batch_size=2,
        progress=False,
    )


def killed(folder: pathlib.Path) -> None:
    """Writes one file whole and one in half, in which the second process is killed."""
    if is_first():
        write_text(folder / "first.txt", "whole\n")
    with replacing(folder / f"half_{process_index()}.txt") as stream:
        stream.write(b"half")
        if not is_first():
            os.kill(os.getpid(), signal.SIGKILL)
        wait_for_all("never")


def job(values: FlagValues) -> None:
    choose_device(values, FOLDER / "killed")
    all_jobs(FOLDER, process_index())
    killed(FOLDER / "killed")


if __name__ == "__main__":
    FOLDER = pathlib.Path(sys.argv.pop(1))
    run("jobs", None, lambda values: None, job)
