"""One row of the table of encoders."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

Pixels = tuple[tuple[float, ...], tuple[float, ...]]

IMAGENET: Pixels = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES: Pixels = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CLIP: Pixels = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
H_OPTIMUS: Pixels = ((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))
HIBOU: Pixels = ((0.7068, 0.5755, 0.722), (0.195, 0.2316, 0.1816))
LUNIT: Pixels = ((0.70322989, 0.53606487, 0.66096631), (0.21716536, 0.26081574, 0.20723464))
PANDERM: Pixels = ((0.485, 0.456, 0.406), (0.228, 0.224, 0.225))
CHEXZERO: Pixels = ((101.48761 / 255,) * 3, (83.43944 / 255,) * 3)
# Grey values from -1024 to 1024.
TORCHXRAYVISION: Pixels = ((0.5,), (1 / 2048,))
_MEANS = {IMAGENET: "ImageNet", HALVES: "0.5 / 0.5", CLIP: "CLIP", H_OPTIMUS: "H-optimus"}
_MEANS |= {LUNIT: "Lunit", HIBOU: "Hibou", CHEXZERO: "CheXzero", PANDERM: "ImageNet, but 0.228"}
_MEANS |= {TORCHXRAYVISION: "-1024 to 1024"}


@dataclasses.dataclass(frozen=True, eq=False)
class KnownEncoder:
    """One row.

    Attributes:
        name: what encoder.json's `known` calls it.
        hub: its folder's name on the Hugging Face Hub, or where else it is.
        network: what it is, in words.
        feature: one of encoder_json.FEATURES.
        features: their number.
        image_size: in pixels.
        pixels: mean and deviation of pixels in [0, 1]; None: encoder.json must say them.
        licence, gate: of the weights. Read them yourself: they change.
        source: where the facts were read.
        configuration: fields of config.json for folders that lack them.
        tensors: shapes of tensors that only this encoder has; empty: the folder must be named.
        absent: tensors that it lacks.
        says_all: whether the folder's own files say all that is needed.
        pixel_range: as encoder.json's.
        shorter_side: pixels to which its authors resize the shorter side (bicubic) before they cut
            out the centre; None: the folder's files say it.
    """

    name: str
    hub: str
    network: str
    feature: str
    features: int
    image_size: int
    pixels: Pixels | None
    licence: str
    gate: str
    source: str
    configuration: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tensors: Mapping[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    absent: tuple[str, ...] = ()
    says_all: bool = False
    pixel_range: str | None = None
    shorter_side: int | None = None

    def matches(self, arrays: Mapping[str, np.ndarray]) -> bool:
        """Whether tensors are this encoder's, by their shapes."""
        return (
            bool(self.tensors)
            and all(
                name in arrays and arrays[name].shape == shape
                for name, shape in self.tensors.items()
            )
            and not any(name in arrays for name in self.absent)
        )

    @property
    def normalisation(self) -> str:
        """The name of its mean and deviation."""
        if self.pixels is None:
            return "say them in encoder.json"
        return "each image's own range" if self.pixel_range else _MEANS[self.pixels]


def timm_configuration(
    architecture: str, pixels: Pixels | None, size: int = 224, **arguments: Any
) -> dict[str, Any]:
    """What a timm folder's config.json says."""
    described: dict[str, Any] = {"input_size": [3, size, size]}
    if pixels is not None:
        described |= {"mean": list(pixels[0]), "std": list(pixels[1])}
    return {
        "architecture": architecture,
        "model_args": arguments,
        "pretrained_cfg": described,
    }
