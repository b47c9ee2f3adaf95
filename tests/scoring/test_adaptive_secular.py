"""The Krylov path is as good as the full one where it certifies itself; else it is the full one."""

import numpy as np
import pytest

from examine_jax.scoring import AdaptiveSecular, MaskedPower, Path, Secular, examine
from examine_jax.scoring.leave_one_out import default_solver
from tests.support.spectra import with_spectrum

COUNT, WIDTH = 4500, 100  # two blocks of rows and a ragged one


def features_like(name: str) -> np.ndarray:
    generator = np.random.default_rng(0)
    index = np.arange(WIDTH)
    rows = generator.normal(size=(COUNT, WIDTH))
    if name == "mean-and-decaying":  # what trained encoders make
        return rows * np.exp(-index / 5) + generator.normal(size=WIDTH)
    if name == "decaying":
        return with_spectrum(COUNT, WIDTH, np.exp(-index / 3.0), 0)
    if name == "one-outlying-row":
        rows[7] *= 1000
        return rows
    if name == "rank-one":
        return np.outer(rows[:, 0], generator.normal(size=WIDTH))
    if name == "zeros":
        return np.zeros((COUNT, WIDTH))
    if name == "slowly-decaying":
        return rows / (1 + index) ** 0.1
    if name == "tied":
        return with_spectrum(COUNT, WIDTH, np.r_[5, 5, np.exp(-index[2:] / 3.0)], 0)
    # A strong direction of few rows that is orthogonal to most: what a start vector could miss.
    rows = np.zeros((COUNT, WIDTH))
    rows[:, 0] = 1
    rows[:40, 1:41] = 30 * np.eye(40)
    return rows


@pytest.mark.parametrize("center", [False, True], ids=["as-is", "centred"])
@pytest.mark.parametrize(
    "name",
    [
        "mean-and-decaying",
        "decaying",
        "one-outlying-row",
        "rank-one",
        "zeros",
        "slowly-decaying",
        "tied",
        "many-strong-rows",
    ],
)
def test_gaps_equal_those_in_float64_and_the_bound_holds(name: str, center: bool) -> None:
    features = features_like(name).astype(np.float32)
    exact = examine(features.astype(np.float64), solver=Secular(), center=center)
    found = examine(features, solver=AdaptiveSecular(), center=center)
    reference = np.asarray(exact.gap)
    error = np.abs(np.asarray(found.gap, np.float64) - reference)
    assert error.max() <= 1e-6 * reference.max()
    big = reference > 0.01 * reference.max()
    assert (error[big] <= 1e-5 * reference[big]).all()
    assert (
        error <= np.asarray(found.error_bound, np.float64) + np.asarray(exact.error_bound)
    ).all()


def test_the_path_taken_is_reported() -> None:
    quick = examine(features_like("mean-and-decaying").astype(np.float32), solver=AdaptiveSecular())
    slow = examine(features_like("slowly-decaying").astype(np.float32), solver=AdaptiveSecular())
    assert int(quick.diagnostics.path) == Path.KRYLOV
    assert int(slow.diagnostics.path) in (Path.FULL_FLOAT32, Path.FULL_FLOAT64)


def test_an_unreachable_tolerance_takes_the_full_path() -> None:
    features = features_like("mean-and-decaying").astype(np.float32)
    found = examine(features, solver=AdaptiveSecular(tolerance=1e-12))
    assert int(found.diagnostics.path) != Path.KRYLOV


def test_the_default_solver_goes_by_shape() -> None:
    assert default_solver((100_000, 768), np.dtype(np.float32)) == AdaptiveSecular()
    assert default_solver((100_000, 768), np.dtype(np.float64)) == Secular()
    assert default_solver((500, 1024), np.dtype(np.float32)) == Secular()
    assert default_solver((5_000, 64), np.dtype(np.float32)) == Secular()


def test_knobs_are_checked_where_they_are_made() -> None:
    with pytest.raises(ValueError, match="tolerance"):
        AdaptiveSecular(tolerance=2.0)
    with pytest.raises(ValueError, match="max_passes"):
        AdaptiveSecular(max_passes=1)
    assert hash(AdaptiveSecular()) != hash(MaskedPower())
