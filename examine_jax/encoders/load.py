"""An encoder out of local files: a folder of ours, or the weights of other libraries."""

import os
import pathlib

from examine_jax.encoders.encoder import Encoder
from examine_jax.encoders.imported import ImportedEncoder, method_of
from examine_jax.encoders.save import read_encoder
from examine_jax.models.weights import read_json, read_network
from examine_jax.pretraining.methods.autoencoder import Autoencoder
from examine_jax.pretraining.methods.byol import BYOL
from examine_jax.pretraining.methods.byol_feature_transformation import BYOLFeatureTransformation
from examine_jax.pretraining.methods.byol_tracin import BYOLTracIn
from examine_jax.pretraining.methods.dcl import DCL
from examine_jax.pretraining.methods.mae import MAE
from examine_jax.pretraining.methods.simclr import SimCLR
from examine_jax.pretraining.methods.simsiam import SimSiam
from examine_jax.pretraining.methods.vicreg import VICReg
from examine_jax.pretraining.registry import SETTINGS
from examine_jax.training.method import Method

# A new method is added here, and then can be read back.
METHODS = (MAE, Autoencoder, SimCLR, DCL, BYOL, SimSiam, VICReg, BYOLTracIn, BYOLFeatureTransformation, ImportedEncoder)
KNOWN: tuple[type, ...] = (*METHODS, *SETTINGS)


def load_encoder(
    path: str | os.PathLike[str], *, method: Method | None = None, image_size: int | None = None
) -> Encoder:
    """Reads an encoder from local files.

    path: an encoder's folder as `save_encoder` writes it; a folder of transformers (ViTMAE, ViT, DINOv2, ResNet) or timm (ResNet) with
    config.json and model.safetensors; or a .safetensors file, the state dict of a torchvision or timm ResNet. Pickles (.pth, .bin) are
    refused with the conversion to run.

    method: for a folder of ours whose method or network is one's own: the same value that it was trained with.
    image_size: for others' networks: another one than they were trained at; a vision transformer's positions are resampled.

    Raises:
        ValueError: what is missing, of an unknown kind or version, or of another shape than config.json says; names it.
    """
    path = pathlib.Path(path)
    if path.is_dir() and (path / "config.json").is_file():
        configuration = read_json(path / "config.json")
        ours = "model_type" not in configuration and "architecture" not in configuration
    else:
        configuration, ours = {}, not path.is_file()
    if ours:
        if image_size is not None:
            raise ValueError(f"{path}: image_size is for networks that others trained; this one has its own")
        return read_encoder(path, KNOWN, method)
    if method is not None:
        raise ValueError(f"{path}: method is for folders that save_encoder wrote; this is another library's")
    network_method, params, state = method_of(read_network(path, image_size=image_size))
    return Encoder(network_method, params, state, {"imported_from": path.name})
