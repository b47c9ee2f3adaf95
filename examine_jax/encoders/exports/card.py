"""The model card of an encoder: what it is, what it takes and gives, and its licence."""

import dataclasses
import functools
import math
from typing import Any

import jax

from examine_jax.encoders.encoder import Encoder, features_of
from examine_jax.encoders.exports.export_format import parts_of
from examine_jax.encoders.in_words import feature_in_words, kind_in_words
from examine_jax.models.weights.encoder_table import known_encoder


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """What a model card says that the encoder does not tell.

    Attributes:
        name: the encoder's, for the title.
        licence: under which it is given away; None: its base's, else none is named.
        images: what it was trained on, in words; None: nothing is said.
    """

    name: str
    licence: str | None = None
    images: str | None = None


def card_text(
    encoder: Encoder, format: str, usage: str, card: ModelCard, difference: float | None
) -> str:
    """README.md in Markdown. It holds no path and no name of an image."""
    parts = parts_of(encoder)
    training = encoder.training
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(parts.params))
    size, channels = encoder.image_size, encoder.channels
    rows = {
        "network": f"{kind_in_words(encoder)}, {parameters:,} parameters",
        "trained by": _trained_by(encoder),
        "trained on": card.images or _images(training),
        "input": f"{size} x {size} pixels, {channels} channel{'s' if channels > 1 else ''}",
        "resize": f"{parts.framing}, by Pillow",
        "mean": _numbers(parts.mean),
        "deviation": _numbers(parts.deviation),
        "features": f"{_width(encoder)}, {feature_in_words(encoder)}",
        "licence": _licence(encoder, card),
        "format": _format(format, difference),
    }
    table = "\n".join(f"| {name} | {_one_line(value)} |" for name, value in rows.items() if value)
    return f"""# {_one_line(card.name)}

An encoder of images, written by examine_jax.

| | |
| --- | --- |
{table}

Mean and deviation are of pixels in [0, 1]: a network takes (pixels / 255 - mean) / deviation.

## Use

{usage}
Features are for research: compare them on images of your own before you rely on them.
"""


def _one_line(text: str) -> str:
    """A text as a cell of a table: a line break or a bar would end it."""
    return " ".join(text.split()).replace("|", "\\|")


def _trained_by(encoder: Encoder) -> str:
    training = encoder.training
    base = training.get("base")
    own = type(encoder.method).__name__
    own += f", {training['steps']} steps" if "steps" in training else ""
    known = training.get("known_encoder") or (base or {}).get("known_encoder")
    if "imported_from" in training:
        return "others" if known is None else f"others: {known_encoder(known, known).hub}"
    if base is None:
        return own
    # The name of the base's folder stays here: it may tell where the images come from.
    start = "another encoder" if known is None else known_encoder(known, known).hub
    return f"{own}, starting from {start}"


def _images(training: dict[str, Any]) -> str:
    return f"{training['images']} images" if "images" in training else ""


def _licence(encoder: Encoder, card: ModelCard) -> str:
    base = encoder.training.get("base") or {}
    known = encoder.training.get("known_encoder") or base.get("known_encoder")
    if known is not None:
        row = known_encoder(known, known)
        inherited = f"{row.licence} (that of {row.hub}, from which it comes)"
        return inherited if card.licence is None else f"{card.licence}; and {inherited}"
    if card.licence is not None:
        return card.licence
    if base or "imported_from" in encoder.training:
        return "that of the encoder from which it comes"
    return "none named: its owner decides who may use it"


def _format(format: str, difference: float | None) -> str:
    if difference is None:
        return f"{format}; not read back"
    return f"{format}; read back, features differ by {difference:.1e} of the largest at most"


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:.6g}" for value in values)


def _width(encoder: Encoder) -> str:
    size = encoder.image_size
    image = jax.ShapeDtypeStruct((1, size, size, encoder.channels), "uint8")
    compute = functools.partial(features_of, encoder.method, encoder.readout)
    shape = jax.eval_shape(compute, (encoder.params, encoder.state), image).shape[1:]
    return " x ".join(map(str, shape))
