"""Reads an encoder from local files: a folder of ours, or weights of other libraries."""

import os
import pathlib

from examine_jax.encoders.encoder import Encoder
from examine_jax.encoders.imported import ImportedEncoder, method_of
from examine_jax.encoders.save import read_encoder
from examine_jax.models.weights import read_json, read_network
from examine_jax.pretraining.registry import known_settings
from examine_jax.training.method import Method

KNOWN: tuple[type, ...] = (
    *known_settings(),
    ImportedEncoder,
)  # what an encoder's config.json may hold


def load_encoder(
    path: str | os.PathLike[str], *, method: Method | None = None, image_size: int | None = None
) -> Encoder:
    """Reads an encoder from local files.

    Args:
        path: an encoder's folder as `save_encoder` writes it; a folder of transformers (ViTMAE,
            ViT, DINOv2, ResNet) or timm (ResNet) with config.json and model.safetensors; or a
            .safetensors file with the state dict of a torchvision or timm ResNet. Pickles (.pth,
            .bin) are refused; the message gives the conversion to run.
        method: for a folder of ours whose method or network is your own class: the value that it
            was trained with.
        image_size: for others' networks: an image size other than the one they were trained at; a
            vision transformer's positions are resampled.

    Raises:
        ValueError: something is missing, of an unknown kind or version, or of another shape than
            config.json says; the message names it.
    """
    path = pathlib.Path(path)
    if path.is_dir() and (path / "config.json").is_file():
        configuration = read_json(path / "config.json")
        ours = "model_type" not in configuration and "architecture" not in configuration
    else:
        configuration, ours = {}, not path.is_file()
    if ours:
        if image_size is not None:
            raise ValueError(
                f"{path}: image_size is for networks that others trained; this one has its own"
            )
        return read_encoder(path, KNOWN, method)
    if method is not None:
        raise ValueError(
            f"{path}: method is for folders that save_encoder wrote; this is another library's"
        )
    network_method, params, state = method_of(read_network(path, image_size=image_size))
    return Encoder(network_method, params, state, {"imported_from": path.name})
