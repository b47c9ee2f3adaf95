"""Reads an encoder from local files: a folder of ours, or weights of other libraries."""

import os
import pathlib

from examine_jax.encoders.adapter import is_adapter, read_adapter
from examine_jax.encoders.encoder import Encoder
from examine_jax.encoders.imported import ImportedEncoder, method_of
from examine_jax.encoders.resized import at_size
from examine_jax.encoders.save import read_encoder
from examine_jax.models.weights import WEIGHT_FILES, read_json, read_network, refuse_empty_folder
from examine_jax.pretraining.registry import known_settings
from examine_jax.training.method import Method

# Files that only others' folders have.
_OTHERS = ("encoder.json", "open_clip_config.json", "adapter_config.json")
KNOWN: tuple[type, ...] = (
    *known_settings(),
    ImportedEncoder,
)  # what an encoder's config.json may hold


def load_encoder(
    path: str | os.PathLike[str],
    *,
    method: Method | None = None,
    image_size: int | None = None,
    widen: bool = True,
    base: str | os.PathLike[str] | None = None,
) -> Encoder:
    """Reads an encoder from local files.

    Args:
        path: an encoder's folder as `save_encoder` writes it; a folder that transformers, timm or
            open_clip wrote (models/weights/registry.py lists the families), with its safetensors in
            one file or several; or a .safetensors file whose names tell the network (a ResNet, a
            ConvNeXt, a Swin and others). An encoder.json in a folder replaces what its other files
            say. Pickles (.pth, .bin) are refused; the message gives the conversion to run.
        method: for a folder of ours whose method or network is your own class: the value that it
            was trained with.
        image_size: for others' networks: an image size other than the one they were trained at; a
            vision transformer's positions are resampled.
        widen: for others' networks: whether weights in half precision become float32. If not, they
            take half the memory and give the same numbers.
        base: for an adapter's folder: where the encoder is that it was trained on; None: where it
            was then.

    Raises:
        ValueError: something is missing, of an unknown kind or version, or of another shape than
            config.json says; the message names it.
    """
    path = pathlib.Path(path)
    if is_adapter(path):
        if image_size is not None or method is not None:
            raise ValueError(f"{path} is an adapter, which has its own image_size and method")
        return read_adapter(path, KNOWN, load_at, base)
    if base is not None:
        raise ValueError(f"{path} is no adapter, so it has no base ({base}): leave base away")
    if _is_ours(path):
        if image_size is not None:
            raise ValueError(
                f"{path}: image_size is for networks that others trained; this one has its own"
            )
        return read_encoder(path, KNOWN, method)
    if method is not None:
        raise ValueError(
            f"{path}: method is for folders that save_encoder wrote; this is another library's"
        )
    network = read_network(path, image_size=image_size, widen=widen)
    network_method, params, state = method_of(network)
    notes = {"imported_from": path.name}
    if network.known is not None:
        notes["known_encoder"] = network.known
    return Encoder(network_method, params, state, notes, framing=network.framing)


def load_at(path: pathlib.Path, image_size: int | None) -> tuple[Encoder, str]:
    """An encoder at an image size, and the fingerprint of its weights at its own size.

    Args:
        path: as in `load_encoder`.
        image_size: None: its own. A transformer's positions are resampled: those of another
            library's folder as that library does it, those of ours by an antialiased bicubic
            kernel, as timm does it.

    Raises:
        ValueError: as `load_encoder`; or the network is bound to its image size.
    """
    encoder = load_encoder(path)
    fingerprint = encoder.fingerprint
    if image_size is not None and image_size != encoder.image_size:
        if not _is_ours(path):
            encoder = load_encoder(path, image_size=image_size)
        else:
            encoder = at_size(encoder, image_size, path.name)
    return encoder, fingerprint


def _is_ours(path: pathlib.Path) -> bool:
    """Whether a path is to be read as a folder of `save_encoder`: also one that is nothing."""
    if not path.is_dir():
        return not path.is_file()
    if any((path / name).is_file() for name in _OTHERS):
        return False
    if not (path / "config.json").is_file():
        refuse_empty_folder(path)
        return not any(entry.suffix in WEIGHT_FILES for entry in path.iterdir())
    configuration = read_json(path / "config.json")
    return "model_type" not in configuration and "architecture" not in configuration
