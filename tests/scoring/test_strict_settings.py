"""JAX's strict settings are the caller's: every function gives the same numbers under them."""

from collections.abc import Callable

import jax
import numpy as np
import pytest

from examine_jax.scoring import (
    SOLVERS,
    examine,
    examine_chunks,
    examine_groups,
    examine_ky_fan,
    examine_new_chunks,
    leave_one_out_singular_values,
    summarise_chunks,
)
from examine_jax.scoring.summary import SpectralSummary

ROWS = np.random.default_rng(0).normal(size=(24, 6)).astype(np.float32)
PART = ROWS[:8]
WHERE = np.arange(24) != 3
IDS = (np.arange(24) // 3).astype(np.uint8)

CALLS: dict[str, Callable[[], object]] = {
    **{f"examine-{name}": lambda solver=solver: examine(ROWS, solver=solver())
       for name, solver in SOLVERS.items()},
    "examine-centred": lambda: examine(ROWS, center=True, where=WHERE),
    "examine-float64": lambda: examine(ROWS.astype(np.float64)),
    "examine-jit": lambda: jax.jit(examine)(ROWS),
    "examine-vmap": lambda: jax.vmap(examine)(np.stack([ROWS, ROWS])),
    "groups": lambda: examine_groups(ROWS, IDS, num_groups=8, center=True, where=WHERE),
    "top-k": lambda: leave_one_out_singular_values(ROWS, 2, center=True, where=WHERE),
    "ky-fan": lambda: examine_ky_fan(ROWS, 2),
    "grad": lambda: jax.grad(lambda rows: examine(rows, center=True, where=WHERE).gap[0])(ROWS),
    "jvp": lambda: jax.jvp(lambda rows: examine(rows).score, (ROWS,), (ROWS,)),
    "summary": lambda: SpectralSummary.of(ROWS, WHERE),
    "summary-update": lambda: SpectralSummary.of(ROWS).update(PART),
    "summary-merge": lambda: SpectralSummary.of(ROWS).merge(SpectralSummary.of(PART)),
    "summary-remove": lambda: SpectralSummary.of(ROWS).remove(PART),
    "summary-examine": lambda: SpectralSummary.of(ROWS).examine(PART, center=True),
    "summary-examine-new": lambda: SpectralSummary.of(ROWS).examine_new(PART),
    "summary-jit": lambda: jax.jit(lambda rows: SpectralSummary.of(rows).examine(rows))(ROWS),
    "chunks": lambda: examine_chunks([ROWS, PART], center=True),
    "chunks-new": lambda: examine_new_chunks([PART], summarise_chunks([ROWS]).spectrum()),
}  # fmt: skip


@pytest.mark.parametrize("wide", [False, True], ids=["x64-off", "x64-on"])
@pytest.mark.parametrize("name", CALLS)
def test_strict_promotion_of_dtypes_and_ranks_changes_nothing(name: str, wide: bool) -> None:
    with (
        jax.enable_x64(wide),
        jax.numpy_dtype_promotion("strict"),
        jax.numpy_rank_promotion("raise"),
    ):
        strict = jax.tree.leaves(CALLS[name]())
    usual = jax.tree.leaves(CALLS[name]())
    assert len(strict) == len(usual)
    for one, other in zip(strict, usual):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-12)
