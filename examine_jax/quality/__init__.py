"""What pixels and features say about the usability of images."""

from examine_jax.quality.description import DESCRIPTORS, describe

__all__ = ["DESCRIPTORS", "describe"]
