"""Runs that a signal or a full disk ends: what is saved, what is said, and how they go on."""

import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from examine_jax.pretraining import pretrain
from tests.support.small_mae import METHOD, programs_kept_in, same, settings, smooth_blobs
from tests.training import interrupted_process
from tests.training.interrupted_process import environment_of_child, start_child


@pytest.fixture(scope="module")
def images():
    return smooth_blobs()


@pytest.fixture(scope="module", autouse=True)
def compilation_cache(tmp_path_factory):
    with programs_kept_in(tmp_path_factory.mktemp("programs")) as environment:
        yield environment


def test_sigterm_saves_and_exits(images, tmp_path, compilation_cache):
    child = start_child(tmp_path, images, 100_000, compilation_cache)
    child.send_signal(signal.SIGTERM)
    assert child.wait(60) == 143
    recorded = (tmp_path / "run" / "metrics.jsonl").read_bytes().count(b"\n")
    assert str(recorded) in {folder.name for folder in (tmp_path / "run" / "checkpoints").iterdir()}


def test_ctrl_c_saves_and_says_how_to_go_on(images, tmp_path, compilation_cache):
    child = start_child(
        tmp_path, images, 100_000, compilation_cache, stderr=subprocess.PIPE, text=True
    )
    child.send_signal(signal.SIGINT)
    errors = child.communicate(timeout=60)[1]
    assert child.returncode == -signal.SIGINT
    assert "the same call again goes on" in errors.splitlines()[-1]
    recorded = (tmp_path / "run" / "metrics.jsonl").read_bytes().count(b"\n")
    assert f"saved after {recorded} of 100000 steps" in errors
    assert str(recorded) in {folder.name for folder in (tmp_path / "run" / "checkpoints").iterdir()}


@pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason="limits of another process are Linux's"
)
def test_a_full_disk_stops_the_run_and_the_checkpoint_before_stays_whole(
    images, tmp_path, compilation_cache
):
    steps = 40  # few enough that metrics.jsonl stays below the limit
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    child = start_child(tmp_path, images, steps, compilation_cache, held=True, **pipes)
    checkpoints = tmp_path / "run" / "checkpoints"
    while not any(folder.name.isdigit() for folder in checkpoints.iterdir()):
        assert child.poll() is None
        time.sleep(0.002)
    # Files of this size and more cannot be written from now on: not a checkpoint, but the metrics
    # still.
    resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (30_000, 30_000))
    (tmp_path / "go").touch()
    message, stderr = child.communicate(timeout=120)
    assert child.returncode == 1, stderr
    whole = max(int(folder.name) for folder in checkpoints.iterdir() if folder.name.isdigit())
    assert "cannot write a checkpoint in" in message, stderr
    assert (
        "File too large" in message or "CancelledError" in message
    )  # whichever of the writer's tasks is heard of first
    assert (
        f"start the run again; the one of step {whole} is complete, and the run continues from it"
        in message
    )
    assert whole < steps
    resumed = pretrain(METHOD, images, settings(steps), tmp_path / "run", progress=False)
    uninterrupted = pretrain(
        METHOD, images, settings(steps), tmp_path / "uninterrupted", progress=False
    )
    assert same(resumed.params, uninterrupted.params)
    assert all(folder.name.isdigit() for folder in checkpoints.iterdir()), (
        "nothing half-written is left"
    )


IN_LITTLE_SPACE = """
mount -t tmpfs -o size=1400k tmpfs "$0" || exit 77
cp "$0"/../images.npy "$0"
"$1" "$2" "$0"/images.npy "$0"/run 100000
status=$?
ls "$0"/run/checkpoints
exit $status
"""


def test_a_checkpoint_without_room_is_not_begun(images, tmp_path, compilation_cache):
    """On a file system of 1.4 MB, in a mount namespace of its own, that checkpoints fill up."""
    (tmp_path / "small").mkdir()
    np.save(tmp_path / "images.npy", images)
    arguments = [str(tmp_path / "small"), sys.executable, interrupted_process.__file__]
    command = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "bash",
        "-c",
        IN_LITTLE_SPACE,
        *arguments,
    ]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=200,
            env=environment_of_child(compilation_cache),
        )
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if done.returncode == 77 or "unshare:" in done.stderr:
        pytest.skip("small file systems cannot be mounted here")
    assert done.returncode == 1
    message, *there = done.stdout.splitlines()
    whole = [name for name in there if name.isdigit()]
    assert whole
    assert there == whole, "nothing half-written is left"
    assert message.startswith("cannot write a checkpoint"), done.stderr
    assert "MB are free" in message
    assert f"the one of step {max(whole, key=int)} is complete" in message
