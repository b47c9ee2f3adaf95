"""Features [N, D] in, scores out. Imports jax and numpy alone."""

from examine_jax.scoring.adaptive_secular import AdaptiveSecular
from examine_jax.scoring.dense_svd import DenseSVD
from examine_jax.scoring.examination import Diagnostics, Examination, Path
from examine_jax.scoring.examine import examine
from examine_jax.scoring.groups import GroupExamination, examine_groups
from examine_jax.scoring.masked_power import MaskedPower
from examine_jax.scoring.secular import Secular

__all__ = [
    "AdaptiveSecular",
    "DenseSVD",
    "Diagnostics",
    "Examination",
    "GroupExamination",
    "MaskedPower",
    "Path",
    "Secular",
    "examine",
    "examine_groups",
]
