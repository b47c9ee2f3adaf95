"""An encoder that a training goes on from: read, fingerprinted, and put to a method."""

import dataclasses
import os
import pathlib
from typing import Any

from examine_jax.common.shapes import PyTree
from examine_jax.encoders.adapter import BaseOfAdapter, is_adapter
from examine_jax.encoders.encoder import Encoder
from examine_jax.encoders.load import load_at, load_encoder
from examine_jax.encoders.resized import (
    network_shapes,
    same_weights,
    shapes_by_name,
    shown_shape,
)
from examine_jax.encoders.save import save_encoder
from examine_jax.models import DecoderConfig, ViTConfig
from examine_jax.models.architectures import Architecture
from examine_jax.pretraining import method_preset
from examine_jax.pretraining.changed import with_pixels
from examine_jax.pretraining.from_encoder import FromEncoder
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.training.method import EncoderConfig, Method
from examine_jax.training.settings import PretrainSettings

# facebookresearch/mae's decoder, and this library's for transformers that are less wide.
_DECODER = DecoderConfig(width=512, depth=8, heads=16, mlp_width=2048)
_SMALL_DECODER = DecoderConfig(width=96, depth=2, heads=3, mlp_width=384)
_LEAST_WIDTH = 384


@dataclasses.dataclass(frozen=True, eq=False)
class Base:
    """An encoder that a training goes on from.

    Attributes:
        encoder: as it was loaded, at the image size that the training uses.
        name: of its folder, without the path.
        path: where it was read.
        fingerprint: identifies its weights; the same at all image sizes.
    """

    encoder: Encoder
    name: str
    path: pathlib.Path
    fingerprint: str

    @property
    def architecture(self) -> Architecture:
        """Its network, and the decoder that an autoencoder trains with it.

        The decoder is of the base's own shape, if it has one.
        """
        config: Any = self.encoder.method.encoder
        decoder = getattr(self.encoder.method, "decoder", None)
        if decoder is None and isinstance(config, ViTConfig):
            decoder = _DECODER if config.width >= _LEAST_WIDTH else _SMALL_DECODER
        return Architecture(config, decoder)

    @property
    def pixels(self) -> PixelScale:
        """How it takes pixels."""
        return getattr(self.encoder.method, "pixels", PixelScale())

    @property
    def params(self) -> PyTree:
        """The network's own parameters."""
        own: PyTree = self.encoder.params["encoder"]
        return own

    @property
    def batch_stats(self) -> PyTree:
        """The network's own batch statistics; {} if it has none."""
        own: PyTree = self.encoder.state.get("batch_stats", {}).get("encoder", {})
        return own

    @property
    def is_adapted(self) -> bool:
        """Whether its weights are those of an adapter and its base together."""
        return "low_rank" in self.encoder.training

    def described(self) -> dict[str, Any]:
        """What a folder of an encoder that went on from it says of it."""
        known = self.encoder.training.get("known_encoder")
        found = {"name": self.name, "fingerprint": self.fingerprint}
        return found if known is None else {**found, "known_encoder": known}

    def of_adapter(self) -> BaseOfAdapter:
        """What the folder of an adapter says of it."""
        return BaseOfAdapter(self.name, self.fingerprint, str(self.path), self.encoder.image_size)

    def start(self, method: Method) -> FromEncoder:
        """What `training.loop.train` takes as the start of a training of `method`.

        Raises:
            ValueError: the method's network differs; the message names the tensor.
        """
        self.check(method.encoder)
        return FromEncoder(method, self.params, self.batch_stats)

    def check(self, config: EncoderConfig) -> None:
        """Raises a ValueError that names the tensor in which a network and this one differ.

        How a network is computed (`dtype`, `remat`) is no difference.
        """
        own: Any = self.encoder.method.encoder
        if same_weights(own, config):
            return
        found = shapes_by_name((self.params, self.batch_stats))
        wanted = shapes_by_name(network_shapes(config))
        for name in dict.fromkeys([*wanted, *found]):
            if wanted.get(name) != found.get(name):
                raise ValueError(
                    f"{self.name}: the tensor {name} is {shown_shape(found.get(name))} there, the "
                    f"network that is to be trained has {shown_shape(wanted.get(name))}; leave "
                    "architecture and channels away to train the network that is there"
                )
        for field in ("heads", "patch_size"):
            there, here = getattr(own, field, None), getattr(config, field, None)
            if there != here:
                tensor = "block_0.attention.qkv.kernel" if field == "heads" else "patch_embedding"
                raise ValueError(
                    f"{self.name}: the tensor {tensor} is of {field} {there} there, of {here} in "
                    "the network that is to be trained; leave architecture away to train the "
                    "network that is there"
                )
        raise ValueError(
            f"{self.name} is another network than the one that is to be trained: {own} there, "
            f"{config} here"
        )


def load_base(folder: str | os.PathLike[str], *, image_size: int | None = None) -> Base:
    """Reads an encoder that a training goes on from.

    Args:
        folder: as in `load_encoder`.
        image_size: None: the encoder's own. At another one a transformer's positions are
            resampled: those of another library's folder as that library does it, those of a
            folder of ours by an antialiased bicubic kernel, as timm does it.

    Raises:
        ValueError: as `load_encoder`; or the network is bound to its image size.
    """
    path = pathlib.Path(folder)
    encoder, fingerprint = load_at(path, image_size)
    name = path.name or path.resolve().name
    if name == "encoder":  # what every training calls its folder
        name = f"{path.resolve().parent.name}/encoder"
    return Base(encoder, name, path.resolve(), fingerprint)


def merge_adapter(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    base: str | os.PathLike[str] | None = None,
) -> None:
    """Writes an adapter and its base as one ordinary encoder's folder.

    It squashes images to its size, as the adapter's training did, also where the base crops them.

    Args:
        folder: the adapter's.
        output: where.
        base: where the base is; None: where it was when the adapter was trained.

    Raises:
        ValueError: the folder is no adapter's; or as `load_encoder` and `save_encoder`.
        OSError: the folder cannot be written.
    """
    if not is_adapter(pathlib.Path(folder)):
        raise ValueError(f"{folder} is no adapter's folder: there is nothing to merge")
    encoder = load_encoder(folder, base=base)
    training = {name: value for name, value in encoder.training.items() if name != "low_rank"}
    save_encoder(output, encoder.method, encoder.params, encoder.state, training)


def method_from(
    base: Base,
    name: str,
    *,
    preset: str = "small",
    steps: int | None = None,
    num_images: int | None = None,
) -> tuple[Method, PretrainSettings]:
    """A method that trains the base's network, with the base's scale of pixels.

    Args:
        base: the encoder.
        name, preset, steps, num_images: as in `method_preset`.

    Raises:
        ValueError: as `method_preset`; a method of masked or decoded patches, and the network is
            no plain vision transformer.
    """
    method, settings = method_preset(
        name, base.architecture, preset=preset, steps=steps, num_images=num_images
    )
    return with_pixels(method, base.pixels), settings
