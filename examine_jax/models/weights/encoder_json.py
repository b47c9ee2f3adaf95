"""encoder.json: what a user says of an encoder whose own files say too little, or it wrong."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any, get_args

from examine_jax.images.decoding.framing import Interpolation, Rule
from examine_jax.models.weights.configuration import is_number, read_json

FILE = "encoder.json"
LARGEST_IMAGE = 1 << 13  # side in pixels; positions of more would fill any memory
# What the file may say for a feature, and the pooling of a transformer that it stands for.
FEATURES: dict[str, str] = {
    "class_token": "class_token",
    "patch_mean": "mean",
    "class_and_mean": "class_and_mean",
    "attention": "attention",
    "neck_mean": "neck",
}


@dataclasses.dataclass(frozen=True)
class EncoderDescription:
    """The content of an encoder.json. None: the encoder's own files say it.

    Attributes:
        known: the name of a row of the table of encoders (encoder_table.py), whose facts hold then.
        architecture: timm's name of the network, in place of config.json's.
        model_type: transformers' name of the network, in place of config.json's.
        configuration: further fields of config.json, with their values in place of its own; an
            object within is merged field by field.
        heads: attention heads of a vision transformer.
        weights: the file's name, in the same folder.
        prefix: what the encoder's tensors begin with; it is taken off, and tensors that begin
            otherwise are left out.
        ignored: what the names of tensors begin with that are no part of the encoder, such as a
            training's decoder.
        feature: one of FEATURES.
        image_size: side of the image in pixels.
        mean, deviation: of each channel of pixels in [0, 1], or one number for all.
        pixel_range: "image": each image's pixels are first stretched to [0, 1], as MedSAM's are;
            only for SAM's encoders. "given": they are not.
        resize: how images of any shape come to the size: "squash" or "shorter_side", as in
            `Framing`.
        interpolation: Pillow's kernel, as in `Framing`.
        resize_side: with "shorter_side", pixels of the shorter side before the crop.
        note: for people; it changes nothing.
    """

    known: str | None = None
    architecture: str | None = None
    model_type: str | None = None
    configuration: Mapping[str, Any] | None = None
    heads: int | None = None
    weights: str | None = None
    prefix: str | None = None
    ignored: tuple[str, ...] | None = None
    feature: str | None = None
    image_size: int | None = None
    mean: tuple[float, ...] | None = None
    deviation: tuple[float, ...] | None = None
    pixel_range: str | None = None
    resize: str | None = None
    interpolation: str | None = None
    resize_side: int | None = None
    note: str | None = None

    def configured(self, configuration: Mapping[str, Any]) -> dict[str, Any]:
        """config.json's content with this file's entries in place of its own."""
        changed = merged(configuration, self.configuration or {})
        if self.model_type is not None:  # it says which network, so timm's name gives way
            changed = {**changed, "model_type": self.model_type}
            changed.pop("architecture", None)
        if self.architecture is not None:
            changed["architecture"] = self.architecture
        if self.heads is not None and "model_cfg" not in changed:  # OpenCLIP's reader takes it
            if "architecture" in changed:
                changed = merged(changed, {"model_args": {"num_heads": self.heads}})
            elif "vision_config" in changed:
                heads = {"vision_config": {"num_attention_heads": self.heads}}
                changed = merged(changed, heads)
            else:
                changed["num_attention_heads"] = self.heads
        return changed


UNSAID = EncoderDescription()


def read_description(folder: pathlib.Path) -> EncoderDescription:
    """Reads a folder's encoder.json; without one, a description that says nothing.

    Raises:
        ValueError: an entry is unknown or of the wrong kind; the message names it.
    """
    file = folder / FILE
    if not file.is_file():
        return UNSAID
    content = read_json(file)
    known = [field.name for field in dataclasses.fields(EncoderDescription)]
    for name in content:
        if name not in known:
            raise ValueError(f"{file}: {name} is no entry; there are {', '.join(known)}")

    def refuse(name: str, wanted: str) -> None:
        raise ValueError(f"{file}: {name} is {content[name]!r:.40}; it must be {wanted}")

    values: dict[str, Any] = {}
    for name, value in content.items():
        if value is None:
            continue
        if name == "configuration":
            if not isinstance(value, dict):
                refuse(name, "an object with fields of config.json")
        elif name in ("heads", "image_size", "resize_side"):
            most = LARGEST_IMAGE
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                refuse(name, f"a whole number from 1 to {most}")
        elif name in ("mean", "deviation"):
            numbers = value if isinstance(value, list) else [value]
            if not numbers or not all(map(is_number, numbers)):
                refuse(name, "a number, or a list with one for each channel")
            if name == "deviation" and min(numbers) <= 0:
                refuse(name, "above 0")
            value = tuple(float(number) for number in numbers)
        elif name == "ignored":
            if not isinstance(value, list) or not all(
                isinstance(prefix, str) and prefix for prefix in value
            ):
                refuse(name, "a list of texts")
            value = tuple(value)
        elif not isinstance(value, str) or not value:
            refuse(name, "a text")
        values[name] = value
    for name, choices in (
        ("feature", tuple(FEATURES)),
        ("pixel_range", ("given", "image")),
        ("resize", get_args(Rule)),
        ("interpolation", get_args(Interpolation)),
    ):
        if name in values and values[name] not in choices:
            refuse(name, f"one of {', '.join(choices)}")
    if ("mean" in values) != ("deviation" in values):
        raise ValueError(f"{file}: mean and deviation go together; give both")
    if "mean" in values and len(values["mean"]) != len(values["deviation"]):
        raise ValueError(f"{file}: mean and deviation have different numbers of channels")
    if "resize_side" in values and values.get("resize") != "shorter_side":
        raise ValueError(f'{file}: resize_side is for "resize": "shorter_side"; give both')
    if "weights" in values and pathlib.PurePath(values["weights"]).name != values["weights"]:
        refuse("weights", "the name of a file in the same folder")
    return EncoderDescription(**values)


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """`old` with the entries of `new` in place of its own; objects are merged within."""
    changed = dict(old)
    for name, value in new.items():
        before = changed.get(name)
        if isinstance(before, dict) and isinstance(value, dict):
            value = merged(before, value)
        changed[name] = value
    return changed
