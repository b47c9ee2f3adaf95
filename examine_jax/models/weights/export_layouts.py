"""Networks of ours in other libraries' layouts: one function for each kind of network."""

from collections.abc import Callable
from typing import Any

from examine_jax.common.shapes import PyTree
from examine_jax.models.convnext import ConvNeXtConfig
from examine_jax.models.resnet import ResNetConfig
from examine_jax.models.vit import ViTConfig
from examine_jax.models.weights.convnext_tensors import convnext_to_timm, convnext_to_transformers
from examine_jax.models.weights.resnet_tensors import resnet_to_timm, resnet_to_transformers
from examine_jax.models.weights.vit_to_timm import vit_to_timm
from examine_jax.models.weights.vit_to_transformers import vit_to_transformers
from examine_jax.models.weights.written import WrittenNetwork

# From (configuration, params, batch_stats).
Layout = Callable[[Any, PyTree, PyTree], WrittenNetwork]

# A new network is a line in each.
TRANSFORMERS: dict[type, Layout] = {
    ViTConfig: vit_to_transformers,
    ResNetConfig: resnet_to_transformers,
    ConvNeXtConfig: convnext_to_transformers,
}
TIMM: dict[type, Layout] = {
    ViTConfig: vit_to_timm,
    ResNetConfig: resnet_to_timm,
    ConvNeXtConfig: convnext_to_timm,
}
