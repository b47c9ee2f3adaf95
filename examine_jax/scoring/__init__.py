"""Features [N, D] in, scores out. Imports jax and numpy alone."""

from examine_jax.scoring.adaptive_secular import AdaptiveSecular
from examine_jax.scoring.dense_svd import DenseSVD
from examine_jax.scoring.examination import Diagnostics, Examination, Path
from examine_jax.scoring.examine import examine
from examine_jax.scoring.groups import GroupExamination, examine_groups
from examine_jax.scoring.masked_power import MaskedPower
from examine_jax.scoring.secular import Secular
from examine_jax.scoring.top_k import KyFanExamination, examine_ky_fan, leave_one_out_singular_values

__all__ = [
    "AdaptiveSecular",
    "DenseSVD",
    "Diagnostics",
    "Examination",
    "GroupExamination",
    "KyFanExamination",
    "MaskedPower",
    "Path",
    "Secular",
    "examine",
    "examine_groups",
    "examine_ky_fan",
    "leave_one_out_singular_values",
]
