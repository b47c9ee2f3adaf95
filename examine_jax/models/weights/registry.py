"""All families of weights that can be read from a folder. A new family is added here."""

from examine_jax.models.weights.dinov2 import DINOv2Family
from examine_jax.models.weights.imported import Family
from examine_jax.models.weights.resnet import ResNetFamily, TimmResNetFamily
from examine_jax.models.weights.vit import ViTFamily
from examine_jax.models.weights.vit_mae import ViTMAEFamily

FAMILIES: tuple[Family, ...] = (
    ViTMAEFamily(),
    ViTFamily(),
    DINOv2Family(),
    ResNetFamily(),
    TimmResNetFamily(),
)
