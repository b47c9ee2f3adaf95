"""What a detector starts from: torchvision's detectors, or a trained ResNet or ConvNeXt."""

import dataclasses
import functools
import os
import pathlib
from typing import Any

import jax
import jax.numpy as jnp

from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import Array, Key, PyTree
from examine_jax.detection.faster_rcnn import FasterRCNN
from examine_jax.encoders.encoder import Encoder
from examine_jax.models import ConvNeXtConfig, ResNetConfig
from examine_jax.models.weights.faster_rcnn import DetectorShape, read_faster_rcnn
from examine_jax.models.weights.tensors import read_tensors

_FIELDS = ("channels", "block", "depths", "width", "stem")


def detector_from_torchvision(
    path: str | os.PathLike[str],
    detector: FasterRCNN,
    key: Key[Array, ""],
    *,
    norm_epsilon: float | None = None,
) -> tuple[PyTree, PyTree, tuple[str, ...]]:
    """Parameters from the state of torchvision's fasterrcnn_resnet50_fpn (also resnet18, 34, …).

    Where the file has another number of classes, the last layers (class logits and boxes by class)
    start at random. Where it has the same number, they are taken as they are, in the file's order
    of classes.

    Args:
        path: a .safetensors file of the state dict. Pickles are refused; the message gives the
            conversion.
        detector: takes the parameters. Its anchors are not in the file: torchvision's proposals
            were trained with its own, `AnchorSettings()`.
        key: draws the last layers where they are random.
        norm_epsilon: of the batch norms; None: 0 for 91 classes, as torchvision runs its COCO
            weights, else 1e-5.

    Returns:
        (params, state, account): the account says in a line for each part where its tensors came
        from.

    Raises:
        ValueError: the file is no such state, or a tensor is missing, left over or of another
            shape; the message names it.
    """
    if not isinstance(detector.encoder, ResNetConfig):
        raise ValueError(
            f"{path}: torchvision's detectors are on ResNets, this one is on a "
            f"{type(detector.encoder).__name__}"
        )
    shape = DetectorShape(
        encoder=detector.encoder,
        strides=detector.roi_strides,
        channels=detector.pyramid_channels,
        anchors=detector.anchors.per_place,
        roi_side=detector.roi.outputs,
        hidden=detector.box_head_width,
        classes=len(detector.classes) + 1,
    )
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is no file: give the .safetensors file of a torchvision detector")
    stored = read_faster_rcnn(read_tensors(path), shape, norm_epsilon=norm_epsilon)
    params: dict[str, Any] = dict(stored.params)
    if "classes" not in params["box_head"]:
        params["box_head"] = {**params["box_head"], **_last_layers(detector, key)}
    params, stats = on_device((params, stored.batch_stats))
    return *detector.divide(params, stats), (
        f"weights of {path.name}, by torchvision's names:",
        *stored.account,
    )


def check_backbone(encoder: Encoder) -> None:
    """Raises a ValueError unless an encoder's stages give maps of several strides."""
    network = encoder.method.encoder
    if not isinstance(network, ResNetConfig | ConvNeXtConfig):
        reason = "no detector is built on" if hasattr(network, "strides") else "has no feature maps"
        raise ValueError(
            f"the encoder is a {type(network).__name__}, which {reason}; "
            "a detector takes a ResNet (launch.pretrain with the method simclr and the "
            "architecture resnet18_imagenet_stem) or a ConvNeXt"
        )


def on_encoder(detector: FasterRCNN, encoder: Encoder) -> FasterRCNN:
    """The detector on the network of a trained encoder, with its scaling of pixels.

    Raises:
        ValueError: the encoder is no ResNet or ConvNeXt, or takes other channels.
    """
    check_backbone(encoder)
    network: Any = encoder.method.encoder
    own = detector.encoder
    if network.channels != own.channels:
        raise ValueError(
            f"the encoder takes {network.channels} channels, the detector {own.channels}: train "
            f"the detector on {network.channels} (--channels of detect_train), or give another "
            "encoder"
        )
    network = dataclasses.replace(network, image_size=own.image_size, dtype=own.dtype)
    pixels = getattr(encoder.method, "pixels", detector.pixels)
    return dataclasses.replace(detector, encoder=network, pixels=pixels)


def graft_encoder(
    detector: FasterRCNN, params: PyTree, state: PyTree, encoder: Encoder
) -> tuple[PyTree, PyTree, tuple[str, ...]]:
    """The detector with a trained encoder's parameters and batch statistics.

    Args:
        detector: whose encoder has the shape of the trained one.
        params, state: of the detector; all but the encoder is kept.
        encoder: as `load_encoder` reads it: of `launch.pretrain`, timm, transformers, torchvision.

    Returns:
        (params, state, account), the account as in `detector_from_torchvision`.

    Raises:
        ValueError: the encoder is no ResNet or ConvNeXt, or a tensor is missing, left over or of
            another shape; the message names it.
    """
    check_backbone(encoder)
    network = encoder.method.encoder
    joined, stats = detector.join(params, state)
    taken = {
        "params": encoder.params["encoder"],
        "batch_stats": encoder.state["batch_stats"].get("encoder", {}),
    }
    own = {"params": joined["encoder"], "batch_stats": stats["encoder"]}
    _check_same(taken, own, network, detector.encoder)
    kind = type(encoder.method).__name__
    origin = encoder.training.get("imported_from")
    source = f"{kind}'s encoder" if origin is None else f"{origin}"
    account = [f"weights of {source}:"]
    for name, part in taken["params"].items():
        count = len(jax.tree.leaves(part))
        count += len(jax.tree.leaves(taken["batch_stats"].get(name, {})))
        account.append(f"encoder/{name}: {count} tensors of the same name")
    account.append("pyramid, proposal_head, box_head: as they were (random in a new detector)")
    params, state = detector.divide(
        {**joined, "encoder": on_device(taken["params"])},
        {**stats, "encoder": on_device(taken["batch_stats"])},
    )
    return params, state, tuple(account)


@functools.partial(jax.jit, static_argnums=0)
def _last_layers(detector: FasterRCNN, key: Key[Array, ""]) -> dict[str, PyTree]:
    """Random parameters of the layers that depend on the classes; no others are computed."""
    head = detector.join(*detector.init(key, {}))[0]["box_head"]
    return {name: head[name] for name in ("classes", "boxes")}


def _check_same(taken: PyTree, own: PyTree, network: Any, expected: Any) -> None:
    theirs, ours = (
        {
            jax.tree_util.keystr(path, simple=True, separator="/"): jnp.shape(leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
        }
        for tree in (taken, own)
    )
    # The first convolution tells channels and stem before a block's name tells less.
    for name in sorted(theirs.keys() | ours.keys(), key=lambda name: ("stem/" not in name, name)):
        if theirs.get(name) != ours.get(name):
            shapes = [
                "missing" if x.get(name) is None else str(list(x[name])) for x in (theirs, ours)
            ]
            differing = ", ".join(
                f"{field} {getattr(network, field, None)!r} and {getattr(expected, field, None)!r}"
                for field in _FIELDS
                if getattr(network, field, None) != getattr(expected, field, None)
            )
            raise ValueError(
                f"the encoder does not fit the detector's: tensor {name} is {shapes[0]} in the "
                f"encoder and {shapes[1]} in the detector ({differing or 'same configuration'}); "
                "give the detector the encoder's configuration"
            )
