"""Reads networks that others trained from a local file or folder."""

import pathlib

from examine_jax.models.weights.configuration import read_json
from examine_jax.models.weights.imported import ImportedNetwork, StoredNetwork
from examine_jax.models.weights.registry import FAMILIES
from examine_jax.models.weights.resnet import read_state_dict
from examine_jax.models.weights.tensors import read_tensors, refuse_pickle


def read_network(path: pathlib.Path, *, image_size: int | None = None) -> ImportedNetwork:
    """Reads a network of another library. Downloads and unpickles nothing.

    Pixels are normalised as a folder's preprocessor_config.json says. Without it, ViT uses (x -
    0.5) / 0.5 and all others ImageNet's mean and deviation; images of other than three channels
    stay in [0, 1].

    Args:
        path: a folder with config.json and model.safetensors, as transformers' save_pretrained
            (ViTMAE, ViT, DINOv2, ResNet) or timm (ResNet) writes it; or a .safetensors file with
            the state dict of a torchvision or timm ResNet.
        image_size: None: the size that the network was trained at (224 for a bare ResNet). At
            another size, a transformer's positions are resampled (bicubic, as in transformers) and
            become learned ones.

    Returns:
        The network with its weights.

    Raises:
        ValueError: it is of another kind, a pickle (the message has the conversion to run), or a
            tensor is missing or of another shape.
    """
    if path.is_dir():
        return _read_folder(path, image_size)
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    return read_state_dict(read_tensors(path), image_size)


def _read_folder(folder: pathlib.Path, image_size: int | None) -> ImportedNetwork:
    configuration = read_json(folder / "config.json")
    family = next((family for family in FAMILIES if family.recognises(configuration)), None)
    if family is None:
        raise ValueError(
            f"{folder / 'config.json'}: model_type is {configuration.get('model_type')!r}; what "
            "can be read: "
            f"{', '.join(family.name for family in FAMILIES)}"
        )
    file = folder / "model.safetensors"
    if not file.is_file():
        for name in ("pytorch_model.bin", "pytorch_model.pt"):
            if (folder / name).is_file():
                refuse_pickle(folder / name)
        sharded = (folder / "model.safetensors.index.json").is_file()
        advice = (
            "; it is in several files: save it in one, save_pretrained(..., max_shard_size='99GB')"
        )
        raise ValueError(f"{folder} has no model.safetensors{advice if sharded else ''}")
    return family.read(StoredNetwork(folder, configuration, read_tensors(file)), image_size)
