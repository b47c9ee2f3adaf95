"""What every script shares: the device, one-line errors, the exit code."""

import os
import pathlib
import sys
from collections.abc import Callable, Sequence

from absl import app, flags, logging

DEVICE = flags.DEFINE_enum(
    "device", None, ["cpu", "gpu", "tpu"], "Where to compute; the best that JAX finds if not given."
)


def choose_device() -> str:
    """Select the device that was asked for, say which it is, and let compiled programs be kept for the next run.

    Raises:
        ValueError: it is not there (never a silent fall-back to the CPU).
    """
    import jax

    wanted = DEVICE.value
    if wanted == "cpu":
        jax.config.update("jax_platforms", "cpu")  # an accelerator that is there is JAX's default
    try:
        devices = jax.devices() if wanted is None else jax.devices(wanted)
    except RuntimeError as error:
        raise ValueError(
            f"--device={wanted}: JAX finds no such device; install JAX for it (for NVIDIA: pip install 'jax[cuda12]') "
            "or leave --device out"
        ) from error
    from examine_jax.common.compilation_cache import keep_compiled_programs

    keep_compiled_programs()
    cores = f", {os.cpu_count()} cores" if devices[0].platform == "cpu" else ""
    name = f"{devices[0].platform} ({len(devices)} x {devices[0].device_kind}{cores})"
    print(f"device: {name}", file=sys.stderr)
    return name


def tell_other_seeds(folder: pathlib.Path, seeds: Sequence[int]) -> None:
    """Says which seeds a study's folder holds and the page will not have, as they were not named."""
    from examine_jax.studies.common.kept import other_seeds

    others = other_seeds(folder, seeds)
    if others:
        print(
            f"{folder} holds seeds {','.join(map(str, others))} too; the page has those that are named: name all of them at last "
            "(what is done is not done again)",
            file=sys.stderr,
        )


def run(job: Callable[[], None], name: str) -> None:
    """Parse the flags and do the job; an expected error is one line on stderr and exit code 1, without a traceback."""

    def main(arguments: list[str]) -> None:
        logging.set_verbosity(logging.WARNING)  # the checkpoint library reports every save at INFO
        try:
            if len(arguments) > 1:
                raise ValueError(f"unknown argument {arguments[1]!r}; settings are given as --name=value (see --help)")
            job()
        except (ValueError, OSError, ImportError) as error:
            print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
            sys.exit(1)

    app.run(main)
