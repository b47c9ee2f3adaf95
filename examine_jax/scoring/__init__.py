"""The scorer: features [N, D] in, EXAMINE scores out. Needs only jax and numpy."""

from examine_jax.scoring.chunks import examine_chunks, examine_new_chunks, summarise_chunks
from examine_jax.scoring.examination import Diagnostics, Examination, Path
from examine_jax.scoring.groups import GroupExamination, examine_groups
from examine_jax.scoring.leave_one_out import examine
from examine_jax.scoring.registry import SOLVERS
from examine_jax.scoring.solvers.adaptive_secular import AdaptiveSecular
from examine_jax.scoring.solvers.dense_svd import DenseSVD
from examine_jax.scoring.solvers.masked_power import MaskedPower
from examine_jax.scoring.solvers.secular import Secular
from examine_jax.scoring.solvers.solver import Solver
from examine_jax.scoring.spectrum import Newcomers, Spectrum
from examine_jax.scoring.summary import SpectralSummary
from examine_jax.scoring.top_k import (
    KyFanExamination,
    examine_ky_fan,
    leave_one_out_singular_values,
)

__all__ = [
    "SOLVERS",
    "AdaptiveSecular",
    "DenseSVD",
    "Diagnostics",
    "Examination",
    "GroupExamination",
    "KyFanExamination",
    "MaskedPower",
    "Newcomers",
    "Path",
    "Secular",
    "Solver",
    "SpectralSummary",
    "Spectrum",
    "examine",
    "examine_chunks",
    "examine_groups",
    "examine_ky_fan",
    "examine_new_chunks",
    "leave_one_out_singular_values",
    "summarise_chunks",
]
