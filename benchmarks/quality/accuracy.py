"""Measures the gap's error for every solver over the tests' table of spectra.

The reference is NumPy's SVD in float64, with the row deleted.

python -m benchmarks.quality.accuracy --output=benchmarks/results/FILE.csv

A line a solver and spectrum: the largest error relative to the largest gap; the largest relative to
the row's own gap among rows over 1% of the largest; the largest error over its bound (1 or less:
the bound holds); all beyond the reference's own rounding, in the last column.
"""

import numpy as np
from absl import app, flags

from examine_jax.reporting.tables import write_table
from examine_jax.scoring import DenseSVD, MaskedPower, Secular, examine
from tests.support.spectra import SPECTRA, reference_gaps

_OUTPUT = flags.DEFINE_string("output", None, "A CSV file.", required=True)
_HEADER = (
    "solver",
    "features",
    "centred",
    "of_largest_gap",
    "of_own_gap",
    "of_error_bound",
    "reference_rounding",
)


def main(_: list[str]) -> None:
    lines = []
    for solver in (Secular(), MaskedPower(), DenseSVD()):
        for center in (False, True):
            for name, matrix in SPECTRA.items():
                features = matrix.astype(np.float32)
                gaps, noise = reference_gaps(features, center)
                found = examine(features, solver=solver, center=center)
                error = np.maximum(np.abs(np.asarray(found.gap, np.float64) - gaps) - noise, 0)
                largest = max(gaps.max(), 1e-300)
                big = gaps > 0.01 * largest
                own = (error[big] / gaps[big]).max() if big.any() else 0.0
                bound = (
                    error / np.maximum(np.asarray(found.error_bound, np.float64), 1e-300)
                ).max()
                figures = (error.max() / largest, own, bound, noise / largest)
                lines.append(
                    (
                        type(solver).__name__,
                        name,
                        str(center),
                        *(f"{figure:.1e}" for figure in figures),
                    )
                )
    write_table(_OUTPUT.value, _HEADER, lines)
    for solver in ("Secular", "MaskedPower", "DenseSVD"):
        mine = [line for line in lines if line[0] == solver]
        print(solver, *(max(float(line[column]) for line in mine) for column in (3, 4, 5)))


if __name__ == "__main__":
    app.run(main)
