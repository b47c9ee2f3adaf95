"""DINOv3's ConvNeXts in transformers' format; timm's and Meta's are read as ConvNeXts."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from examine_jax.models.weights.configuration import (
    positive_number,
    refuse_unknown_fields,
    whole_number,
)
from examine_jax.models.weights.convnext import check_sizes, read_convnext
from examine_jax.models.weights.imported import IMAGENET, ImportedNetwork, StoredNetwork
from examine_jax.models.weights.transformer import activation, renamed

# To timm's names. Version 5 writes the names of version 4, without "model.".
_NAMES = (
    (r"^model\.", ""),
    (r"^stages\.0\.downsample_layers\.", "stem."),
    (r"^stages\.(\d+)\.downsample_layers\.", r"stages.\1.downsample."),
    (r"^stages\.(\d+)\.layers\.", r"stages.\1.blocks."),
    (r"\.depthwise_conv\.", ".conv_dw."),
    (r"\.layer_norm\.", ".norm."),
    (r"\.pointwise_conv([12])\.", r".mlp.fc\1."),
    (r"^layer_norm\.", "head.norm."),
)
_FIELDS = frozenset(
    {"num_channels", "hidden_sizes", "depths", "hidden_act", "layer_norm_eps", "image_size"}
    | {"layer_scale_init_value"}
)


@dataclasses.dataclass(frozen=True)
class DINOv3ConvNeXtFamily:
    """transformers' ConvNeXts of DINOv3: the feature is the norm of the last map's mean."""

    name: str = "dinov3_convnext"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return configuration.get("model_type") == "dinov3_convnext"

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, where = stored.configuration, stored.where
        refuse_unknown_fields(configuration, _FIELDS, where)
        size = whole_number({"image_size": 224, **configuration}, "image_size", where)
        epsilon = positive_number(configuration, "layer_norm_eps", 1e-6, where)
        network = read_convnext(
            renamed(stored.tensors, _NAMES),
            image_size or stored.size_in_use(size),
            stored.preprocessor_normalisation() or IMAGENET,
            mlp=activation(configuration, where),
            epsilon=epsilon,
            head_epsilon=epsilon,
        )
        check_sizes(configuration, network.encoder, "hidden_sizes", where)
        return network
