"""The detector that golden/make_torchvision.py makes, and its golden files."""

import dataclasses
import pathlib

import numpy as np

from examine_jax.detection.faster_rcnn import FasterRCNN
from examine_jax.detection.geometry.anchors import AnchorSettings
from examine_jax.detection.geometry.roi_sampling import RoISampling
from examine_jax.detection.post_processing import DetectionSettings
from examine_jax.detection.proposals import ProposalSettings
from examine_jax.detection.targets import ANCHOR_TARGETS
from examine_jax.models import ResNetConfig

GOLDEN = pathlib.Path(__file__).parents[1] / "detection" / "golden"
BLOCKS = {"faster_rcnn": "bottleneck", "faster_rcnn_basic": "basic"}


def narrow_detector(name: str, **changes) -> FasterRCNN:
    """The network of NAME.safetensors."""
    detector = FasterRCNN(
        ResNetConfig(image_size=96, channels=3, block=BLOCKS[name], depths=(1, 1, 1, 1), width=8),
        height=96,
        width=128,
        classes=("a", "b", "c"),
        anchors=AnchorSettings(sizes=((8.0,), (16.0,), (32.0,), (64.0,), (128.0,))),
        anchor_targets=dataclasses.replace(ANCHOR_TARGETS, samples=8192),
        proposals=ProposalSettings(150, 100, 80, 60),
        roi=RoISampling(canonical_size=56),
        detections=DetectionSettings(most=20),
        pyramid_channels=16,
        box_head_width=64,
        batch_norm="frozen" if name == "faster_rcnn" else "batch",
    )
    return dataclasses.replace(detector, **changes)


def golden_batch(golden, rows: int = 8) -> dict[str, np.ndarray]:
    """The images with their boxes as a batch of that many rows an image."""
    count = len(golden["images"])
    boxes, labels = np.zeros((count, rows, 4), np.float32), np.zeros((count, rows), np.int32)
    mask = np.zeros((count, rows), bool)
    for i in range(count):
        own = golden[f"truth/boxes_{i}"]
        boxes[i, : len(own)], mask[i, : len(own)] = own, True
        labels[i, : len(own)] = golden[f"truth/labels_{i}"] - 1
    return {"image": golden["images"], "boxes": boxes, "box_labels": labels, "box_mask": mask}
