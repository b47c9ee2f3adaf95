"""Summaries and results on their way through pickle, checkpoints and messages: float64 or refused.

JAX's 64-bit types are off, as is its default: then most of these turn float64 into float32.
"""

import copy
import functools
import pathlib
import pickle
from collections.abc import Callable

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint
import pytest

from examine_jax.scoring import (
    examine,
    examine_chunks,
    examine_groups,
    examine_ky_fan,
    examine_new_chunks,
)
from examine_jax.scoring.summary import SpectralSummary

ROWS = np.random.default_rng(0).normal(size=(24, 6)) + 100
PART = ROWS[:8]


def _pickled(value: tuple, protocol: int | None = None) -> tuple:
    return pickle.loads(pickle.dumps(value, protocol))  # noqa: S301


def _restored_by_orbax(summary: SpectralSummary, folder: pathlib.Path) -> SpectralSummary:
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(folder / "summary", summary)
        checkpointer.wait_until_finished()
        restored: SpectralSummary = checkpointer.restore(folder / "summary", summary)
    return restored


def _assert_same(one: tuple, other: tuple) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other)):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x, y)


KEEPING: dict[str, Callable[[tuple], tuple]] = {
    **{
        f"pickle-{protocol}": functools.partial(_pickled, protocol=protocol)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "msgpack": lambda value: flax.serialization.from_bytes(
        value, flax.serialization.to_bytes(value)
    ),
}


@pytest.mark.parametrize("way", KEEPING)
def test_what_arrives_is_float64_and_gives_the_same_scores(way: str) -> None:
    assert not jax.config.jax_enable_x64
    summary = SpectralSummary.of(ROWS)
    arrived = KEEPING[way](summary)
    assert isinstance(arrived, SpectralSummary)
    _assert_same(arrived, summary)
    spectrum = KEEPING[way](summary.spectrum(center=True))
    for one, other in (
        (arrived.examine(ROWS, center=True), summary.examine(ROWS, center=True)),
        (spectrum.examine(ROWS), summary.examine(ROWS, center=True)),
        (arrived.examine_new(PART), summary.examine_new(PART)),
        (spectrum.examine_new(PART), summary.examine_new(PART, center=True)),
        (arrived.merge(summary), summary.merge(summary)),
        (summary.merge(arrived), summary.merge(summary)),
        (arrived.update(PART), summary.update(PART)),
        (arrived.remove(PART), summary.remove(PART)),
    ):
        _assert_same(one, other)


def test_what_arrives_shares_no_memory_with_the_message() -> None:
    summary = SpectralSummary.of(ROWS)
    buffers: list[pickle.PickleBuffer] = []
    message = pickle.dumps(summary, 5, buffer_callback=buffers.append)
    received = []
    for buffer in buffers:
        content = np.frombuffer(buffer.raw(), np.uint8)
        memory = np.zeros(len(content) + 64, np.uint8)
        start = -memory.ctypes.data % 64  # where JAX takes over memory without a copy
        received.append(memory[start : start + len(content)])
        received[-1][:] = content
    arrived = pickle.loads(message, buffers=received)  # noqa: S301
    for memory in received:
        memory[:] = 0
    assert received
    _assert_same(arrived, summary)


def test_pickled_results_of_float64_rows_stay_float64() -> None:
    summary = SpectralSummary.of(ROWS)
    for result in (
        examine(ROWS),
        examine_groups(ROWS, np.arange(24) // 3, num_groups=8),
        examine_ky_fan(ROWS, 2),
        summary.examine_new(PART),
    ):
        _assert_same(_pickled(result), result)


def test_a_checkpoint_restored_with_64_bit_types_on_is_the_same(tmp_path: pathlib.Path) -> None:
    summary = SpectralSummary.of(ROWS)
    with jax.enable_x64(True):
        _assert_same(_restored_by_orbax(summary, tmp_path), summary)


LOSING: dict[str, Callable[[SpectralSummary, pathlib.Path], SpectralSummary]] = {
    "orbax": _restored_by_orbax,
    "through-numpy": lambda summary, folder: jax.device_put(jax.tree.map(np.asarray, summary)),
    "float32": lambda summary, folder: jax.tree.map(lambda x: x.astype(np.float32), summary),
    "one-array": lambda summary, folder: summary._replace(
        scatter=np.asarray(summary.scatter, np.float32)
    ),
    "bfloat16": lambda summary, folder: summary._replace(mean=summary.mean.astype(jnp.bfloat16)),
}


@pytest.mark.parametrize("way", LOSING)
def test_a_summary_that_lost_float64_is_refused_wherever_it_is_used(
    way: str, tmp_path: pathlib.Path
) -> None:
    good = SpectralSummary.of(ROWS)
    bad = LOSING[way](good, tmp_path)
    spectrum = good.spectrum()
    uses: dict[str, Callable[[], object]] = {
        "examine": lambda: bad.examine(ROWS),
        "examine_new": lambda: bad.examine_new(PART),
        "spectrum": bad.spectrum,
        "merge": lambda: bad.merge(good),
        "merge into": lambda: good.merge(bad),
        "update": lambda: bad.update(PART),
        "remove": lambda: bad.remove(PART),
        "save": lambda: bad.save(tmp_path / "bad.npz"),
        "chunks": lambda: examine_chunks([ROWS], summary=bad),
        "jit": lambda: jax.jit(lambda summary: summary.spectrum())(bad),
        "spectrum.examine": lambda: spectrum._replace(mean=bad.scatter).examine(ROWS),
        "spectrum.examine_new": lambda: spectrum._replace(mean=bad.scatter).examine_new(ROWS),
        "chunks of newcomers": lambda: examine_new_chunks(
            [ROWS], spectrum._replace(mean=bad.scatter)
        ),
    }
    if way == "bfloat16":
        uses = {name: use for name, use in uses.items() if not name.startswith("spectrum.")}
        del uses["chunks of newcomers"]
    for name, use in uses.items():
        with pytest.raises(ValueError, match="must be float64"):
            use()
        assert not (tmp_path / "bad.npz").exists(), name
