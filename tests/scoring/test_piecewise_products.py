"""Products of exact float32 pieces: their accuracy, the solvers on them, and their float64 work."""

import fractions

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.quality.matrix_work import operations
from examine_jax.scoring import AdaptiveSecular, Path, Secular, examine
from examine_jax.scoring.equations.float64 import float64_types
from examine_jax.scoring.equations.piecewise_products import (
    has_fast_float64,
    product_error,
    products_with,
)
from tests.scoring.test_adaptive_secular import features_like

RANDOM = np.random.default_rng(0)


def equal_short_rows_and_a_long_one(length: float) -> np.ndarray:
    rows = np.tile(length * RANDOM.standard_normal(64), (2048, 1))
    rows[0] = RANDOM.standard_normal(64)
    return rows


ROWS = {
    "normal": RANDOM.standard_normal((1500, 192)),
    "far from the origin": 100 + RANDOM.standard_normal((1500, 64)),
    "of many magnitudes": RANDOM.standard_normal((1500, 64))
    * np.exp(4 * RANDOM.standard_normal((1500, 64))),
    "long and short": RANDOM.standard_normal((1500, 64))
    * np.exp(10 * RANDOM.standard_normal((1500, 1))),
    "one large channel": np.concatenate([np.ones((30, 1)), np.full((30, 767), 0.004985)], 1),
    "a long row and equal ones of 0.1": equal_short_rows_and_a_long_one(0.1),
    "a long row and equal ones of 0.001": equal_short_rows_and_a_long_one(1e-3),
    "a long row and equal ones of 1e-5": equal_short_rows_and_a_long_one(1e-5),
    "constant": np.full((1500, 64), 0.1),
    "wider than one sum": RANDOM.standard_normal((40, 2500)),
    "tiny": 1e-33 * RANDOM.standard_normal((40, 64)),
    "huge": np.clip(1e38 * RANDOM.standard_normal((40, 64)), -3e38, 3e38),
    "zero": np.zeros((5, 7)),
    "one": np.ones((1, 1)),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ROWS)
def test_products_of_pieces_equal_those_in_float64(kind: str, dtype: type) -> None:
    rows = ROWS[kind].astype(np.float32).astype(dtype)
    exact = rows.astype(np.float64)
    directions = RANDOM.standard_normal((rows.shape[1], min(8, rows.shape[1])))
    scale = max(np.abs(exact).max(), 1e-300)
    directions[:, 0] += 1e3 * (exact / scale).mean(0)
    vectors = np.linalg.qr(directions)[0]
    with float64_types():
        found = products_with(jnp.asarray(rows), "pieces")
        times = np.asarray(found.times(jnp.asarray(vectors)))
        back = np.asarray(found.transposed_times(jnp.asarray(exact @ vectors)))
    bound = product_error("pieces", rows.shape[1])
    lengths = np.linalg.norm(exact, axis=1)
    assert (np.abs(times - exact @ vectors) <= bound * lengths[:, None]).all()
    whole = np.linalg.norm(lengths) * np.linalg.norm(exact @ vectors, axis=0)
    assert (np.abs(back - exact.T @ (exact @ vectors)) <= bound * whole).all()


def test_products_of_whole_numbers_are_exact() -> None:
    rows = RANDOM.integers(-(2**11), 2**11, (30, 3000)).astype(np.float32)
    vector = RANDOM.integers(-(2**11), 2**11, 3000).astype(np.float64)
    with float64_types():
        found = products_with(jnp.asarray(rows), "pieces").times(jnp.asarray(vector[:, None]))
    for row, product in zip(rows, np.asarray(found)[:, 0]):
        true = sum(fractions.Fraction(float(a)) * int(b) for a, b in zip(row, vector))
        assert fractions.Fraction(float(product)) == true


@pytest.mark.parametrize("center", [False, True], ids=["as-is", "centred"])
@pytest.mark.parametrize(
    "name", ["mean-and-decaying", "one-outlying-row", "tied", "zeros", "many-strong-rows"]
)
def test_bounds_hold_with_products_of_pieces(
    name: str, center: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At this size, products are cheap enough for float64 otherwise. Some rows take the full path.
    monkeypatch.setattr("examine_jax.scoring.solvers.secular.CHEAP_PRODUCT", 2**20)
    features = features_like(name)[:4490].astype(np.float32)
    exact = examine(features.astype(np.float64), solver=Secular(), center=center)
    found = examine(features, solver=AdaptiveSecular(products="pieces"), center=center)
    error = np.abs(np.asarray(found.gap, np.float64) - np.asarray(exact.gap))
    allowed = np.asarray(found.error_bound, np.float64) + np.asarray(exact.error_bound)
    assert (error <= allowed).all()
    assert error.max() <= 1e-6 * np.asarray(exact.gap).max()
    if name == "mean-and-decaying" and not center:
        assert int(found.diagnostics.path) == Path.KRYLOV


def test_a_pass_in_pieces_multiplies_in_float32_alone() -> None:
    def one_pass(products: str) -> dict[str, float]:
        def pass_(rows: jax.Array, vectors: jax.Array) -> jax.Array:
            block = products_with(rows, products)  # type: ignore[arg-type]
            return block.transposed_times(block.times(vectors))

        with float64_types():
            exported = jax.export.export(jax.jit(pass_), platforms=["cuda"])(
                jax.ShapeDtypeStruct((2048, 768), jnp.float32),
                jax.ShapeDtypeStruct((768, 8), jnp.float64),
            )
        return operations(exported.mlir_module())

    pieces = one_pass("pieces")
    assert one_pass("float64") == {"f32": 0.0, "f64": 4.0 * 2048 * 768 * 8}
    assert pieces["f64"] == 0
    assert pieces["f32"] == (20 + 25) * 2.0 * 2048 * 768 * 8


FAST = (
    *("Tesla P100-PCIE-16GB", "Tesla V100S-PCIE-32GB", "Quadro GV100", "NVIDIA A30"),
    *("NVIDIA A100-SXM4-80GB", "NVIDIA A800-SXM4-80GB", "NVIDIA H100 80GB HBM3", "NVIDIA H800"),
    *("NVIDIA H200", "NVIDIA GH200 480GB", "NVIDIA B200", "NVIDIA GB200"),
    *("AMD Instinct MI100", "AMD Instinct MI210", "AMD Instinct MI250X", "AMD Instinct MI300X"),
)
SLOW = (
    *("NVIDIA RTX A1000", "NVIDIA RTX A3000 Laptop GPU", "Quadro P1000", "NVIDIA A10", "Tesla T4"),
    *("NVIDIA L40S", "NVIDIA GeForce RTX 4090", "NVIDIA H20", "NVIDIA B300", "TPU v4"),
)


@pytest.mark.parametrize(("kinds", "fast"), [(FAST, True), (SLOW, False)])
def test_cards_with_fast_float64_are_known_by_name(kinds: tuple[str, ...], fast: bool) -> None:
    assert {kind: has_fast_float64(kind) for kind in kinds} == dict.fromkeys(kinds, fast)
