"""transformers' CLIP: its vision tower, with the projection where there is one."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from examine_jax.common.on_device import on_device
from examine_jax.models.vit import ViTExtras
from examine_jax.models.weights.configuration import whole_number
from examine_jax.models.weights.imported import ImportedNetwork, StoredNetwork, usual_pixels
from examine_jax.models.weights.transformer import Biases, read_transformer, transformer_config
from examine_jax.models.weights.vision_tower import OF_TEXTS, tower_names, vision_configuration

# CLIPImageProcessor's, and open_clip's.
CLIP_PIXELS = (
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
)
# CLIPVisionConfig's.
_DEFAULTS = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_channels": 3,
    "image_size": 224,
    "patch_size": 32,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "projection_dim": 512,
}
_PROJECTION = "visual_projection.weight"


@dataclasses.dataclass(frozen=True)
class CLIPFamily:
    """CLIP, whole or the vision tower alone, with the projected class token as features.

    Without a projection in the file (CLIPVisionModel): the class token after the last norm.
    """

    name: str = "clip"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return configuration.get("model_type") in ("clip", "clip_vision_model")

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        tensors, where = stored.tensors, stored.where
        fields = vision_configuration(stored.configuration, _DEFAULTS, where)
        names = tower_names(tensors)
        projection = None
        if _PROJECTION in tensors.arrays:
            whole = stored.configuration.get("model_type") == "clip"
            holder = {**_DEFAULTS, **stored.configuration} if whole else fields
            projection = whole_number(holder, "projection_dim", where)
        config = transformer_config(
            fields,
            where,
            default_epsilon=1e-5,
            further=frozenset({"projection_dim"}),
            pooling="class_token",
            extras=ViTExtras(embedding_norm=True, projection=projection),
        )
        pixels = stored.preprocessor_normalisation()
        pixels = usual_pixels(pixels, CLIP_PIXELS, config.channels, where)
        network = read_transformer(
            tensors, config, names, image_size, pixels, biases=Biases(patches=False)
        )
        if projection is not None:
            kernel = tensors.take(_PROJECTION, (projection, config.width)).T
            network.params["projection"] = {"kernel": on_device(kernel)}
        tensors.refuse_unused(OF_TEXTS)
        return network
