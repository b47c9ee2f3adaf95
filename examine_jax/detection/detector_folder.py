"""A trained detector's folder: config.json and model.safetensors."""

import os
import pathlib

import jax
import numpy as np

from examine_jax.common.configuration import from_plain, to_plain
from examine_jax.common.on_device import on_device
from examine_jax.common.tensor_folder import read_tensors, tensor_names, write_folder
from examine_jax.detection.augmentation import BoxAugmentation
from examine_jax.detection.faster_rcnn import FasterRCNN
from examine_jax.detection.geometry.anchors import AnchorSettings
from examine_jax.detection.geometry.coder import BoxCoder
from examine_jax.detection.geometry.matching import Matcher
from examine_jax.detection.geometry.roi_sampling import RoISampling
from examine_jax.detection.post_processing import DetectionSettings
from examine_jax.detection.proposals import ProposalSettings
from examine_jax.detection.targets import TargetSettings
from examine_jax.detection.training import Detector
from examine_jax.models import ConvNeXtConfig, ResNetConfig
from examine_jax.models.weights import read_json
from examine_jax.pretraining.pixels import PixelScale

FORMAT_VERSION = 1
KNOWN = (
    FasterRCNN,
    ResNetConfig,
    ConvNeXtConfig,
    AnchorSettings,
    BoxAugmentation,
    BoxCoder,
    DetectionSettings,
    Matcher,
    PixelScale,
    ProposalSettings,
    RoISampling,
    TargetSettings,
)


def save_detector(folder: str | os.PathLike[str], detector: Detector) -> None:
    """Writes a detector's folder, whole or not at all; it replaces an existing detector.

    Raises:
        OSError: the folder cannot be written.
        ValueError: a file, or a folder that is no detector's, is in the way.
    """
    leaves = tensor_names(detector.params, detector.state)
    tensors = {name: np.asarray(leaf) for name, leaf in leaves.items()}
    configuration = {
        "format_version": FORMAT_VERSION,
        "detector": to_plain(detector.method),
        "training": detector.training,
    }
    write_folder(pathlib.Path(folder), tensors, {"config.json": configuration}, "a detector's")


def load_detector(folder: str | os.PathLike[str]) -> Detector:
    """Reads a folder that `save_detector` wrote.

    Raises:
        ValueError: something is missing, of an unknown version, or of another shape than
            config.json says; the message names it.
        OSError: a file cannot be read.
    """
    folder = pathlib.Path(folder)
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            hint = ""
            if (folder / "detector" / name).is_file():
                hint = f"; did you mean {folder / 'detector'}?"
            raise ValueError(f"{folder} is not a detector's folder: it has no {name}{hint}")
    file = folder / "config.json"
    configuration = read_json(file)
    if "detector" not in configuration:
        raise ValueError(
            f"{file} describes no detector: give the folder that launch.detect_train writes, "
            "OUT/detector"
        )
    version = configuration.get("format_version")
    if version != FORMAT_VERSION:
        raise ValueError(
            f"{file}: format_version is {version!r}, this version of examine_jax reads "
            f"{FORMAT_VERSION}"
        )
    method = from_plain(configuration["detector"], KNOWN, str(file))
    if not isinstance(method, FasterRCNN):
        raise ValueError(f"{file}: 'detector' is {type(method).__name__}, which is no detector")
    params, state = jax.eval_shape(lambda key: method.init(key, {}), jax.random.key(0))
    wanted = tensor_names(params, state)
    tensors = read_tensors(folder / "model.safetensors", wanted)
    leaves = on_device([tensors[name] for name in wanted])
    params, state = jax.tree.unflatten(jax.tree.structure((params, state)), leaves)
    return Detector(method, params, state, configuration.get("training", {}))
