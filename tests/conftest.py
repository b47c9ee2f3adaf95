"""Shapes and types of the whole library are checked at run time, in the tests alone."""

import gc
import importlib.metadata
import os
import pathlib

# Imports and JAX's traces allocate much and leave little garbage.
gc.set_threshold(20_000, 10, 10)

# Before NumPy's first import: several processes test at once, and threads that wait for one another
# make seconds into minutes.
for library in ("OMP", "OPENBLAS"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

# A program of the tests runs once or twice, so the time to compile it matters. Without LLVM's
# optimisations, it compiles four times sooner. CI runs the scorer's tests a second time with
# XLA_FLAGS set to nothing, as users run it.
if "XLA_FLAGS" not in os.environ:
    os.environ["XLA_FLAGS"] = "--xla_backend_optimization_level=0"
    # XLA ends the process at a flag that it does not know.
    if importlib.metadata.version("jaxlib").startswith("0.10."):
        os.environ["XLA_FLAGS"] += " --xla_cpu_use_fusion_emitters=false"
        # One program is not split among threads: the other cores test too.
        os.environ["XLA_FLAGS"] += " --xla_cpu_parallel_codegen_split_count=1"
        os.environ["XLA_FLAGS"] += " --xla_llvm_disable_expensive_passes=true"

# One folder of compiled programs for all workers, and for the next run of the same code: most of
# the time of the tests is compilation.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    cache = pathlib.Path(__file__).parents[1] / ".pytest_cache" / "programs"
    cache.mkdir(parents=True, exist_ok=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

# Keys of names are the tests' own, not the user's.
os.environ["XDG_DATA_HOME"] = str(pathlib.Path(__file__).parents[1] / ".pytest_cache" / "data")

from jaxtyping import install_import_hook

install_import_hook("examine_jax", "beartype.beartype")

from collections.abc import Iterator

import jax
import pytest

# The files that take longest, longest first. They start first, so that no core waits for the last.
LONGEST = (
    *("test_exports.py", "scoring/test_leave_one_out.py", "scoring/test_exact_ties.py"),
    *("scoring/test_meshes.py", "pretraining/test_byol_tracin.py", "launch/test_two_processes.py"),
    *("training/test_sharded.py", "launch/test_assess_to_label.py", "launch/test_assess.py"),
    *("launch/test_intensity_range.py", "launch/test_pretrain.py", "launch/test_value.py"),
    *("docs/test_examples.py", "training/test_interruptions.py", "training/test_loop.py"),
    *("pretraining/test_pretrained_scorer.py", "pretraining/test_two_view_methods.py"),
    *("scoring/test_piecewise_products.py", "launch/test_detect.py", "reporting/test_charts.py"),
    *("valuation/test_logistic.py", "test_byte_order_of_entries.py", "scoring/test_padding.py"),
    *("scoring/test_groups.py", "scoring/test_offset_rows.py", "scoring/test_strict_settings.py"),
    # Of studies alone, which run by themselves.
    *("studies/byol_tracin/test_study.py", "studies/low_resource/test_study.py"),
    *("studies/detection/test_study.py", "launch/test_reproduce_low_resource.py"),
    *("launch/test_reproduce_byol_tracin.py", "studies/examine/test_study.py"),
    *("launch/test_remote_job.py", "studies/transfer/test_study.py"),
)


def pytest_configure(config: pytest.Config) -> None:
    """Where tests run side by side, files start in the order of the collection."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests of the longest files first."""
    tests = pathlib.Path(__file__).parent
    place = {tests / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Exempts the modules and the collected tests from garbage collection.

    They stay until the end. Without this, each collection examines all of them again.
    """
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def compiled_programs_go_with_their_module() -> Iterator[None]:
    """Clears the compiled programs after each module.

    Thousands of them exhaust the memory mappings that a process may have, and this ends it.
    """
    yield
    jax.clear_caches()


@pytest.fixture(scope="session")
def real_data() -> pathlib.Path:
    """The folder of real image sets, named by EXAMINE_DATA."""
    folder = os.environ.get("EXAMINE_DATA")
    if not folder:
        pytest.skip(
            "EXAMINE_DATA is not set: it names the folder that holds lc25000_96/ and the other "
            "real image sets"
        )
    return pathlib.Path(folder)
