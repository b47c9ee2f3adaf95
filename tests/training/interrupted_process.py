"""One process of the tests of interrupted runs: trains the small autoencoder until it is stopped.

python tests/training/interrupted_process.py IMAGES RUN STEPS [GO], with the checkout as PYTHONPATH

It waits at step 10 until there is a file GO, where that is given.
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np

from examine_jax.pretraining import pretrain
from examine_jax.training.observer import Observer
from tests.support.small_mae import METHOD, settings

CHECKOUT = pathlib.Path(__file__).parents[2]


def start_child(folder, images, steps, environment, *, held=False, **pipes):
    """A process that trains, once it has recorded 5 steps.

    If `held`, it waits at step 10 until there is a file folder/go.
    """
    np.save(folder / "images.npy", images)
    arguments = [
        str(folder / "images.npy"),
        str(folder / "run"),
        str(steps),
        *([str(folder / "go")] if held else []),
    ]
    child = subprocess.Popen(
        [sys.executable, __file__, *arguments], env=environment_of_child(environment), **pipes
    )
    metrics = folder / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < 5:
        assert child.poll() is None, "the run ended before it could be interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return child


def environment_of_child(environment):
    """This process's environment with some variables more."""
    return {**os.environ, "PYTHONPATH": str(CHECKOUT), **environment}


def main(images, run, steps, go=None):
    # A shell's background processes ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    def wait(done, params, state):
        # After 5 steps are recorded, so that no machine is too fast to be interrupted.
        while done >= 10 and go is not None and not pathlib.Path(go).exists():
            time.sleep(0.002)
        return {}

    try:
        pretrain(
            METHOD,
            np.load(images),
            settings(int(steps)),
            run,
            observer=Observer(5, wait),
            checkpoint_seconds=0.0,
            progress=False,
        )
    except OSError as error:
        # Not on stderr: the writer's threads end with the process and may write into the same line.
        print(error, flush=True)
        raise


if __name__ == "__main__":
    main(*sys.argv[1:])
