"""A Faster R-CNN that compiles quickly, and batches for it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.detection.faster_rcnn import FasterRCNN
from examine_jax.detection.geometry.anchors import AnchorSettings
from examine_jax.detection.geometry.roi_sampling import RoISampling
from examine_jax.detection.post_processing import DetectionSettings
from examine_jax.detection.proposals import ProposalSettings
from examine_jax.detection.targets import ANCHOR_TARGETS, ROI_TARGETS
from examine_jax.models import ResNetConfig

HEIGHT, WIDTH = 32, 48
TINY = FasterRCNN(
    encoder=ResNetConfig(
        image_size=48, channels=3, depths=(1, 1), width=4, zero_init_residual=False
    ),
    height=HEIGHT,
    width=WIDTH,
    classes=("disc", "ring"),
    anchors=AnchorSettings(((8.0,), (16.0,), (32.0,)), strides=(4, 8, 16)),
    anchor_targets=dataclasses.replace(ANCHOR_TARGETS, samples=16),
    roi_targets=dataclasses.replace(ROI_TARGETS, samples=8),
    proposals=ProposalSettings(20, 20, 12, 12),
    roi=RoISampling(outputs=3, canonical_size=24),
    detections=DetectionSettings(least_score=0.2, most=6, candidates=24),
    pyramid_channels=4,
    box_head_width=8,
)


def tiny_batch(rows: int = 5, images: int = 4, seed: int = 0) -> dict[str, Any]:
    """Images with up to three boxes each, the second with none, in `rows` rows."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, [WIDTH - 20, HEIGHT - 16], (images, 3, 2))
    boxes = np.zeros((images, rows, 4), np.float32)
    boxes[:, :3] = np.concatenate([corner, corner + rng.uniform(6, 16, (images, 3, 2))], axis=2)
    mask = np.zeros((images, rows), bool)
    for image in range(images):
        mask[image, : (0 if image == 1 else 3 - image % 2)] = True
    labels = np.zeros((images, rows), np.int32)
    labels[:, :3] = rng.integers(0, 2, (images, 3))
    return {
        "image": jnp.asarray(rng.integers(0, 256, (images, HEIGHT, WIDTH, 3)), jnp.uint8),
        "boxes": jnp.asarray(boxes),
        "box_labels": jnp.asarray(labels),
        "box_mask": jnp.asarray(mask),
        "index": jnp.arange(images),
    }


def tiny_start(detector: FasterRCNN = TINY) -> tuple[Any, Any]:
    """(params, state): random, without the time to compile a program."""
    shapes = jax.eval_shape(detector.init, jax.random.key(0), tiny_batch())
    rng = np.random.default_rng(0)

    def leaf(path: tuple[Any, ...], shape: jax.ShapeDtypeStruct) -> jax.Array:
        name = path[-1].key
        if name in ("scale", "var"):
            return jnp.asarray(rng.uniform(0.5, 1.5, shape.shape), jnp.float32)
        deviation = 0.1 if len(shape.shape) < 2 else np.prod(shape.shape[:-1]) ** -0.5
        return jnp.asarray(deviation * rng.normal(size=shape.shape), jnp.float32)

    params, state = jax.tree_util.tree_map_with_path(leaf, shapes)
    return params, state
