"""Compiled programs kept from one run to the next, in a folder of the user's own.

Most of the time to a run's first step goes into compiling; a second run of the same shapes finds its programs here.

A program holds the shapes of images and networks, no pixel and no parameter. It is machine code that JAX will run, though, so it must lie
where nobody else can write: not in a shared workdir or beside the images, but in the user's cache folder, readable by the user alone. Where
home folders are not writable (locked-down hospital machines), nothing is kept and everything works as before.
"""

import hashlib
import os
import pathlib
import platform
import stat

import jax

_SHORTEST = 0.5  # seconds of compiling that are worth a file


def keep_compiled_programs(folder: str | os.PathLike[str] | None = None) -> pathlib.Path | None:
    """Lets JAX keep what it compiles in this process, and look there first; for scripts: it changes JAX's configuration.

    Args:
        folder: where; None: $XDG_CACHE_HOME/examine_jax or ~/.cache/examine_jax, in a folder named after the jaxlib and the processor, as a
            home may be shared by machines that do not run each other's code. JAX_COMPILATION_CACHE_DIR goes before both.

    Returns:
        The folder; None where none can be written, or where others may write to it.
    """
    before = jax.config.values["jax_compilation_cache_dir"]
    if before is not None:
        return pathlib.Path(before)
    chosen = pathlib.Path(folder) if folder is not None else _user_folder() / f"programs-{_machine()}"
    try:
        chosen.mkdir(parents=True, exist_ok=True, mode=0o700)
        status = chosen.stat()
    except OSError:
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
    """Tells processors apart that cannot run each other's programs."""
    features = platform.processor() + platform.machine()
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        features += next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        pass  # not Linux
    return f"{jax.__version__}-{hashlib.sha256(features.encode()).hexdigest()[:12]}"
