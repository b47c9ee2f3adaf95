"""What pixels and features say about the usability of images."""

from examine_jax.quality.by_kind import find_by_kind
from examine_jax.quality.description import DESCRIPTORS, describe
from examine_jax.quality.findings import Findings, find
from examine_jax.quality.measures import FINDINGS

__all__ = ["DESCRIPTORS", "FINDINGS", "Findings", "describe", "find", "find_by_kind"]
