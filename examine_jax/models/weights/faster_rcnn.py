"""torchvision's Faster R-CNN with a feature pyramid on a ResNet (fasterrcnn_resnet50_fpn)."""

import dataclasses
import re
from typing import Any

import numpy as np

from examine_jax.common.shapes import PyTree
from examine_jax.models.resnet import ResNetConfig
from examine_jax.models.weights.resnet import resnet_config, resnet_variables
from examine_jax.models.weights.tensors import Tensors

_BODY = "backbone.body."
_EPSILON = 1e-5  # of our batch norms, and of torchvision's but for its COCO weights
_COCO_CLASSES = 91
# Before torchvision 0.13, modules of one convolution had no number.
_OLD_NAMES = (
    (r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)$", r"\1.0.\2"),
    (r"^(rpn\.head\.conv)\.(weight|bias)$", r"\1.0.0.\2"),
)
_COUNTERS = r".*num_batches_tracked$"


@dataclasses.dataclass(frozen=True)
class DetectorShape:
    """What the shapes of a Faster R-CNN's parameters depend on.

    Attributes:
        encoder: the residual network.
        strides: of the encoder's maps that the pyramid takes, ascending.
        channels: of the pyramid.
        anchors: at each place of a map.
        roi_side: bins on each side of a box.
        hidden: the box head's width.
        classes: their number with the background.
    """

    encoder: ResNetConfig
    strides: tuple[int, ...]
    channels: int
    anchors: int
    roi_side: int
    hidden: int
    classes: int


@dataclasses.dataclass(frozen=True, eq=False)
class StoredDetector:
    """A Faster R-CNN's parameters as they are read.

    Attributes:
        params: {"encoder", "pyramid", "proposal_head", "box_head"}, numpy arrays. The box head
            lacks "classes" and "boxes" where the file has another number of classes.
        batch_stats: {"encoder"}.
        classes: the number of classes that the file has, with the background.
        account: one line a part: how many tensors it has, and their common name in the file.
    """

    params: PyTree
    batch_stats: PyTree
    classes: int
    account: tuple[str, ...]


def read_faster_rcnn(
    tensors: Tensors, shape: DetectorShape, *, norm_epsilon: float | None = None
) -> StoredDetector:
    """Reads a torchvision Faster R-CNN's state, also under the names before torchvision 0.13.

    Args:
        tensors: the state. Every one must be of use.
        shape: of the detector that takes the parameters.
        norm_epsilon: of the batch norms that the state was trained with. It is worked into their
            scales, so that the running statistics give the same outputs. None: 0 for a state with
            91 classes, since torchvision runs its COCO weights so; else 1e-5.

    Raises:
        ValueError: it is no such state, it belongs to another network (says which), or a tensor is
            missing, left over, or of another shape; the message names it.
    """
    arrays = dict(tensors.arrays)
    for pattern, replacement in _OLD_NAMES:
        arrays = {re.sub(pattern, replacement, name): array for name, array in arrays.items()}
    body = {name[len(_BODY) :]: array for name, array in arrays.items() if name.startswith(_BODY)}
    _check_kind(tensors.where, arrays, body)
    rest = Tensors(
        {name: array for name, array in arrays.items() if not name.startswith(_BODY)},
        tensors.where,
    )
    encoder = Tensors(body, f"{tensors.where}, {_BODY[:-1]}")
    _check_encoder(encoder, shape.encoder)
    params, stats = resnet_variables(encoder, shape.encoder)
    encoder.refuse_unused(_COUNTERS)

    pyramid = {}
    for level, stride in enumerate(shape.strides):
        inputs = _channels(shape.encoder, stride)
        for ours, theirs, size, sources in (
            ("lateral", "inner_blocks", 1, inputs),
            ("output", "layer_blocks", 3, shape.channels),
        ):
            pyramid[f"{ours}_{stride}"] = _convolution(
                rest, f"backbone.fpn.{theirs}.{level}.0", sources, shape.channels, size
            )
    proposal_head = {
        "convolution": _convolution(
            rest, "rpn.head.conv.0.0", shape.channels, shape.channels, size=3
        ),
        "objectness": _convolution(
            rest, "rpn.head.cls_logits", shape.channels, shape.anchors, size=1
        ),
        "boxes": _convolution(
            rest, "rpn.head.bbox_pred", shape.channels, 4 * shape.anchors, size=1
        ),
    }
    box_head, classes = _box_head(rest, shape)
    rest.refuse_unused(_COUNTERS)
    if norm_epsilon is None:
        norm_epsilon = 0.0 if classes == _COCO_CLASSES else _EPSILON
    if norm_epsilon != _EPSILON:
        params = _with_epsilon(params, stats, norm_epsilon)
    return StoredDetector(
        {"encoder": params, "pyramid": pyramid, "proposal_head": proposal_head}
        | {"box_head": box_head},
        {"encoder": stats},
        classes,
        _account(params, stats, pyramid, shape, classes, norm_epsilon),
    )


def _check_kind(where: str, arrays: dict[str, np.ndarray], body: dict[str, np.ndarray]) -> None:
    if "conv1.weight" in arrays and not body:
        raise ValueError(
            f"{where} holds a ResNet without a detector (it has the tensor conv1.weight): give it "
            "as an encoder"
        )
    if "conv1.weight" not in body or not any(name.startswith("rpn.head.") for name in arrays):
        lacking = "backbone.body.conv1.weight" if not body else "rpn.head.cls_logits.weight"
        raise ValueError(
            f"{where} holds no Faster R-CNN of torchvision on a ResNet: it lacks the tensor "
            f"{lacking}"
        )
    if any(name.startswith("rpn.head.conv.1.") for name in arrays):
        raise ValueError(
            f"{where} holds a fasterrcnn_resnet50_fpn_v2, which has other heads (it has the tensor "
            "rpn.head.conv.1.0.weight); only fasterrcnn_resnet50_fpn can be read"
        )


def _check_encoder(encoder: Tensors, expected: ResNetConfig) -> None:
    stored = resnet_config(encoder, expected.image_size)
    fields = ("channels", "block", "depths", "width", "stem")
    for field in fields:
        ours, theirs = getattr(expected, field), getattr(stored, field)
        if ours != theirs:
            tensor = "layer1.0.conv1.weight" if field in ("block", "depths") else "conv1.weight"
            raise ValueError(
                f"{encoder.where}: the file's ResNet has {field} {theirs!r}, the detector's "
                f"{ours!r} (tensor {tensor} {list(encoder.arrays[tensor].shape)}); choose the "
                "preset, or the encoder's configuration, that fits the file"
            )


def _channels(config: ResNetConfig, stride: int) -> int:
    """Channels of the encoder's map of a stride."""
    first = 4 if config.stem == "imagenet" else 1
    return config.width * (4 if config.block == "bottleneck" else 1) * stride // first


def _convolution(
    tensors: Tensors, name: str, inputs: int, outputs: int, size: int
) -> dict[str, np.ndarray]:
    kernel = tensors.take(f"{name}.weight", (outputs, inputs, size, size))
    return {
        "kernel": np.ascontiguousarray(kernel.transpose(2, 3, 1, 0)),
        "bias": tensors.take(f"{name}.bias", (outputs,)),
    }


def _box_head(tensors: Tensors, shape: DetectorShape) -> tuple[dict[str, Any], int]:
    """(the box head's parameters, the file's number of classes)."""
    side, channels, hidden = shape.roi_side, shape.channels, shape.hidden
    first = tensors.dense("roi_heads.box_head.fc6", side * side * channels, hidden)
    # A box's features are (channel, row, column) there, (row, column, channel) here.
    kernel = first["kernel"].reshape(channels, side, side, hidden).transpose(1, 2, 0, 3)
    head: dict[str, Any] = {
        "hidden_1": {**first, "kernel": np.ascontiguousarray(kernel.reshape(-1, hidden))},
        "hidden_2": tensors.dense("roi_heads.box_head.fc7", hidden, hidden),
    }
    name = "roi_heads.box_predictor"
    scores = tensors.arrays.get(f"{name}.cls_score.weight")
    classes = shape.classes if scores is None else scores.shape[0]
    predictor = {
        "classes": tensors.dense(f"{name}.cls_score", hidden, classes),
        "boxes": tensors.dense(f"{name}.bbox_pred", hidden, 4 * classes),
    }
    return (head | predictor if classes == shape.classes else head), classes


def _with_epsilon(params: PyTree, stats: PyTree, epsilon: float) -> PyTree:
    """The parameters with scales that make up for another epsilon of the batch norms."""
    changed = {}
    for name, part in params.items():
        moments = stats.get(name, {})
        if "var" in moments:
            variance = moments["var"].astype(np.float64)
            known = variance + epsilon > 0
            factor = np.sqrt((variance + _EPSILON) / np.where(known, variance + epsilon, 1.0))
            scale = part["scale"] * np.where(known, factor, 1.0)
            changed[name] = {**part, "scale": scale.astype(np.float32)}
        elif moments:
            changed[name] = _with_epsilon(part, moments, epsilon)
        else:
            changed[name] = part
    return changed


def _account(
    encoder: PyTree,
    stats: PyTree,
    pyramid: PyTree,
    shape: DetectorShape,
    classes: int,
    norm_epsilon: float,
) -> tuple[str, ...]:
    lines = []
    for ours in encoder:
        block = re.match(r"stage_(\d+)_block_(\d+)", ours)
        theirs = {"stem": "conv1", "stem_norm": "bn1"}.get(ours, "")
        if block:
            theirs = f"layer{int(block[1]) + 1}.{block[2]}"
        count = _leaves(encoder[ours]) + _leaves(stats.get(ours, {}))
        lines.append(f"encoder/{ours}: {count} tensors of {_BODY}{theirs}")
    for level, stride in enumerate(shape.strides):
        for ours, theirs in (("lateral", "inner_blocks"), ("output", "layer_blocks")):
            count = _leaves(pyramid[f"{ours}_{stride}"])
            lines.append(
                f"pyramid/{ours}_{stride}: {count} tensors of backbone.fpn.{theirs}.{level}"
            )
    lines += [
        "proposal_head: 6 tensors of rpn.head",
        "box_head/hidden_1, hidden_2: 4 tensors of roi_heads.box_head",
        "box_head/classes, boxes: 4 tensors of roi_heads.box_predictor"
        if classes == shape.classes
        else f"box_head/classes, boxes: random, since roi_heads.box_predictor has {classes} "
        f"classes and the detector {shape.classes} (both with the background)",
        f"batch norms: epsilon {norm_epsilon:g}",
    ]
    return tuple(lines)


def _leaves(tree: PyTree) -> int:
    return sum(_leaves(part) for part in tree.values()) if isinstance(tree, dict) else 1
