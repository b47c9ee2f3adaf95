"""The pyramid's and the heads' shapes, initial weights and precision; torchvision's values are
tested in tests/detection.
"""

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.models import apply
from examine_jax.models.detector_heads import BoxHead, ProposalHead
from examine_jax.models.feature_pyramid import FeaturePyramid, nearest
from examine_jax.models.forward import init_params

MAPS = {8: jnp.ones((2, 6, 4, 16)), 16: jnp.ones((2, 3, 2, 32))}
PYRAMID = FeaturePyramid(64, (8, 16, 32))
KEY = jax.random.key(0)


def test_the_pyramid_starts_uniform_by_fan_in():
    params = jax.jit(lambda key: init_params(PYRAMID, key, MAPS))(KEY)
    assert set(params) == {"lateral_8", "lateral_16", "output_8", "output_16"}
    for name, inputs in (("lateral_16", 32), ("output_8", 9 * 64)):
        kernel = np.abs(params[name]["kernel"])
        assert 0.95 < kernel.max() / (3 / inputs) ** 0.5 <= 1
        assert not params[name]["bias"].any()


def test_bfloat16_maps_and_float32_outputs():
    half = FeaturePyramid(8, (8, 16, 32), jnp.dtype("bfloat16"))
    head = ProposalHead(3, jnp.dtype("bfloat16"))
    box_head = BoxHead(5, 4, jnp.dtype("bfloat16"))

    def run(key):
        maps = apply(half, init_params(half, key, MAPS), MAPS)
        rois = jnp.ones((2, 7, 3, 3, 8))
        params = init_params(head, key, maps), init_params(box_head, key, rois)
        return maps, apply(head, params[0], maps), apply(box_head, params[1], rois)

    maps, (logits, offsets), (classes, boxes) = jax.eval_shape(run, KEY)
    assert [one.shape for one in maps] == [(2, 6, 4, 8), (2, 3, 2, 8), (2, 2, 1, 8)]
    assert {one.dtype for one in maps} == {jnp.dtype("bfloat16")}
    assert [one.shape for one in logits] == [(2, 72), (2, 18), (2, 6)]
    assert [one.shape for one in offsets] == [(2, 72, 4), (2, 18, 4), (2, 6, 4)]
    assert (classes.shape, boxes.shape) == ((2, 7, 4), (2, 7, 4, 4))
    assert {one.dtype for one in (*logits, *offsets, classes, boxes)} == {jnp.dtype("float32")}


def test_heads_start_with_detectron2s_deviations():
    @jax.jit
    def start(key):
        box_head = init_params(BoxHead(32, 40, jnp.float32), key, jnp.ones((1, 1, 2, 2, 8)))
        return box_head, init_params(ProposalHead(6), key, (jnp.ones((1, 2, 2, 16)),))

    box_head, proposal_head = start(KEY)
    for params, name, deviation in (
        (box_head, "classes", 0.01),
        (box_head, "boxes", 0.001),
        (proposal_head, "convolution", 0.01),
    ):
        assert abs(np.std(params[name]["kernel"]) / deviation - 1) < 0.1


def test_nearest_shows_the_place_that_torch_shows():
    x = np.arange(6, dtype=np.float32).reshape(1, 2, 3, 1)
    doubled, odd = jax.jit(lambda x: (nearest(x, 4, 6), nearest(x, 3, 5)))(x)
    doubled, odd = (one[0, :, :, 0] for one in map(np.asarray, (doubled, odd)))
    np.testing.assert_array_equal(doubled, np.repeat(np.repeat(x[0, :, :, 0], 2, 0), 2, 1))
    np.testing.assert_array_equal(odd, [[0, 0, 1, 1, 2], [0, 0, 1, 1, 2], [3, 3, 4, 4, 5]])
