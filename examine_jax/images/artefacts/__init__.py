"""Artefacts of medical pictures, made to order: what makes an image unusable."""

from examine_jax.images.artefacts.artefact import MIDDLE, STRONG, WEAK, Artefact
from examine_jax.images.artefacts.corrupt import corrupt_with_artefacts
from examine_jax.images.artefacts.registry import ARTEFACTS, SUITED, named_artefact

__all__ = [
    "ARTEFACTS",
    "MIDDLE",
    "STRONG",
    "SUITED",
    "WEAK",
    "Artefact",
    "corrupt_with_artefacts",
    "named_artefact",
]
