"""The main job's configuration in its workdir, and the times of its stages."""

import os
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from examine_jax.common.configuration import check_or_write_config, to_plain
from examine_jax.common.processes import first_alone
from examine_jax.jobs.assess.settings import AssessSettings, DecisionSettings
from examine_jax.jobs.headers import JobHeaders
from examine_jax.scoring import Examination, examine


def check_config(
    workdir: pathlib.Path,
    sources: Mapping[str, Any],
    settings: AssessSettings,
    decision: DecisionSettings,
    headers: JobHeaders | None = None,
) -> None:
    """Refuses another run's workdir, or writes config.json.

    The decision may change: nothing is trained again for it.
    """
    decided = {name: value for name, value in to_plain(decision).items() if name != "type"}
    for name in ("labelled", "groups", "pilot", "reference_images"):
        decided[name] = shown_path(getattr(decision, name), headers)
    configuration = {**sources, "settings": to_plain(settings), "decision": decided}
    first_alone(
        lambda: check_or_write_config(
            workdir / "config.json", configuration, replaceable=("decision",)
        )
    )


def examined(features: np.ndarray, settings: AssessSettings) -> Examination:
    """EXAMINE's results as NumPy arrays."""
    return jax.tree.map(
        np.asarray, examine(features, solver=settings.solver, center=settings.center)
    )


def shown_path(
    path: str | os.PathLike[str] | None, headers: JobHeaders | None = None
) -> str | None:
    """The path, absolute, as it may be shown. A name that is no path stays as it is."""
    if path is None:
        return None
    plain = ":" in os.fspath(path) and not pathlib.Path(path).exists()
    found = os.fspath(path) if plain else str(pathlib.Path(path).resolve())
    return found if headers is None else headers.path(found)


@contextmanager
def stage(name: str, seconds: dict[str, float], progress: bool) -> Iterator[None]:
    """Takes a stage's time, and prints it."""
    begin = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - begin
    if progress:
        print(f"{name}: {seconds[name]:.1f} s", file=sys.stderr)
