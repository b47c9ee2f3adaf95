"""Shapes and types of the whole library are checked at run time, in the tests alone."""

import os

# Before NumPy's first import: several processes test at once, and threads that wait for one another make seconds into minutes.
for library in ("OMP", "OPENBLAS"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

from jaxtyping import install_import_hook

install_import_hook("examine_jax", "beartype.beartype")

import pathlib
from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_go_with_their_module() -> Iterator[None]:
    """Thousands of compiled programs would exhaust the memory mappings that a process may have, which ends it."""
    yield
    jax.clear_caches()


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """The folder of real image sets, named by EXAMINE_DATA."""
    folder = os.environ.get("EXAMINE_DATA")
    if not folder:
        pytest.skip("EXAMINE_DATA is not set: it names the folder that holds lc25000_96/ and the other real image sets")
    return pathlib.Path(folder)
