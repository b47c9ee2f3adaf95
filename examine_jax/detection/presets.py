"""Detectors by name: `small` for a CPU, `paper` as the paper describes it, `released_code`."""

import dataclasses
from collections.abc import Callable

from examine_jax.detection.augmentation import BoxAugmentation
from examine_jax.detection.faster_rcnn import FasterRCNN
from examine_jax.detection.geometry.anchors import AnchorSettings, anchors_from_boxes
from examine_jax.detection.geometry.coder import BoxCoder
from examine_jax.detection.geometry.roi_sampling import RoISampling
from examine_jax.detection.post_processing import DetectionSettings
from examine_jax.detection.proposals import ProposalSettings
from examine_jax.detection.targets import ANCHOR_TARGETS, ROI_TARGETS
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.models import ResNetConfig
from examine_jax.pretraining.pixels import IMAGENET, PixelScale

SMALL_ANCHORS = AnchorSettings(
    sizes=((16.0, 22.0), (32.0, 45.0), (64.0, 90.0)), strides=(8, 16, 32)
)
"""Anchors for inputs of about 256 pixels."""

FLIPS = BoxAugmentation(flip_horizontal=0.5, flip_vertical=0.5)


def _scale(channels: int) -> PixelScale:
    """ImageNet's statistics; for other than three channels, mean and deviation of one half."""
    return IMAGENET if channels == 3 else PixelScale((0.5,), (0.5,))


def small(classes: tuple[str, ...], channels: int = 3) -> FasterRCNN:
    """A detector that a CPU trains in minutes: ResNet-18 of width 32, 192 x 256 pixels, P3 to P5.

    Everything is trained, with live batch norms. `anchors_from_boxes` fits the anchors to the
    training boxes.
    """
    return FasterRCNN(
        encoder=ResNetConfig(image_size=256, channels=channels, width=32),
        height=192,
        width=256,
        classes=classes,
        anchors=SMALL_ANCHORS,
        anchor_targets=dataclasses.replace(ANCHOR_TARGETS, samples=128),
        roi_targets=dataclasses.replace(ROI_TARGETS, samples=64),
        proposals=ProposalSettings(candidates=300, test_candidates=300, most=150, test_most=150),
        roi=RoISampling(canonical_size=56),
        detections=DetectionSettings(candidates=450),
        pyramid_channels=64,
        box_head_width=256,
        augmentation=FLIPS,
        pixels=_scale(channels),
    )


def paper(classes: tuple[str, ...], channels: int = 3) -> FasterRCNN:
    """As the paper describes it: ResNet-50 at 512 x 512 pixels, and mmdetection's L1 losses.

    Everything is trained, with live batch norms, as suits weights of self-supervised training.
    """
    return FasterRCNN(
        encoder=ResNetConfig(
            image_size=512, channels=channels, block="bottleneck", depths=(3, 4, 6, 3)
        ),
        height=512,
        width=512,
        classes=classes,
        smooth_l1=0,
        augmentation=BoxAugmentation(flip_horizontal=0.5),
        pixels=_scale(channels),
    )


def released_code(classes: tuple[str, ...], channels: int = 3) -> FasterRCNN:
    """As the paper's code: stem and first stage frozen, batch norms with running statistics.

    Anchors are not rounded, RoIAlign is aligned, decoding bounds both sides, and 1000 proposals are
    looked at, as in mmdetection 2.20. It has as many samples a bin as a box needs; here they are
    two. The encoder needs trained weights.
    """
    bound = BoxCoder().largest
    detector = paper(classes, channels)
    return dataclasses.replace(
        detector,
        anchors=dataclasses.replace(detector.anchors, rounded=False),
        anchor_targets=dataclasses.replace(ANCHOR_TARGETS, coder=BoxCoder(smallest=-bound)),
        roi_targets=dataclasses.replace(
            ROI_TARGETS, coder=dataclasses.replace(ROI_TARGETS.coder, smallest=-bound)
        ),
        proposals=ProposalSettings(candidates=2000, most=1000),
        roi=RoISampling(aligned=True),
        frozen_stages=1,
        batch_norm="running",
    )


def with_fitted_anchors(detector: FasterRCNN, boxes: BoxSet) -> FasterRCNN:
    """The detector with anchor sizes of these boxes, which are in its pixels; all else is kept.

    Raises:
        ValueError: as `anchors_from_boxes`.
    """
    own = detector.anchors
    anchors = anchors_from_boxes(
        boxes.corners,
        boxes.label,
        strides=own.strides,
        sizes_per_level=len(own.sizes[0]),
        ratios=own.ratios,
        rounded=own.rounded,
    )
    return dataclasses.replace(detector, anchors=anchors)


PRESETS: dict[str, Callable[..., FasterRCNN]] = {
    "small": small,
    "paper": paper,
    "released_code": released_code,
}
"""(classes, channels) -> detector, by name."""
