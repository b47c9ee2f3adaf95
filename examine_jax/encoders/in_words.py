"""What an encoder that others trained is, in words for a page or a terminal."""

from examine_jax.encoders.encoder import Encoder
from examine_jax.models import ViTConfig
from examine_jax.models.weights.encoder_table import known_encoder

_KINDS = {ViTConfig: "vision transformer"}
_FEATURES = {
    "mean": "mean of the patches",
    "class_token": "class token",
    "class_and_mean": "class token and mean of the patches",
    "attention": "attention pooling",
}


def of_others(encoder: Encoder) -> str | None:
    """The folder, the network, the feature, and what the table of encoders knows; None: ours."""
    folder = encoder.training.get("imported_from")
    if folder is None:
        return None
    config = encoder.method.encoder
    kind = _KINDS.get(type(config), type(config).__name__.removesuffix("Config"))
    if encoder.readout is not None:
        layers = ", ".join(map(str, encoder.readout.layers))
        feature = encoder.readout.feature.replace("_", " ")
        feature += f" of the layers {layers}" if layers else ""
    elif isinstance(config, ViTConfig):
        feature = _FEATURES[config.pooling]
        feature += ", projected" if config.parts.projection else ""
    else:
        feature = "mean of the last map"
    text = (
        f"the encoder {folder}, which others trained ({kind} at {encoder.image_size} px: {feature}"
    )
    known = encoder.training.get("known_encoder")
    if known is None:
        return f"{text})"
    row = known_encoder(known, str(folder))
    return f"{text}; known as {row.name} ({row.hub}), licence {row.licence})"
