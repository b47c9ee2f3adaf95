"""What an encoder that others trained is, in words for a page or a terminal."""

from examine_jax.encoders.encoder import Encoder
from examine_jax.models import SAMConfig, ViTConfig
from examine_jax.models.weights.encoder_table import known_encoder

_KINDS = {ViTConfig: "vision transformer", SAMConfig: "SAM"}
_FEATURES = {
    "mean": "mean of the patches",
    "class_token": "class token",
    "class_and_mean": "class token and mean of the patches",
    "attention": "attention pooling",
    "neck": "mean of the neck's map",
}


def of_others(encoder: Encoder) -> str | None:
    """The folder, the network, the feature, and what the table of encoders knows; None: ours."""
    folder = encoder.training.get("imported_from")
    if folder is None:
        return None
    text = (
        f"the encoder {folder}, which others trained ({kind_in_words(encoder)} at "
        f"{encoder.image_size} px: {feature_in_words(encoder)}"
        f"{'' if encoder.framing is None else f'; images: {encoder.framing}'}"
    )
    known = encoder.training.get("known_encoder")
    if known is None:
        return f"{text})"
    row = known_encoder(known, str(folder))
    return f"{text}; known as {row.name} ({row.hub}), licence {row.licence})"


def kind_in_words(encoder: Encoder) -> str:
    """What kind of network it is."""
    config = encoder.method.encoder
    return _KINDS.get(type(config), type(config).__name__.removesuffix("Config"))


def feature_in_words(encoder: Encoder) -> str:
    """Which of the network's outputs are the features."""
    config = encoder.method.encoder
    if encoder.readout is not None:
        layers = ", ".join(map(str, encoder.readout.layers))
        feature = encoder.readout.feature.replace("_", " ")
        return feature + (f" of the layers {layers}" if layers else "")
    if isinstance(config, ViTConfig):
        projected = ", projected" if config.parts.projection else ""
        return _FEATURES[config.pooling] + projected
    if isinstance(config, SAMConfig):
        return _FEATURES[config.pooling]
    return "mean of the last map"
