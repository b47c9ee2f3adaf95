"""Reads networks that others trained from a local file or folder."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from examine_jax.models.poolings import POOLED, left_out, with_pooling
from examine_jax.models.sam import SAMConfig
from examine_jax.models.weights.configuration import read_json
from examine_jax.models.weights.encoder_json import (
    FEATURES,
    FILE,
    LARGEST_IMAGE,
    UNSAID,
    EncoderDescription,
    merged,
    read_description,
)
from examine_jax.models.weights.encoder_table import known_encoder, recognised
from examine_jax.models.weights.framing import framing_of
from examine_jax.models.weights.imported import Family, ImportedNetwork, StoredNetwork
from examine_jax.models.weights.known_encoder import KnownEncoder
from examine_jax.models.weights.pickles import PICKLES, refuse_pickle, refuse_pickled_shards
from examine_jax.models.weights.refusals import (
    refuse_adapter,
    refuse_configuration,
    refuse_empty_folder,
)
from examine_jax.models.weights.registry import BARE_FAMILIES, FAMILIES
from examine_jax.models.weights.shards import read_shards
from examine_jax.models.weights.tensors import Tensors, read_tensors
from examine_jax.models.weights.told_by_names import configuration_of, says_no_network

# Configurations and the weights that belong to them; the first pair that is there is read.
_PAIRS = (
    ("config.json", ("model.safetensors", "model.safetensors.index.json")),
    ("open_clip_config.json", ("open_clip_model.safetensors", "model.safetensors")),
)


def read_network(
    path: pathlib.Path, *, image_size: int | None = None, widen: bool = True
) -> ImportedNetwork:
    """Reads a network of another library. Downloads and unpickles nothing.

    Pixels are normalised as encoder.json, preprocessor_config.json or timm's pretrained_cfg says.
    Without them, transformers' ViT, BEiT and SigLIP use (x - 0.5) / 0.5, CLIP and OpenCLIP CLIP's
    mean and deviation, ViTMAE, DINOv2, DINOv3, Swin, SAM, EfficientNets and ResNets ImageNet's. A
    network for images of other than three channels is refused then, and so is a folder of timm's,
    of facebookresearch's DINOs or of a ConvNeXt. A bare file of torchvision's has ImageNet's.

    Args:
        path: a folder with config.json and safetensors in one file or several, as transformers,
            timm or open_clip writes it; or a .safetensors file whose names tell the network. An
            encoder.json in the folder replaces what the other files say (encoder_json.py).
        image_size: None: the size that the network was trained at (224 for a bare file). At
            another size, a transformer's positions are resampled as its library does it.
        widen: whether weights stored in half precision become float32. If not, they stay, which
            takes half the memory and gives the same numbers.

    Returns:
        The network with its weights.

    Raises:
        ValueError: it is of another kind, a pickle (the message has the conversion to run), or a
            tensor is missing or of another shape.
    """
    if image_size is not None and not 1 <= image_size <= LARGEST_IMAGE:
        raise ValueError(
            f"image_size is {image_size}; it must be a whole number from 1 to {LARGEST_IMAGE}"
        )
    if path.is_dir():
        return _read_folder(path, image_size, widen)
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    tensors = read_tensors(path)
    row = recognised(tensors.arrays)
    if row is not None:
        stored = StoredNetwork(path.parent, row.configuration, tensors, UNSAID, path.name)
        described = _completed(UNSAID, row, stored)
        with _naming(path):
            network = _family(row.configuration, path).read(stored, image_size)
        network = _as_described(network, described, path)
        framing = framing_of(stored, row, network.encoder.image_size)
        network = dataclasses.replace(network, known=row.name, framing=framing)
        return network if widen else _narrowed(network, tensors)
    family = next((family for family in BARE_FAMILIES if family.recognises(tensors)), None)
    told = configuration_of(tensors) if family is None else None
    if told is not None:
        stored = StoredNetwork(path.parent, told, tensors, UNSAID, path.name)
        with _naming(path):
            network = _family(told, path).read(stored, image_size)
        return network if widen else _narrowed(network, tensors)
    if family is None:
        example = next(iter(sorted(tensors.arrays)), "none")
        raise ValueError(
            f"{path} holds no network whose names and shapes tell what it is (ResNet-18 or -50, "
            "ConvNeXt, an encoder of the table that is known by its shapes), but the tensor "
            f"{example}: put it into a folder as model.safetensors, with the config.json that "
            "belongs to it or an encoder.json that says what it is"
        )
    with _naming(path):
        network = family.read(tensors, image_size)
    return network if widen else _narrowed(network, tensors)


def _read_folder(folder: pathlib.Path, image_size: int | None, widen: bool) -> ImportedNetwork:
    refuse_adapter(folder)
    description = read_description(folder)
    configuration_file, weights = _files(folder, description)
    stored: dict[str, Any] = {} if configuration_file is None else read_json(configuration_file)
    where = folder / FILE if configuration_file is None else configuration_file
    configuration = description.configured(stored)
    refuse_configuration(configuration, str(where))
    row = None
    if description.known is not None:
        row = known_encoder(description.known, str(folder / FILE))
        configuration = description.configured(merged(row.configuration, stored))
    if configuration and not says_no_network(configuration):
        _family(configuration, where)  # before the weights, which may take long
    if weights is None:
        _refuse_without_weights(folder)
    assert weights is not None
    tensors = _tensors(weights, description)
    if row is None:
        row = recognised(tensors.arrays)
        if row is not None:
            configuration = description.configured(merged(row.configuration, stored))
    if says_no_network(configuration):
        told = configuration_of(tensors) or {}
        configuration = description.configured(merged(told, stored))
    if says_no_network(configuration):
        example = next(iter(sorted(tensors.arrays)), "none")
        raise ValueError(
            f"{folder} has no config.json or {FILE} that says what it is, and the names and shapes "
            f"of its tensors (such as {example}) do not tell it: say it in {FILE}; if the names "
            'begin with something of their own, say that too ({"prefix": "backbone."})'
        )
    source = StoredNetwork(folder, configuration, tensors, description, where.name)
    if row is not None:
        description = _completed(description, row, source)
        source = dataclasses.replace(source, description=description)
    family, own_size = _family(configuration, where), description.image_size
    with _naming(where, *folder.iterdir()):
        network = family.read(source, image_size or own_size)
    if image_size is not None and own_size is None and description.resize_side is not None:
        with contextlib.suppress(ValueError):  # it says no size, as a ResNet for small images
            own_size = family.read(source, None).encoder.image_size
    network = _as_described(network, description, folder / FILE)
    _check_channels(network, folder)
    network = dataclasses.replace(
        network,
        known=None if row is None else row.name,
        framing=framing_of(source, row, network.encoder.image_size, own_size),
    )
    return network if widen else _narrowed(network, tensors)


@contextlib.contextmanager
def _naming(where: pathlib.Path, *others: pathlib.Path) -> Iterator[None]:
    """Puts `where` before a ValueError's message that begins with neither it nor one of the others.

    Sizes that tensors or a configuration say may belong to no network, which knows no files.
    """
    try:
        yield
    except ValueError as error:
        if str(error).startswith(tuple(map(str, (where, *others)))):
            raise
        raise ValueError(f"{where}: {error}") from error


def _family(configuration: Mapping[str, Any], where: pathlib.Path) -> Family:
    # timm's name says more than a model_type beside it.
    shown = {
        name: value
        for name, value in configuration.items()
        if name != "model_type" or configuration.get("architecture") is None
    }
    for family in FAMILIES:
        if family.recognises(shown):
            return family
    kind = "model_type" if "architecture" not in shown else "architecture"
    raise ValueError(
        f"{where}: {kind} is {shown.get(kind)!r}; what can be read: "
        f"{', '.join(family.name for family in FAMILIES)}"
    )


def _tensors(weights: pathlib.Path, description: EncoderDescription) -> Tensors:
    sharded = weights.name.endswith(".index.json")
    tensors = read_shards(weights) if sharded else read_tensors(weights)
    if description.prefix is not None:
        tensors = tensors.below(description.prefix)
    return tensors.without(description.ignored or ())


def _completed(
    description: EncoderDescription, row: KnownEncoder, stored: StoredNetwork
) -> EncoderDescription:
    """The description with a row's facts where neither it nor the folder says them."""
    changes: dict[str, Any] = {"feature": description.feature or row.feature}
    if description.known is not None:
        changes["image_size"] = description.image_size or row.image_size
        # Others' normalisation is in the row's configuration, or in the folder.
        said = stored.preprocessor_normalisation() is not None
        mine = not row.configuration or row.pixel_range is not None
        if mine and not said and row.pixels is not None:
            changes |= {"mean": row.pixels[0], "deviation": row.pixels[1]}
            changes["pixel_range"] = description.pixel_range or row.pixel_range
    return dataclasses.replace(description, **changes)


def _files(
    folder: pathlib.Path, description: EncoderDescription
) -> tuple[pathlib.Path | None, pathlib.Path | None]:
    """(configuration, weights); None where the folder has none."""
    pairs = [
        (folder / name, [folder / file for file in files if (folder / file).is_file()])
        for name, files in _PAIRS
        if (folder / name).is_file()
    ]
    configuration = next((name for name, files in pairs if files), None)
    if configuration is None and pairs:
        configuration = pairs[0][0]
    if configuration is None and not (folder / FILE).is_file():
        refuse_empty_folder(folder)
    if description.weights is not None:
        weights = folder / description.weights
        if not weights.is_file():
            raise ValueError(f"{folder / FILE}: the folder has no {description.weights}")
        return configuration, weights
    found = dict(pairs).get(configuration) if configuration is not None else None
    found = found or [
        folder / file for _, files in _PAIRS for file in files if (folder / file).is_file()
    ]
    return configuration, found[0] if found else None


def _refuse_without_weights(folder: pathlib.Path) -> None:
    """Raises a ValueError that says what a folder has in place of model.safetensors."""
    pickled_index = folder / "pytorch_model.bin.index.json"
    if pickled_index.is_file():
        refuse_pickled_shards(pickled_index)
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    others = [name for name in names if name.endswith(".safetensors")]
    if others:
        raise ValueError(
            f"{folder} has no model.safetensors, but {', '.join(others[:3])}: rename the "
            f'encoder\'s, or name it in {FILE} ({{"weights": "{others[0]}"}})'
        )
    by_suffix = sorted(names, key=lambda name: not name.lower().endswith(PICKLES))
    for name in by_suffix:
        refuse_pickle(folder / name)
    raise ValueError(f"{folder} has no model.safetensors: download the weights too")


def _as_described(
    network: ImportedNetwork, description: EncoderDescription, where: pathlib.Path
) -> ImportedNetwork:
    """The network with the feature and the scale of pixels that an encoder.json gives it."""
    if description.mean is not None and description.deviation is not None:
        if len(description.mean) not in (1, network.encoder.channels):
            raise ValueError(
                f"{where}: mean has {len(description.mean)} numbers, the encoder takes "
                f"{network.encoder.channels} channels"
            )
        network = dataclasses.replace(
            network, pixel_mean=description.mean, pixel_deviation=description.deviation
        )
    if description.pixel_range is not None:
        if not isinstance(network.encoder, SAMConfig):
            raise ValueError(
                f"{where}: pixel_range is {description.pixel_range!r}, which only SAM's encoders "
                "take; leave it away"
            )
        encoder = dataclasses.replace(
            network.encoder,
            pixel_range=description.pixel_range,  # type: ignore[arg-type]
        )
        network = dataclasses.replace(network, encoder=encoder)
    pooled = isinstance(network.encoder, POOLED)
    if description.feature is not None and (pooled or description.feature != "patch_mean"):
        if not pooled:
            raise ValueError(
                f"{where}: feature is {description.feature!r}; a "
                f"{type(network.encoder).__name__.removesuffix('Config')} has one feature alone, "
                "the mean of its last map"
            )
        try:
            encoder = with_pooling(network.encoder, FEATURES[description.feature])
        except ValueError as error:
            raise ValueError(f"{where}: feature: {error}") from error
        gone = left_out(network.encoder, encoder)
        params = {name: part for name, part in network.params.items() if name not in gone}
        network = dataclasses.replace(network, encoder=encoder, params=params)
    return network


def _check_channels(network: ImportedNetwork, folder: pathlib.Path) -> None:
    """Raises a ValueError if pixels are normalised for another number of channels."""
    means, channels = len(network.pixel_mean), network.encoder.channels
    if means not in (1, channels):
        raise ValueError(
            f"{folder}: its files have {means} means of pixels, the encoder takes {channels} "
            f'channels; say them in {FILE}: {{"mean": [...], "deviation": [...]}}'
        )


def _narrowed(network: ImportedNetwork, tensors: Tensors) -> ImportedNetwork:
    """The network with the parameters in half precision that lose nothing by it."""
    if tensors.half is None:
        return network
    half = tensors.half

    def narrow(leaf: jax.Array) -> jax.Array:
        values = np.asarray(leaf)
        with np.errstate(over="ignore"):
            small = values.astype(half)
        return jax.numpy.asarray(
            small if np.array_equal(small.astype(np.float32), values) else leaf
        )

    return dataclasses.replace(network, params=jax.tree.map(narrow, network.params))
