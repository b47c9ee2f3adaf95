"""A network that others trained, as it is read from its files."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from examine_jax.common.shapes import PyTree
from examine_jax.images.decoding.framing import Framing
from examine_jax.models.convnext import ConvNeXtConfig
from examine_jax.models.densenet import DenseNetConfig
from examine_jax.models.efficientnet import EfficientNetConfig
from examine_jax.models.masked_autoencoder import DecoderConfig
from examine_jax.models.resnet import ResNetConfig
from examine_jax.models.sam import SAMConfig
from examine_jax.models.swin import SwinConfig
from examine_jax.models.vit import ViTConfig
from examine_jax.models.weights.configuration import positive_number, read_json
from examine_jax.models.weights.encoder_json import UNSAID, EncoderDescription
from examine_jax.models.weights.tensors import Tensors

# Mean and deviation of pixels in [0, 1], one for all channels or one each.
PixelNormalisation = tuple[tuple[float, ...], tuple[float, ...]]
IMAGENET: PixelNormalisation = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES: PixelNormalisation = ((0.5,), (0.5,))


@dataclasses.dataclass(frozen=True, eq=False)
class ImportedDecoder:
    """A ViTMAE's decoder.

    Attributes:
        config: its configuration.
        params: a MaskedDecoder's parameters.
        mask_ratio, norm_pix: the settings that it was trained with.
    """

    config: DecoderConfig
    params: PyTree
    mask_ratio: float
    norm_pix: bool


@dataclasses.dataclass(frozen=True, eq=False)
class ImportedNetwork:
    """A network with its weights.

    Attributes:
        encoder: its configuration.
        params, batch_stats: its module's, float32.
        pixel_mean, pixel_deviation: how pixels in [0, 1] are normalised; one number for all
            channels, or one each.
        decoder: a ViTMAE's, if its positions are the fixed ones; else None.
        known: the row of the table of encoders whose facts it has; None: it has none.
        framing: how images of any shape come to its size; None: squashed by the Lanczos kernel.
    """

    encoder: (
        ViTConfig
        | ResNetConfig
        | ConvNeXtConfig
        | EfficientNetConfig
        | DenseNetConfig
        | SwinConfig
        | SAMConfig
    )
    params: PyTree
    batch_stats: PyTree
    pixel_mean: tuple[float, ...]
    pixel_deviation: tuple[float, ...]
    decoder: ImportedDecoder | None = None
    known: str | None = None
    framing: Framing | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class StoredNetwork:
    """What a folder of another library holds.

    Attributes:
        folder: the folder.
        configuration: its config.json, with encoder.json's entries in place of its own.
        tensors: its weights.
        description: its encoder.json.
        configuration_file: the configuration's file in the folder.
    """

    folder: pathlib.Path
    configuration: Mapping[str, Any]
    tensors: Tensors
    description: EncoderDescription = UNSAID
    configuration_file: str = "config.json"

    @property
    def where(self) -> str:
        """The configuration's path, for messages."""
        return str(self.folder / self.configuration_file)

    def preprocessor_normalisation(self) -> PixelNormalisation | None:
        """What encoder.json or preprocessor_config.json says; None: neither says anything of it."""
        if self.description.mean is not None and self.description.deviation is not None:
            return self.description.mean, self.description.deviation
        settings, file = self._preprocessor()
        if settings is None:
            return None
        if settings.get("do_flip_channel_order"):
            raise ValueError(
                f"{file}: do_flip_channel_order is set: the encoder takes blue first, which cannot "
                "be done here"
            )
        # There, pixels are bytes * rescale_factor; here, bytes / 255.
        factor = 255.0
        if is_done(settings, "do_rescale"):
            factor *= positive_number(settings, "rescale_factor", 1 / 255, str(file))
        mean, deviation = settings.get("image_mean"), settings.get("image_std")
        if not is_done(settings, "do_normalize"):
            mean, deviation = [0.0], [1.0]
        return normalisation(mean, deviation, factor, file)

    def preprocessor_size(self) -> int | None:
        """The side of the square that preprocessor_config.json makes; None: it does not say."""
        settings = self.preprocessor_settings() or {}
        whole = settings.get("crop_pct") is not None or not settings.get("do_center_crop")
        size = settings.get("size" if whole else "crop_size")
        if isinstance(size, dict):
            sides = [
                size.get(name) for name in ("height", "width", "shortest_edge") if name in size
            ]
        else:
            sides = [size]
        side = sides[0] if len(set(map(str, sides))) == 1 else None
        return side if isinstance(side, int) and side > 0 else None

    def size_in_use(self, trained: int, patch: int = 1) -> int:
        """The side at which the folder's own processor gives images to a network of any size.

        Args:
            trained: the side that the configuration names; kept if the processor says none, or one
                that patches do not divide.
            patch: the side of the network's patches.
        """
        made = self.preprocessor_size()
        return trained if made is None or made % patch else made

    def preprocessor_settings(self) -> dict[str, Any] | None:
        """What preprocessor_config.json says; None: there is none."""
        return self._preprocessor()[0]

    def _preprocessor(self) -> tuple[dict[str, Any] | None, pathlib.Path]:
        file = self.folder / "preprocessor_config.json"
        settings: Any = read_json(file) if file.is_file() else None
        if settings is None:  # transformers 5 writes all processors into one file
            file = self.folder / "processor_config.json"
            settings = read_json(file).get("image_processor") if file.is_file() else None
        return (settings if isinstance(settings, dict) else None), file


@runtime_checkable
class Family(Protocol):
    """A kind of network whose files can be read: one file, and one line in registry.py.

    Attributes:
        name: how messages list it.
    """

    @property
    def name(self) -> str: ...

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        """Whether a folder's config.json is of this kind."""
        ...

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        """The network, at another image size where given."""
        ...


@runtime_checkable
class BareFamily(Protocol):
    """A kind of network that the names of its tensors tell, without a configuration."""

    def recognises(self, tensors: Tensors) -> bool:
        """Whether a state dict is of this kind."""
        ...

    def read(self, tensors: Tensors, image_size: int | None) -> ImportedNetwork:
        """The network, at another image size where given."""
        ...


def usual_pixels(
    said: PixelNormalisation | None, usual: PixelNormalisation, channels: int, where: str
) -> PixelNormalisation:
    """How pixels are normalised where files may say nothing of it.

    Args:
        said: what they say; None: nothing.
        usual: what holds then for images of three channels.
        channels: the encoder's.
        where: the configuration's file, for the message.

    Raises:
        ValueError: nothing is said, and the images have other than three channels.
    """
    if said is None and channels != 3:
        raise ValueError(
            f"{where}: the encoder takes images of {channels} channels, and nothing says how their "
            "pixels are normalised; say it in an encoder.json beside it: "
            '{"mean": [...], "deviation": [...]}, with one number for each channel'
        )
    return usual if said is None else said


def is_done(settings: Mapping[str, Any], step: str) -> bool:
    """Whether a preprocessor takes a step; without a word, or with null, it does."""
    value = settings.get(step)
    return True if value is None else bool(value)


def normalisation(
    mean: Any, deviation: Any, factor: float, where: pathlib.Path
) -> PixelNormalisation | None:
    """Mean and deviation divided by a factor; None where one of them is missing.

    Raises:
        ValueError: they are no lists of numbers.
    """
    if mean is None or deviation is None:
        return None
    try:
        means = tuple(float(value) / factor for value in mean)
        deviations = tuple(float(value) / factor for value in deviation)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(
            f"{where}: mean {mean!r} and deviation {deviation!r} are no lists of numbers"
        ) from error
    if (
        not means
        or len(means) != len(deviations)
        or not all(map(math.isfinite, means + deviations))
        or min(deviations) <= 0
    ):
        raise ValueError(
            f"{where}: mean {mean!r} and deviation {deviation!r} must be lists of one number for "
            "each channel, the deviation above 0"
        )
    return means, deviations
