"""The parts of a detector against torchvision's (golden/make_torchvision.py)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.detection.geometry.anchors import AnchorSettings, make_anchors
from examine_jax.detection.geometry.boxes import iou
from examine_jax.detection.geometry.coder import BoxCoder
from examine_jax.detection.geometry.roi_align import roi_align
from examine_jax.detection.geometry.roi_align_separable import roi_align_separable
from examine_jax.detection.geometry.roi_sampling import RoISampling
from examine_jax.detection.losses import binary_cross_entropy, cross_entropy, mean_where, smooth_l1
from examine_jax.detection.post_processing import DetectionSettings, detections
from examine_jax.detection.proposals import ProposalSettings, propose
from examine_jax.detection.targets import ANCHOR_TARGETS, ROI_TARGETS
from examine_jax.models import apply
from examine_jax.models.feature_pyramid import FeaturePyramid
from tests.support.torchvision_detector import GOLDEN

PARTS = np.load(GOLDEN / "torchvision_parts.npz")


@pytest.mark.parametrize("case", ["default", "odd", "two_sizes", "ratios"])
def test_anchors(case: str) -> None:
    golden = {name: PARTS[f"anchors/{case}/{name}"] for name in ("sizes", "ratios", "image")}
    first = 4 if case in ("default", "odd") else 8
    sizes = tuple(map(tuple, golden["sizes"].tolist()))
    settings = AnchorSettings(
        sizes,
        tuple(golden["ratios"].tolist()),
        tuple(first * 2**level for level in range(len(sizes))),
    )
    height, width = golden["image"].tolist()
    boxes, levels = make_anchors(settings, height, width)
    np.testing.assert_array_equal(boxes, PARTS[f"anchors/{case}/boxes"])
    grids = PARTS[f"anchors/{case}/grids"]
    assert settings.grids(height, width) == tuple(map(tuple, grids.tolist()))
    np.testing.assert_array_equal(np.bincount(levels), grids.prod(axis=1) * settings.per_place)


def test_coder() -> None:
    deltas = PARTS["coder/deltas"].reshape(40, 3, 4)

    @jax.jit
    def coded(reference, proposals, deltas):
        return [
            (coder.encode(reference, proposals), coder.decode(deltas, proposals[:, None]))
            for coder in (BoxCoder(), ROI_TARGETS.coder)
        ]

    ours = coded(PARTS["coder/reference"], PARTS["coder/proposals"], deltas)
    for (encoded, decoded), name in zip(ours, ("ones", "roi")):
        np.testing.assert_allclose(encoded, PARTS[f"coder/{name}/encoded"], rtol=2e-6, atol=1e-5)
        # Boxes have up to 20,000 pixels.
        np.testing.assert_allclose(decoded, PARTS[f"coder/{name}/decoded"], rtol=1e-6, atol=2e-3)


def test_matcher() -> None:
    """All cases at once, padded to the same number of true boxes."""
    cases, rows = ("random", "on_anchors", "ties", "tiny", "one_large"), 7
    truths, masks = np.zeros((len(cases), rows, 4), np.float32), np.zeros((len(cases), rows), bool)
    for i, case in enumerate(cases):
        own = PARTS[f"matcher/{case}/truth"]
        truths[i, : len(own)], masks[i, : len(own)] = own, True

    @jax.jit
    def matched(truths, masks):
        overlaps = jax.vmap(iou, (0, None))(truths, jnp.asarray(PARTS["matcher/anchors"]))
        settings = (ANCHOR_TARGETS, ROI_TARGETS)
        return overlaps, [jax.vmap(x.matcher)(overlaps, masks) for x in settings]

    overlaps, found = matched(truths, masks)
    for i, case in enumerate(cases):
        golden = PARTS[f"matcher/{case}/iou"]
        np.testing.assert_allclose(overlaps[i, : len(golden)], golden, rtol=1e-6, atol=1e-7)
        for ours, name in zip(found, ("rpn", "roi")):
            theirs = PARTS[f"matcher/{case}/{name}"]
            np.testing.assert_array_equal(ours.positive[i], theirs >= 0)
            np.testing.assert_array_equal(ours.negative[i], theirs == -1)
            np.testing.assert_array_equal(
                np.asarray(ours.truth[i])[theirs >= 0], theirs[theirs >= 0]
            )


def test_levels() -> None:
    boxes = jnp.asarray(PARTS["levels/boxes"])
    for canonical, name in ((224, "level"), (56, "level_56")):
        rows = RoISampling(canonical_size=canonical).levels(boxes, (4, 8, 16, 32))
        np.testing.assert_array_equal(rows + 2, PARTS[f"levels/{name}"])


def test_pyramid_with_odd_sides() -> None:
    maps = {
        stride: jnp.asarray(PARTS[f"pyramid/input/{i}"]).transpose(0, 2, 3, 1)
        for i, stride in enumerate((8, 16, 32))
    }
    params = {}
    for i, stride in enumerate(maps):
        for ours, theirs in (("lateral", "inner_blocks"), ("output", "layer_blocks")):
            name = f"pyramid/state/{theirs}.{i}.0"
            params[f"{ours}_{stride}"] = {
                "kernel": jnp.asarray(PARTS[f"{name}.weight"].transpose(2, 3, 1, 0)),
                "bias": jnp.asarray(PARTS[f"{name}.bias"]),
            }
    pyramid = FeaturePyramid(5, (8, 16, 32, 64))
    outputs = jax.jit(lambda params, maps: apply(pyramid, params, maps))(params, maps)
    for output, name in zip(outputs, ("0", "1", "2", "pool")):
        theirs = PARTS[f"pyramid/output/{name}"].transpose(0, 2, 3, 1)
        np.testing.assert_allclose(output, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("align", [roi_align, roi_align_separable])
def test_pooling_over_levels(align) -> None:
    maps = tuple(
        jnp.asarray(PARTS[f"pooling/map/{level}"]).transpose(0, 2, 3, 1) for level in range(4)
    )
    boxes = PARTS["pooling/boxes"]
    second = np.zeros_like(boxes)
    second[: len(boxes[::2])] = boxes[::2]
    rois = jnp.asarray(np.stack([boxes, second]))
    used = np.ones(rois.shape[:2], bool)
    used[1, len(boxes[::2]) :] = False
    weights = np.zeros((2, len(boxes), 7, 7, 3), np.float32)
    weights[used] = PARTS["pooling/weights"].transpose(0, 2, 3, 1)

    @jax.jit
    def pooled(maps):
        features = align(RoISampling(canonical_size=56), maps, (4, 8, 16, 32), rois)
        return (features * weights).sum(), features

    gradients, features = jax.grad(pooled, has_aux=True)(maps)
    np.testing.assert_allclose(
        np.asarray(features)[used],
        PARTS["pooling/output"].transpose(0, 2, 3, 1),
        rtol=1e-4,
        atol=3e-5,
    )
    for level, gradient in enumerate(gradients):
        theirs = PARTS[f"pooling/gradient/{level}"].transpose(0, 2, 3, 1)
        np.testing.assert_allclose(gradient, theirs, rtol=1e-4, atol=1e-4)


def test_proposals() -> None:
    ends = np.cumsum(PARTS["proposals/counts"])[:-1]
    anchors = [jnp.asarray(x) for x in np.split(PARTS["proposals/anchors"], ends)]
    settings = ProposalSettings(candidates=60, test_candidates=40, most=50, test_most=30)

    @jax.jit
    @jax.vmap
    def proposed(logits, deltas):
        levels = jnp.split(logits, ends), jnp.split(deltas, ends), anchors
        return [propose(settings, BoxCoder(), *levels, 64, 96, train=x) for x in (True, False)]

    results = proposed(PARTS["proposals/logits"], PARTS["proposals/deltas"])
    for ours, mode, count in zip(results, ("training", "testing"), (50, 30)):
        for image in range(2):
            theirs = PARTS[f"proposals/{mode}/boxes_{image}"]
            assert ours.mask[image].sum() == len(theirs) == count
            np.testing.assert_allclose(ours.boxes[image], theirs, atol=3e-5)
            np.testing.assert_allclose(
                1 / (1 + np.exp(-np.asarray(ours.logit[image]))),
                PARTS[f"proposals/{mode}/scores_{image}"],
                atol=1e-6,
            )


def test_losses() -> None:
    names = ("labels", "logits", "deltas", "targets")

    @jax.jit
    def of_anchors(labels, logits, deltas, targets):
        sampled, positive = labels >= 0, labels > 0
        distance = smooth_l1(deltas - targets, 1 / 9).sum(axis=-1)
        return (
            mean_where(binary_cross_entropy(logits, positive), sampled),
            mean_where(distance, positive, sampled.sum()),
        )

    @jax.jit
    def of_boxes(labels, logits, deltas, targets):
        everything = jnp.ones(len(labels), bool)
        own = deltas.reshape(len(labels), -1, 4)[jnp.arange(len(labels)), labels]
        distance = smooth_l1(own - targets, 1 / 9).sum(axis=-1)
        return (
            mean_where(cross_entropy(logits, labels), everything),
            mean_where(distance, labels > 0, everything.sum()),
        )

    for losses, kind, first in ((of_anchors, "rpn", "objectness"), (of_boxes, "roi", "classifier")):
        ours = losses(*(PARTS[f"losses/{kind}/{name}"] for name in names))
        theirs = [PARTS[f"losses/{kind}/{name}"] for name in (first, "box")]
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_detections() -> None:
    @jax.jit
    @jax.vmap
    def found(logits, deltas, proposals):
        exists = jnp.ones(len(proposals), bool)
        coder, settings = ROI_TARGETS.coder, DetectionSettings(most=20)
        offsets = deltas.reshape(len(logits), -1, 4)
        return detections(settings, coder, logits, offsets, proposals, exists, 96, 128)

    ours = found(*(PARTS[f"detections/{name}"] for name in ("logits", "deltas", "proposals")))
    for image in range(2):
        for values, name, atol in (
            (ours.corners, "boxes", 3e-5),
            (ours.score, "scores", 1e-6),
            (ours.label + 1, "labels", 0),
        ):
            np.testing.assert_allclose(
                values[image], PARTS[f"detections/{name}_{image}"], rtol=0, atol=atol
            )
