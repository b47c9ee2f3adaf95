"""The solvers by name, for commands. For a new solver, add one file in solvers/ and a line here."""

from examine_jax.scoring.solvers.adaptive_secular import AdaptiveSecular
from examine_jax.scoring.solvers.dense_svd import DenseSVD
from examine_jax.scoring.solvers.masked_power import MaskedPower
from examine_jax.scoring.solvers.secular import Secular
from examine_jax.scoring.solvers.solver import Solver

SOLVERS: dict[str, type[Solver]] = {
    "secular": Secular,
    "adaptive_secular": AdaptiveSecular,
    "masked_power": MaskedPower,
    "dense_svd": DenseSVD,
}
