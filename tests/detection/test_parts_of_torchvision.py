"""Parts of the detector against torchvision 0.29.1, by golden/make_torchvision.py's file."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.detection.geometry.anchors import AnchorSettings, make_anchors
from examine_jax.detection.geometry.boxes import iou
from examine_jax.detection.geometry.coder import BoxCoder
from examine_jax.detection.geometry.matching import Matcher
from examine_jax.detection.geometry.roi_align import roi_align
from examine_jax.detection.geometry.roi_sampling import RoISampling
from examine_jax.detection.losses import (
    binary_cross_entropy,
    cross_entropy,
    mean_where,
    smooth_l1,
)
from examine_jax.detection.post_processing import DetectionSettings, detections
from examine_jax.detection.proposals import ProposalSettings, propose
from examine_jax.models import apply
from examine_jax.models.feature_pyramid import FeaturePyramid

STORED = dict(np.load(pathlib.Path(__file__).parent / "golden" / "torchvision_parts.npz"))
ROI_CODER = BoxCoder((10.0, 10.0, 5.0, 5.0))
STRIDES = (4, 8, 16, 32)


def stored(name):
    return jnp.asarray(STORED[name])


@pytest.mark.parametrize("name", ["default", "odd", "two_sizes", "ratios"])
def test_anchors(name):
    sizes, ratios = (STORED[f"anchors/{name}/{key}"] for key in ("sizes", "ratios"))
    first = 4 if name in ("default", "odd") else 8
    strides = tuple(first * 2**level for level in range(len(sizes)))
    settings = AnchorSettings(tuple(map(tuple, sizes.tolist())), tuple(ratios.tolist()), strides)
    height, width = map(int, STORED[f"anchors/{name}/image"])
    assert settings.grids(height, width) == tuple(map(tuple, STORED[f"anchors/{name}/grids"]))
    anchors, _ = make_anchors(settings, height, width)
    np.testing.assert_array_equal(anchors, STORED[f"anchors/{name}/boxes"])


@pytest.mark.parametrize(("name", "coder"), [("ones", BoxCoder()), ("roi", ROI_CODER)])
def test_box_coder(name, coder):
    proposals = stored("coder/proposals")
    encoded = jax.jit(coder.encode)(stored("coder/reference"), proposals)
    np.testing.assert_allclose(encoded, STORED[f"coder/{name}/encoded"], rtol=1e-5, atol=1e-6)
    deltas = stored("coder/deltas").reshape(-1, 3, 4)
    decoded = jax.jit(coder.decode)(deltas, proposals[:, None])
    expected = STORED[f"coder/{name}/decoded"].reshape(decoded.shape)
    np.testing.assert_allclose(decoded, expected, rtol=2e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["random", "on_anchors", "ties", "tiny", "one_large"])
def test_matcher(name):
    overlaps = jax.jit(iou)(stored(f"matcher/{name}/truth"), stored("matcher/anchors"))
    expected = STORED[f"matcher/{name}/iou"]
    np.testing.assert_allclose(overlaps, expected, rtol=1e-6, atol=1e-7)
    mask = jnp.ones(len(overlaps), bool)
    for key, matcher in (("rpn", Matcher(0.7, 0.3, True)), ("roi", Matcher(0.5, 0.5, False))):
        truth, positive, negative = jax.jit(matcher)(expected, mask)
        found = np.where(positive, truth, np.where(negative, -1, -2))
        np.testing.assert_array_equal(found, STORED[f"matcher/{name}/{key}"])


def test_levels():
    for key, size in (("level", 224), ("level_56", 56)):
        found = RoISampling(canonical_size=size).levels(stored("levels/boxes"), STRIDES)
        np.testing.assert_array_equal(found + 2, STORED[f"levels/{key}"])


def test_feature_pyramid_of_odd_sides():
    params = {}
    for i, stride in enumerate((4, 8, 16)):
        for name, block in (("lateral", "inner_blocks"), ("output", "layer_blocks")):
            where = f"pyramid/state/{block}.{i}.0"
            params[f"{name}_{stride}"] = {
                "kernel": stored(f"{where}.weight").transpose(2, 3, 1, 0),
                "bias": stored(f"{where}.bias"),
            }
    maps = {
        stride: stored(f"pyramid/input/{i}").transpose(0, 2, 3, 1)
        for i, stride in enumerate((4, 8, 16))
    }
    network = FeaturePyramid(5, (4, 8, 16, 32))
    found = jax.jit(functools.partial(apply, network))(params, maps)
    for one, name in zip(found, ("0", "1", "2", "pool"), strict=True):
        expected = STORED[f"pyramid/output/{name}"].transpose(0, 2, 3, 1)
        np.testing.assert_allclose(one, expected, atol=1e-5)


def test_roi_align_and_its_gradient():
    maps = [stored(f"pooling/map/{i}").transpose(0, 2, 3, 1) for i in range(4)]
    # The second image has every second box.
    box = stored("pooling/boxes")
    boxes = jnp.stack([box, jnp.pad(box[::2], ((0, 6), (0, 0)))])
    weights = STORED["pooling/weights"].transpose(0, 2, 3, 1)
    weights = jnp.stack([weights[:12], np.pad(weights[12:], ((0, 6), *[(0, 0)] * 3))])

    @jax.jit
    def both(maps):
        found = roi_align(RoISampling(canonical_size=56), maps, STRIDES, boxes)
        return (found * weights).sum(), found

    gradient, found = jax.grad(both, has_aux=True)(maps)
    found = jnp.concatenate([found[0], found[1, :6]])
    expected = STORED["pooling/output"].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for i in range(4):
        expected = STORED[f"pooling/gradient/{i}"].transpose(0, 2, 3, 1)
        np.testing.assert_allclose(gradient[i], expected, atol=2e-5)


@pytest.mark.parametrize("mode", ["training", "testing"])
def test_proposals(mode):
    ends = np.cumsum(STORED["proposals/counts"])[:-1]
    settings = ProposalSettings(60, 40, 50, 30)

    @jax.jit
    def run(logits, offsets, anchors):
        return propose(
            settings, BoxCoder(), logits, offsets, anchors, 64, 96, train=mode == "training"
        )

    anchors = jnp.split(stored("proposals/anchors"), ends)
    for image in range(2):
        found = run(
            jnp.split(stored("proposals/logits")[image], ends),
            jnp.split(stored("proposals/deltas")[image], ends),
            anchors,
        )
        expected = STORED[f"proposals/{mode}/boxes_{image}"]
        mask = np.asarray(found.mask)
        assert mask.sum() == len(expected)
        np.testing.assert_allclose(found.boxes[mask], expected, atol=1e-3)
        scores = STORED[f"proposals/{mode}/scores_{image}"]
        np.testing.assert_allclose(jax.nn.sigmoid(found.logit[mask]), scores, rtol=1e-5)


@jax.jit
def proposal_losses(labels, logits, deltas, targets):
    sampled = labels >= 0
    distance = smooth_l1(deltas - targets, 1 / 9).sum(axis=-1)
    return (
        mean_where(binary_cross_entropy(logits, labels == 1), sampled),
        mean_where(distance, labels == 1, sampled.sum()),
    )


@jax.jit
def box_losses(labels, logits, deltas, targets):
    own = deltas.reshape(12, 4, 4)[jnp.arange(12), labels]
    distance = smooth_l1(own - targets, 1 / 9).sum(axis=-1)
    return (
        mean_where(cross_entropy(logits, labels), labels >= 0),
        mean_where(distance, labels > 0, jnp.asarray(12)),
    )


@pytest.mark.parametrize(
    ("head", "run", "names"),
    [("rpn", proposal_losses, ("objectness", "box")), ("roi", box_losses, ("classifier", "box"))],
)
def test_losses(head, run, names):
    found = run(*(stored(f"losses/{head}/{n}") for n in ("labels", "logits", "deltas", "targets")))
    for one, name in zip(found, names, strict=True):
        np.testing.assert_allclose(one, STORED[f"losses/{head}/{name}"], rtol=1e-5)


def test_detections():
    run = jax.jit(
        lambda *own: detections(
            DetectionSettings(most=20), ROI_CODER, *own, jnp.ones(60, bool), 96, 128
        )
    )
    for image in range(2):
        found = run(
            stored("detections/logits")[image],
            stored("detections/deltas")[image].reshape(60, 4, 4),
            stored("detections/proposals")[image],
        )
        assert found.mask.all()
        np.testing.assert_allclose(found.corners, STORED[f"detections/boxes_{image}"], atol=1e-3)
        np.testing.assert_allclose(found.score, STORED[f"detections/scores_{image}"], rtol=1e-5)
        np.testing.assert_array_equal(found.label + 1, STORED[f"detections/labels_{image}"])
