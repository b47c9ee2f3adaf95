"""Keeps compiled programs from one run to the next, in the user's cache folder.

Before its first step, a run mostly compiles. A second run of the same shapes loads its programs.

A program contains the shapes of images and networks, but no pixel and no parameter. JAX will
execute it, so nobody else may be able to write it: it goes to the user's own cache folder (readable
by the user alone), not to a shared workdir or beside the images. If there is no home folder, as in
some containers, or it is not writable, as on locked-down hospital machines, nothing is kept and
everything else works.
"""

import hashlib
import os
import pathlib
import platform
import stat

import jax

_SHORTEST = 0.5  # seconds; programs that compile faster are not kept

# For a program that runs once: it compiles in half the time, and runs more slowly.
QUICKLY = {"xla_backend_optimization_level": 0}


def keep_compiled_programs(folder: str | os.PathLike[str] | None = None) -> pathlib.Path | None:
    """Makes JAX keep and reuse the programs that it compiles.

    For scripts, as it changes JAX's configuration. If JAX already has such a folder
    (JAX_COMPILATION_CACHE_DIR), it stays.

    Args:
        folder: the folder. None: a folder in $XDG_CACHE_HOME/examine_jax or ~/.cache/examine_jax.
            It is named after the version of JAX and the processor, because machines that cannot
            run each other's programs may share a home folder.

    Returns:
        The folder; None if there is no home folder, it cannot be written, or others may write to
        it.
    """
    before = jax.config.values["jax_compilation_cache_dir"]
    if before is not None:
        return pathlib.Path(before)
    try:
        chosen = (
            pathlib.Path(folder)
            if folder is not None
            else _user_folder() / f"programs-{_machine()}"
        )
        chosen.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = chosen.stat()
    except (OSError, RuntimeError):  # RuntimeError: the user has no home folder
        return None
    own = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    if not own or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or not os.access(chosen, os.W_OK):
        return None
    jax.config.update("jax_compilation_cache_dir", str(chosen))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", _SHORTEST)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return chosen


def _user_folder() -> pathlib.Path:
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (pathlib.Path(given) if given else pathlib.Path("~/.cache").expanduser()) / "examine_jax"


def _machine() -> str:
    """A name that differs between processors that cannot run each other's programs."""
    features = platform.processor() + platform.machine()
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        features += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        pass  # not Linux
    return f"{jax.__version__}-{hashlib.sha256(features.encode()).hexdigest()[:12]}"
