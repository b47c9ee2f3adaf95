"""The detector as a whole: its loss, what its masks promise, frozen parts, detections."""

import dataclasses
import functools

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examine_jax.detection.augmentation import NO_CHANGE
from examine_jax.detection.geometry.anchors import AnchorSettings
from examine_jax.detection.geometry.roi_align_separable import roi_align_separable
from examine_jax.detection.presets import PRESETS
from examine_jax.training.method import Trainable, required_columns
from tests.support.tiny_detector import HEIGHT, TINY, WIDTH, tiny_batch, tiny_start

KEY = jax.random.key(7)
LOSSES = ("objectness_loss", "proposal_box_loss", "class_loss", "box_loss")


@functools.cache
def start(detector=TINY):
    return tiny_start(detector)


@functools.partial(jax.jit, static_argnums=0)
def gradient(detector, params, state, batch):
    return jax.value_and_grad(detector.loss, has_aux=True)(params, state, batch, KEY)


def run(batch, detector=TINY):
    """(loss, metrics, state, gradient) of the batch."""
    (loss, (state, metrics)), found = gradient(detector, *start(detector), batch)
    return float(loss), jax.device_get(metrics), state, found


@functools.cache
def plain():
    return run(tiny_batch())


def assert_same(found, expected):
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_loss_is_the_sum_of_four_and_reaches_every_parameter():
    loss, metrics, _, found = plain()
    assert np.isclose(loss, sum(metrics[name] for name in LOSSES))
    assert min(metrics[name] for name in LOSSES) > 0
    assert metrics["positive_proposals"] > 0
    for path, leaf in jax.tree_util.tree_leaves_with_path(found):
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.permutations(range(5)), st.floats(width=32), st.integers(-3, 99))
def test_the_order_of_the_boxes_and_what_is_masked_out_change_nothing(order, number, label):
    batch = tiny_batch()
    moved = {name: np.array(batch[name])[:, order] for name in ("boxes", "box_labels", "box_mask")}
    absent = ~moved["box_mask"]
    moved["boxes"][absent], moved["box_labels"][absent] = number, label
    assert_same(run(batch | moved), plain())


def test_more_rows_change_nothing():
    _, (_, found) = jax.jit(TINY.loss)(*start(), tiny_batch(rows=8), KEY)
    for name, expected in plain()[1].items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-6)


@pytest.mark.parametrize(
    "bad",
    [[np.nan, 1, 9, 9], [0, 0, np.inf, 9], [9, 9, 9, 20], [20, 9, 9, 20]],
    ids=["nan", "inf", "empty", "turned"],
)
def test_boxes_that_cannot_be_used_are_left_out(bad):
    batch = tiny_batch()
    boxes = batch["boxes"].at[:, 4].set(jnp.array(bad, jnp.float32))
    assert_same(
        run(batch | {"boxes": boxes, "box_mask": batch["box_mask"].at[:, 4].set(True)}), plain()
    )


def test_a_box_outside_the_anchors_reach_does_not_make_all_anchors_positive():
    batch = tiny_batch()
    boxes = batch["boxes"].at[1, 0].set(jnp.array([900.0, 900, 910, 910]))
    found = run(batch | {"boxes": boxes, "box_mask": batch["box_mask"].at[1, 0].set(True)})
    np.testing.assert_allclose(found[1]["proposal_box_loss"], plain()[1]["proposal_box_loss"])


def test_without_any_box_all_is_background():
    batch = tiny_batch()
    loss, metrics, _, found = run(batch | {"box_mask": jnp.zeros_like(batch["box_mask"])})
    assert metrics["proposal_box_loss"] == metrics["box_loss"] == metrics["positive_proposals"] == 0
    assert np.isfinite(loss)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def test_rows_may_be_missing_altogether():
    batch = tiny_batch()
    none = {name: batch[name][:, :0] for name in ("boxes", "box_labels", "box_mask")}
    loss, _ = jax.eval_shape(TINY.loss, *start(), batch | none, KEY)
    assert loss.shape == ()


FROZEN = {
    "stage": dataclasses.replace(TINY, frozen_stages=1),
    "running": dataclasses.replace(TINY, batch_norm="running"),
    "norms": dataclasses.replace(TINY, batch_norm="frozen", frozen_stages=1),
}


@pytest.mark.parametrize("name", FROZEN)
def test_frozen_parts_have_no_gradient_and_keep_their_statistics(name):
    detector = FROZEN[name]
    params, state = start(detector)
    joined, stats = detector.join(params, state)
    assert jax.tree.structure(joined) == jax.tree.structure(start()[0])
    assert_same(detector.divide(joined, stats), (params, state))
    trained = {
        jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)
    }
    assert not any("stem" in path for path in trained) or name == "running"
    assert any("norm" in path for path in trained) == (name != "norms")
    assert any("stage_1" in path and "conv" in path for path in trained)
    _, (moved, _) = jax.eval_shape(detector.loss, params, state, tiny_batch(), KEY)
    assert jax.tree.structure(moved) == jax.tree.structure(state)


def test_detections_are_sorted_lie_inside_and_do_not_depend_on_other_images():
    images = tiny_batch()["image"]
    detect = jax.jit(TINY.detect)
    found = detect(*start(), images)
    assert found.corners.shape == (4, 6, 4)
    mask = np.asarray(found.mask)
    assert mask.any()
    corners, score, label = (np.asarray(values)[mask] for values in found[:3])
    assert (corners >= 0).all()
    assert (corners <= [WIDTH, HEIGHT, WIDTH, HEIGHT]).all()
    assert (corners[:, 2:] > corners[:, :2]).all()
    assert (score > 0.2).all()
    assert set(label) <= {0, 1}
    assert (np.diff(found.score, axis=1) <= 0).all()
    assert (np.asarray(found.label)[~mask] == -1).all()
    assert not np.asarray(found.corners)[~mask].any()
    turned = detect(*start(), images[::-1])
    assert_same(jax.tree.map(lambda leaf: leaf[::-1], turned), found)


def test_the_loss_and_the_detections_lower_for_every_platform():
    params, state = jax.eval_shape(TINY.init, KEY, tiny_batch())
    batch = jax.eval_shape(lambda: tiny_batch())
    key = jax.eval_shape(lambda: KEY)
    step = jax.jit(jax.value_and_grad(TINY.loss, has_aux=True))
    maps = tuple(jnp.zeros((2, 8 // s, 8 // s, 3)) for s in (1, 2))
    separable = jax.jit(lambda maps, boxes: roi_align_separable(TINY.roi, maps, (4, 8), boxes))
    platforms = ("cpu", "cuda", "tpu")
    for program, arguments in (
        (step, (params, state, batch, key)),
        (jax.jit(TINY.detect), (params, state, batch["image"])),
        (separable, (maps, jnp.zeros((2, 5, 4)))),
    ):
        exported = jax.export.export(program, platforms=platforms)(*arguments)
        assert exported.platforms == platforms


def test_bfloat16_keeps_float32_losses_gradients_and_statistics():
    half = dataclasses.replace(TINY, encoder=dataclasses.replace(TINY.encoder, dtype="bfloat16"))
    step = jax.value_and_grad(half.loss, has_aux=True)
    found = jax.eval_shape(step, *start(half), tiny_batch(), KEY)
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {jnp.dtype("float32")}


def test_it_is_trainable_and_its_parameters_start_as_documented():
    assert isinstance(TINY, Trainable)
    assert required_columns(TINY) == ("image", "boxes", "box_labels", "box_mask")
    hash(TINY)
    params, state = jax.eval_shape(TINY.init, KEY, tiny_batch())
    assert set(params) == {"encoder", "pyramid", "proposal_head", "box_head"}
    assert set(state) == {"batch_stats", "frozen"}


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name):
    detector = PRESETS[name](("a", "b", "c"), channels=1)
    assert detector.freezes == (name == "released_code")
    assert detector.augmentation != NO_CHANGE
    params, _ = jax.eval_shape(detector.init, KEY, {})
    assert params["box_head"]["classes"]["bias"].shape == (4,)
    assert params["box_head"]["boxes"]["bias"].shape == (16,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ()}, "one or more different names"),
        ({"classes": ("a", "a")}, "one or more different names"),
        ({"height": 36}, "multiples of 8"),
        ({"anchors": AnchorSettings(((8.0,),), strides=(16,))}, "whose first stride is among them"),
        ({"smooth_l1": -1}, "smooth_l1 must be at least 0"),
        ({"frozen_stages": 3}, "from 0 to 2"),
    ],
)
def test_an_impossible_detector_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **changes)
