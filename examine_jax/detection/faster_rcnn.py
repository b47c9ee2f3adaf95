"""Faster R-CNN with a feature pyramid on a residual network.

Source:
    Ren et al., arXiv:1506.01497; Lin et al., arXiv:1612.03144; the constants are torchvision's.
"""

import dataclasses
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Bool, Float, Int, Key, PyTree, Shaped, UInt8
from examine_jax.detection.augmentation import NO_CHANGE, BoxAugmentation, augment
from examine_jax.detection.geometry.anchors import AnchorSettings, make_anchors
from examine_jax.detection.geometry.boxes import is_finite
from examine_jax.detection.geometry.roi_align import roi_align
from examine_jax.detection.geometry.roi_align_separable import roi_align_separable
from examine_jax.detection.geometry.roi_sampling import RoISampling
from examine_jax.detection.losses import (
    binary_cross_entropy,
    cross_entropy,
    mean_where,
    smooth_l1,
)
from examine_jax.detection.post_processing import Detections, DetectionSettings, detections
from examine_jax.detection.proposals import Proposals, ProposalSettings, propose
from examine_jax.detection.targets import (
    ANCHOR_TARGETS,
    ROI_TARGETS,
    AnchorTargets,
    TargetSettings,
    anchor_targets,
    roi_targets,
)
from examine_jax.models import ConvNeXtConfig, ResNetConfig, apply, init_network
from examine_jax.models.detector_heads import BoxHead, ProposalHead
from examine_jax.models.feature_pyramid import FeaturePyramid
from examine_jax.models.forward import init_params, run_feature_maps
from examine_jax.models.frozen_parameters import merge_frozen, split_frozen
from examine_jax.pretraining.pixels import IMAGENET, PixelScale
from examine_jax.training.method import Batch


@dataclasses.dataclass(frozen=True)
class FasterRCNN:
    """Faster R-CNN: a `training.method.Trainable` whose parameters find boxes.

    The columns of a batch are "image", uint8 [B, height, width, channels]; "boxes", float32
    [B, M, 4] in those pixels; "box_labels", int32 [B, M], from 0; and "box_mask", bool [B, M]:
    which rows are boxes. More rows that are masked out, or another order of the rows, change
    nothing. Boxes that are not finite or have no area are left out. An image without boxes is
    background.

    Parameters are {"encoder", "pyramid", "proposal_head", "box_head"}, the state is
    {"batch_stats": {"encoder"}, "frozen": {"encoder"}}. Frozen parameters are in the state, so no
    optimiser changes them; `join` and `divide` convert.

    Attributes:
        encoder: a ResNet or ConvNeXt. Its image_size does not matter here.
        height, width: of the input in pixels; multiples of the coarsest stride that the encoder
            gives the pyramid.
        classes: names of the classes, without background.
        anchors: sizes, ratios, and the strides of the pyramid. Strides that the encoder does not
            have are subsampled from the last one that it has, and give proposals alone.
        anchor_targets, roi_targets: which anchors and proposals the losses see.
        proposals: how proposals are chosen.
        roi: how the features of a proposal are sampled.
        detections: which boxes become detections.
        pyramid_channels: channels of the pyramid's maps.
        box_head_width: of the box head's hidden layers.
        smooth_l1: both box losses are quadratic below this error; 0: L1.
        pixels: how pixel values in [0, 1] are scaled for the encoder.
        frozen_stages: the stem and this many stages keep their parameters and statistics; 0:
            neither the stem nor a stage. Freeze only weights that were trained.
        batch_norm: of the other stages, in training. "batch": the batch's statistics, which also
            move the running ones. "running": the running statistics, which stay as they are;
            mmdetection's norm_eval. "frozen": as "running", and scale and shift stay too;
            torchvision's FrozenBatchNorm2d.
        roi_align: "gather", for CPUs and GPUs; "separable", for TPUs. Equal up to rounding.
        augmentation: how training images and their boxes are changed.
    """

    encoder: ResNetConfig | ConvNeXtConfig
    height: int
    width: int
    classes: tuple[str, ...]
    anchors: AnchorSettings = dataclasses.field(default_factory=AnchorSettings)
    anchor_targets: TargetSettings = ANCHOR_TARGETS
    roi_targets: TargetSettings = ROI_TARGETS
    proposals: ProposalSettings = dataclasses.field(default_factory=ProposalSettings)
    roi: RoISampling = dataclasses.field(default_factory=RoISampling)
    detections: DetectionSettings = dataclasses.field(default_factory=DetectionSettings)
    pyramid_channels: int = 256
    box_head_width: int = 1024
    smooth_l1: int | float = 1 / 9
    pixels: PixelScale = IMAGENET
    frozen_stages: int = 0
    batch_norm: Literal["batch", "running", "frozen"] = "batch"
    roi_align: Literal["gather", "separable"] = "gather"
    augmentation: BoxAugmentation = NO_CHANGE

    columns = ("image", "boxes", "box_labels", "box_mask")

    def __post_init__(self) -> None:
        if not isinstance(self.encoder, ResNetConfig | ConvNeXtConfig):
            raise ValueError(
                "FasterRCNN: the encoder must be a ResNetConfig or a ConvNeXtConfig, whose stages "
                f"give maps of several strides; got {type(self.encoder).__name__}"
            )
        if not self.classes or len(set(self.classes)) != len(self.classes):
            raise ValueError(
                f"FasterRCNN: classes must be one or more different names, got {self.classes}"
            )
        if not self.roi_strides or self.roi_strides[0] != self.anchors.strides[0]:
            raise ValueError(
                f"FasterRCNN: the anchors' first stride is {self.anchors.strides[0]}, but the "
                f"encoder's maps have the strides {self._encoder_strides}; choose anchors whose "
                "first stride is among them"
            )
        coarsest = self.roi_strides[-1]
        if min(self.height, self.width) < 1 or self.height % coarsest or self.width % coarsest:
            raise ValueError(
                f"FasterRCNN: height and width must be multiples of {coarsest}, the stride of the "
                f"encoder's last map; got {self.height} and {self.width}"
            )
        if not self.smooth_l1 >= 0:
            raise ValueError(f"FasterRCNN: smooth_l1 must be at least 0, got {self.smooth_l1}")
        if not 0 <= self.frozen_stages <= len(self.encoder.depths):
            raise ValueError(
                f"FasterRCNN: frozen_stages must be from 0 to {len(self.encoder.depths)}, the "
                f"encoder's stages; got {self.frozen_stages}"
            )
        for field, choices in (
            ("batch_norm", ("batch", "running", "frozen")),
            ("roi_align", ("gather", "separable")),
        ):
            if getattr(self, field) not in choices:
                raise ValueError(
                    f"FasterRCNN: {field} must be one of {choices}, got {getattr(self, field)!r}"
                )
        self.pixels.check(self.encoder.channels)

    @property
    def _encoder_strides(self) -> tuple[int, ...]:
        return self.encoder.strides

    @property
    def roi_strides(self) -> tuple[int, ...]:
        """The strides of the pyramid that the encoder has; boxes get their features from these."""
        return tuple(s for s in self.anchors.strides if s in self._encoder_strides)

    @property
    def freezes(self) -> bool:
        """Whether training keeps statistics or parameters of the encoder as they are at the start.

        The encoder then needs trained weights.
        """
        return self.frozen_stages > 0 or self.batch_norm != "batch"

    def divide(self, params: PyTree, batch_stats: PyTree) -> tuple[PyTree, PyTree]:
        """(params, state) of the method from all parameters of the network.

        Args:
            params: {"encoder", "pyramid", "proposal_head", "box_head"}.
            batch_stats: {"encoder"}.
        """
        batch_norms = self.batch_norm == "frozen" and isinstance(self.encoder, ResNetConfig)
        trained, frozen = split_frozen(params["encoder"], self.frozen_stages, batch_norms)
        state = {"batch_stats": batch_stats, "frozen": {"encoder": frozen}}
        return {**params, "encoder": trained}, state

    def join(self, params: PyTree, state: PyTree) -> tuple[PyTree, PyTree]:
        """All parameters of the network, and its batch statistics: the inverse of `divide`."""
        encoder = merge_frozen(params["encoder"], state["frozen"]["encoder"])
        return {**params, "encoder": encoder}, state["batch_stats"]

    def init(self, key: Key[Array, ""], batch: Batch) -> tuple[PyTree, PyTree]:
        """Random parameters, and the state."""
        keys = jax.random.split(key, 4)
        images = jnp.zeros((1, self.height, self.width, self.encoder.channels), jnp.float32)
        encoder, stats = init_network(self.encoder.module(), keys[0], images)
        sides = {
            stride: (self.height // stride, self.width // stride) for stride in self.roi_strides
        }
        channels = dict(zip(self._encoder_strides, self.encoder.map_widths))
        maps = {s: jnp.zeros((1, *sides[s], channels[s]), jnp.float32) for s in self.roi_strides}
        pyramid = init_params(self._pyramid, keys[1], maps)
        levels = apply(self._pyramid, pyramid, maps)
        proposal_head = init_params(self._proposal_head, keys[2], levels)
        side = self.roi.outputs
        rois = jnp.zeros((1, 1, side, side, self.pyramid_channels), jnp.float32)
        box_head = init_params(self._box_head, keys[3], rois)
        params = {
            "encoder": encoder,
            "pyramid": pyramid,
            "proposal_head": proposal_head,
            "box_head": box_head,
        }
        return self.divide(params, {"encoder": stats})

    def loss(
        self, params: PyTree, state: PyTree, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, dict[str, Float[Array, ""]]]]:
        """The sum of the four losses; each is a mean over the samples of the whole batch.

        Metrics: the four losses, and the mean number of sampled proposals an image that have a true
        box.
        """
        augment_key, sample_key = jax.random.split(key)
        images, boxes, mask = augment(
            augment_key,
            _as_float(batch["image"]),
            batch["boxes"],
            batch["box_mask"],
            self.augmentation,
        )
        boxes, labels, mask = _in_order(boxes, batch["box_labels"], mask)
        keys = jax.vmap(lambda image: jax.random.split(jax.random.fold_in(sample_key, image)))(
            jnp.arange(len(images))
        )
        maps, stats = self._maps(params, state, images, train=True)
        logits, offsets = apply(self._proposal_head, params["proposal_head"], maps)

        anchors = jnp.asarray(make_anchors(self.anchors, self.height, self.width)[0])
        wanted = jax.vmap(
            lambda *own: anchor_targets(self.anchor_targets, own[0], anchors, *own[1:])
        )(keys[:, 0], boxes, mask)
        objectness_loss, proposal_box_loss = self._proposal_losses(
            jnp.concatenate(logits, axis=1), jnp.concatenate(offsets, axis=1), wanted
        )

        proposed = self._propose(logits, offsets, train=True)
        chosen = jax.vmap(lambda *own: roi_targets(self.roi_targets, *own))(
            keys[:, 1], proposed.boxes, proposed.mask, boxes, labels, mask
        )
        class_logits, box_offsets = self._boxes(params, maps, chosen.boxes)
        class_loss = mean_where(cross_entropy(class_logits, chosen.label), chosen.mask)
        own = jnp.take_along_axis(box_offsets, chosen.label[..., None, None], axis=2)[:, :, 0]
        positive = chosen.mask & (chosen.label > 0)
        distance = smooth_l1(own - chosen.offsets, self.smooth_l1).sum(axis=-1)
        box_loss = mean_where(distance, positive, chosen.mask.sum())

        metrics = {
            "objectness_loss": objectness_loss,
            "proposal_box_loss": proposal_box_loss,
            "class_loss": class_loss,
            "box_loss": box_loss,
            "positive_proposals": positive.sum() / jnp.float32(len(images)),
        }
        loss = objectness_loss + proposal_box_loss + class_loss + box_loss
        return loss, ({**state, "batch_stats": {"encoder": stats}}, metrics)

    def after_update(self, params: PyTree, state: PyTree, step: Shaped[Array, ""]) -> PyTree:
        return state

    def detect(
        self, params: PyTree, state: PyTree, images: UInt8[Array, "batch height width channels"]
    ) -> Detections:
        """The detections of each image, in pixels of the network's input.

        Args:
            params, state: as `loss` takes and returns them.
            images: [B, height, width, channels].
        """
        maps, _ = self._maps(params, state, _as_float(images), train=False)
        logits, offsets = apply(self._proposal_head, params["proposal_head"], maps)
        proposed = self._propose(logits, offsets, train=False)
        class_logits, box_offsets = self._boxes(params, maps, proposed.boxes)
        return jax.vmap(
            lambda logits, offsets, boxes, mask: detections(
                self.detections,
                self.roi_targets.coder,
                logits,
                offsets,
                boxes,
                mask,
                self.height,
                self.width,
            )
        )(class_logits, box_offsets, proposed.boxes, proposed.mask)

    @property
    def _pyramid(self) -> FeaturePyramid:
        dtype = jnp.dtype(self.encoder.dtype)
        return FeaturePyramid(self.pyramid_channels, self.anchors.strides, dtype)

    @property
    def _proposal_head(self) -> ProposalHead:
        return ProposalHead(self.anchors.per_place, jnp.dtype(self.encoder.dtype))

    @property
    def _box_head(self) -> BoxHead:
        dtype = jnp.dtype(self.encoder.dtype)
        return BoxHead(self.box_head_width, len(self.classes) + 1, dtype)

    def _maps(
        self, params: PyTree, state: PyTree, images: Array, *, train: bool
    ) -> tuple[tuple[Array, ...], PyTree]:
        """(the pyramid's maps, the encoder's batch statistics) of images in [0, 1]."""
        joined, stats = self.join(params, state)
        maps, moved = run_feature_maps(
            self.encoder.module(),
            joined["encoder"],
            stats["encoder"],
            self.pixels(images),
            train=train and self.batch_norm == "batch",
            frozen_stages=self.frozen_stages,
        )
        used = {stride: maps[stride] for stride in self.roi_strides}
        return apply(self._pyramid, params["pyramid"], used), moved

    def _propose(
        self, logits: tuple[Array, ...], offsets: tuple[Array, ...], *, train: bool
    ) -> Proposals:
        """The proposals of each image."""
        anchors, levels = make_anchors(self.anchors, self.height, self.width)
        by_level = [
            jnp.asarray(anchors[levels == level]) for level in range(len(self.anchors.strides))
        ]
        return jax.vmap(
            lambda logits, offsets: propose(
                self.proposals,
                self.anchor_targets.coder,
                logits,
                offsets,
                by_level,
                self.height,
                self.width,
                train=train,
            )
        )(logits, offsets)

    def _boxes(
        self, params: PyTree, maps: tuple[Array, ...], boxes: Float[Array, "batch rois 4"]
    ) -> tuple[Array, Array]:
        """(class logits, box offsets) of the boxes."""
        align: Callable[..., Array] = (
            roi_align if self.roi_align == "gather" else roi_align_separable
        )
        strides = self.roi_strides
        features = align(self.roi, maps[: len(strides)], strides, boxes)
        return apply(self._box_head, params["box_head"], features)

    def _proposal_losses(
        self,
        logits: Float[Array, "batch anchors"],
        offsets: Float[Array, "batch anchors 4"],
        wanted: AnchorTargets,
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """(objectness loss, box loss) of the sampled anchors."""
        drawn = wanted.sample
        logit = jnp.take_along_axis(logits, drawn.rows, axis=1)
        objectness = mean_where(binary_cross_entropy(logit, drawn.positive), drawn.mask)
        offset = jnp.take_along_axis(offsets, drawn.rows[..., None], axis=1)
        distance = smooth_l1(offset - wanted.offsets, self.smooth_l1).sum(axis=-1)
        return objectness, mean_where(distance, drawn.positive & drawn.mask, drawn.mask.sum())


def _as_float(images: Array) -> Array:
    """Float32 pixels in [0, 1]; integers are taken as 0 to 255."""
    scale = 1 / 255.0 if jnp.issubdtype(images.dtype, jnp.integer) else 1.0
    return images.astype(jnp.float32) * scale


def _in_order(
    boxes: Float[Array, "batch truths 4"],
    labels: Int[Array, "batch truths"],
    mask: Bool[Array, "batch truths"],
) -> tuple[Array, Array, Array]:
    """The boxes that can be used first, ordered by their coordinates and labels.

    So neither the order of an image's boxes nor the number of rows changes what is drawn.
    """
    usable = mask & is_finite(boxes) & (boxes[..., 2:] > boxes[..., :2]).all(axis=-1)
    boxes = jnp.where(usable[..., None], boxes, 0.0)
    labels = jnp.where(usable, labels, 0)
    order = jnp.lexsort((labels, *jnp.moveaxis(boxes, -1, 0), ~usable), axis=-1)
    return (
        jnp.take_along_axis(boxes, order[..., None], axis=1),
        jnp.take_along_axis(labels, order, axis=1),
        jnp.take_along_axis(usable, order, axis=1),
    )
