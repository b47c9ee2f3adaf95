"""A trained encoder's folder: config.json and model.safetensors, ours or transformers'."""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from examine_jax.common.configuration import differences, from_plain, to_plain
from examine_jax.common.shapes import PyTree
from examine_jax.common.tensor_folder import read_tensors, tensor_names, write_folder
from examine_jax.encoders.encoder import Encoder
from examine_jax.images.decoding.framing import Framing
from examine_jax.models.weights import read_json, vit_mae_tensors
from examine_jax.models.weights.encoder_json import LARGEST_IMAGE
from examine_jax.pretraining.methods.mae import MAE
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.training.method import Method

FORMAT_VERSION = 1
_MOST_BLOCKS = 1 << 12  # more would take for ever to set up


def save_encoder(
    folder: str | os.PathLike[str],
    method: Method,
    params: PyTree,
    state: PyTree,
    training: dict[str, Any] | None = None,
    framing: Framing | None = None,
) -> None:
    """Writes an encoder's folder, whole or not at all; it replaces an existing encoder.

    Args:
        folder: where.
        method, params, state: the trained method.
        training: notes on the training; plain values for config.json.
        framing: how images of any shape come to the encoder's size, as `Encoder.framing`; None:
            they are squashed, as they are in every training here.

    Raises:
        OSError: the folder cannot be written.
        ValueError: the framing is for another size than the encoder's; or a file, or a folder that
            is no encoder's, is in the way.
    """
    configuration = configuration_of(method, training)
    if framing is not None:
        _check_framing(framing, method, str(folder))
        configuration["framing"] = to_plain(framing)
    tensors = {name: np.asarray(leaf) for name, leaf in tensor_names(params, state).items()}
    write_folder(pathlib.Path(folder), tensors, {"config.json": configuration}, "an encoder's")


def _check_framing(framing: Framing, method: Method, where: str) -> None:
    if framing.size != method.encoder.image_size:
        raise ValueError(
            f"{where}: framing makes images of {framing.size} pixels, the encoder takes "
            f"{method.encoder.image_size}; give both the same size"
        )


def configuration_of(method: Method, training: dict[str, Any] | None) -> dict[str, Any]:
    """What an encoder's config.json says of its method and training."""
    return {
        "format_version": FORMAT_VERSION,
        "method": to_plain(method),
        "training": training or {},
    }


def export_vit_mae(folder: str | os.PathLike[str], encoder: Encoder) -> None:
    """Writes a masked autoencoder as transformers' ViTMAE.

    ViTMAEForPreTraining.from_pretrained(folder) and `load_encoder` read it. The folder has
    config.json, model.safetensors and preprocessor_config.json (how images come to the size, and
    the pixels' scale); it is written whole or not at all.

    Raises:
        OSError: the folder cannot be written.
        ValueError: the method is no MAE, or its encoder has a part that ViTMAE lacks (says which);
            a file, or a folder that is no encoder's, is in the way.
    """
    configuration, tensors = vit_mae_content(encoder)
    preprocessor = preprocessor_config(framing_of(encoder), *pixel_scale(encoder))
    files = {"config.json": configuration, "preprocessor_config.json": preprocessor}
    write_folder(pathlib.Path(folder), tensors, files, "an encoder's")


def vit_mae_content(encoder: Encoder) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """(config.json, tensors) of a masked autoencoder as transformers' ViTMAE.

    Raises:
        ValueError: as `export_vit_mae`.
    """
    method = encoder.method
    if not isinstance(method, MAE):
        raise ValueError(
            f"export_vit_mae: the encoder was trained by {type(method).__name__}; only an MAE's is "
            "a ViTMAE"
        )
    network, decoder = method.encoder, method.decoder
    configuration = {
        "architectures": ["ViTMAEForPreTraining"],
        "model_type": "vit_mae",
        "image_size": network.image_size,
        "patch_size": network.patch_size,
        "num_channels": network.channels,
        "hidden_size": network.width,
        "num_hidden_layers": network.depth,
        "num_attention_heads": network.heads,
        "intermediate_size": network.mlp_width,
        "decoder_hidden_size": decoder.width,
        "decoder_num_hidden_layers": decoder.depth,
        "decoder_num_attention_heads": decoder.heads,
        "decoder_intermediate_size": decoder.mlp_width,
        "hidden_act": "gelu",
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.02,
        "layer_norm_eps": network.layer_norm_epsilon,
        "qkv_bias": True,
        "mask_ratio": method.mask_ratio,
        "norm_pix_loss": method.norm_pix,
        "dtype": "float32",
    }
    return configuration, vit_mae_tensors(network, decoder, encoder.params)


def pixel_scale(encoder: Encoder) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, deviation) of an encoder's pixels in [0, 1], one number for each channel."""
    pixels = getattr(encoder.method, "pixels", PixelScale())
    times = encoder.channels // len(pixels.mean)
    return pixels.mean * times, pixels.deviation * times


def framing_of(encoder: Encoder) -> Framing:
    """How images of any shape come to an encoder's size, also where it is the default."""
    size = encoder.load_size
    return size if isinstance(size, Framing) else Framing(encoder.image_size)


def preprocessor_config(
    framing: Framing, mean: tuple[float, ...], deviation: tuple[float, ...]
) -> dict[str, Any]:
    """transformers' preprocessor_config.json: how images are resized, and the pixels' scale."""
    square = {"height": framing.size, "width": framing.size}
    if framing.rule == "squash":
        resize: dict[str, Any] = {"image_processor_type": "ViTImageProcessor", "size": square}
    else:
        resize = {
            "image_processor_type": "BitImageProcessor",
            "size": {"shortest_edge": framing.shorter_side},
            "do_center_crop": True,
            "crop_size": square,
        }
    return {
        **resize,
        "do_convert_rgb": len(mean) == 3,  # whatever the processor's class would do
        "do_resize": True,
        "resample": int(framing.kernel),
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(mean),
        "image_std": list(deviation),
    }


def read_encoder(
    folder: pathlib.Path, known: Sequence[type], method: Method | None = None
) -> Encoder:
    """Reads a folder that `save_encoder` wrote.

    Args:
        folder: where.
        known: the classes that its config.json may name.
        method: the method that config.json describes, if it is of none of these classes.

    Raises:
        ValueError: something is missing, of an unknown class or version, or of another shape than
            config.json says; the message names it.
    """
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise ValueError(f"{folder} is not an encoder's folder: it has no {name}")
    configuration, method = read_configuration(folder, known, method)
    with naming_settings(folder / "config.json"):
        shapes = shapes_of(method)
    params, state = read_variables(folder / "model.safetensors", *shapes)
    framing = _framing_in(configuration, method, folder / "config.json")
    return Encoder(method, params, state, configuration.get("training", {}), framing=framing)


def _framing_in(
    configuration: dict[str, Any], method: Method, file: pathlib.Path
) -> Framing | None:
    stored = configuration.get("framing")
    if stored is None:
        return None
    framing = from_plain(stored, (Framing,), f"{file}, framing")
    if not isinstance(framing, Framing):
        raise ValueError(f"{file}: framing is {stored!r}; it must be an object as it was written")
    _check_framing(framing, method, str(file))
    return framing


def read_configuration(
    folder: pathlib.Path, known: Sequence[type], method: Method | None = None
) -> tuple[dict[str, Any], Method]:
    """(config.json, the method that it describes).

    Args:
        folder, known, method: as in `read_encoder`.

    Raises:
        ValueError: it is of an unknown class or version; the message names it.
    """
    file = folder / "config.json"
    configuration = read_json(file)
    version = configuration.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{file}: format_version is {version!r}, this version of examine_jax reads "
            f"{FORMAT_VERSION}"
        )
    stored = configuration.get("method")
    if method is None:
        with naming_settings(file):
            method = from_plain(stored, tuple(known), str(file))
        if not isinstance(method, Method):
            raise ValueError(
                f"{file}: 'method' is {type(method).__name__}, which is no pretraining method"
            )
    else:
        changed = differences(stored, to_plain(method))
        if changed:
            raise ValueError(f"{file}: method is not the one that was trained: {changed[0]}")
    decoder = getattr(method, "decoder", None)
    for part, field, most in (
        (method.encoder, "image_size", LARGEST_IMAGE),
        (method.encoder, "depth", _MOST_BLOCKS),
        (decoder, "depth", _MOST_BLOCKS),
    ):
        size = getattr(part, field, 1)
        if not isinstance(size, int) or size > most:
            raise ValueError(
                f"{file}: {field} is {size!r:.40}; it must be a whole number from 1 to {most}"
            )
    return configuration, method


@contextlib.contextmanager
def naming_settings(file: pathlib.Path) -> Iterator[None]:
    """Turns what settings of a wrong kind raise into a ValueError that names the file."""
    try:
        yield
    except (TypeError, AttributeError, OverflowError) as error:
        first = str(error).strip().split("\n")[0]
        raise ValueError(f"{file}: its settings make no network: {first:.200}") from error


def shapes_of(method: Method) -> tuple[PyTree, PyTree]:
    """(params, state) of a method, as shapes."""
    size, channels = method.encoder.image_size, method.encoder.channels
    example = {
        "image": jax.ShapeDtypeStruct((1, size, size, channels), np.uint8),
        "index": jax.ShapeDtypeStruct((1,), np.int32),
    }
    shapes: tuple[PyTree, PyTree] = jax.eval_shape(method.init, jax.random.key(0), example)
    return shapes


def read_variables(file: pathlib.Path, params: PyTree, state: PyTree) -> tuple[PyTree, PyTree]:
    """(params, state) of a file of tensors, of these shapes.

    Raises:
        ValueError: as `read_tensors`.
    """
    tensors = read_tensors(file, tensor_names(params, state))
    leaves = [jax.numpy.asarray(tensors[name]) for name in tensor_names(params, state)]
    read: tuple[PyTree, PyTree] = jax.tree.unflatten(jax.tree.structure((params, state)), leaves)
    return read
