"""SimCLR, DCL, BYOL, SimSiam and VICReg: their networks' inputs, constants and states."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from examine_jax.images.augmentation import TwoViews
from examine_jax.models import FlaxEncoder, ViTConfig
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining import PixelScale
from examine_jax.pretraining.losses import (
    covariance_penalty,
    decoupled_contrastive,
    invariance,
    negative_cosine,
    normalised_regression,
    nt_xent,
    variance_hinge,
)
from examine_jax.pretraining.methods.byol import BYOL
from examine_jax.pretraining.methods.dcl import DCL
from examine_jax.pretraining.methods.simclr import SimCLR
from examine_jax.pretraining.methods.simsiam import SimSiam
from examine_jax.pretraining.methods.vicreg import VICReg
from examine_jax.pretraining.moving_average import MovingAverage
from examine_jax.training.method import Method


@dataclasses.dataclass(frozen=True)
class Noisy:
    """A stand-in for augmentation: floats, some noise, and the middle of larger images."""

    amount: float = 0.05
    size: int = 8

    def __call__(self, key, images):
        first = (images.shape[1] - self.size) // 2
        images = images[:, first : first + self.size, first : first + self.size]
        images = images / 255 if images.dtype == jnp.uint8 else images
        return images.astype(jnp.float32) + self.amount * jax.random.normal(key, images.shape)


class Convolutional(nn.Module):
    @nn.compact
    def __call__(self, images, train):
        x = nn.Conv(6, (3, 3), strides=2)(images)
        return nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)).mean(
            axis=(1, 2)
        )


# What is compiled here runs once.
quickly = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

VIT = ViTConfig(image_size=8, patch_size=4, channels=3, width=12, depth=1, heads=3, mlp_width=16)
CONVOLUTIONAL = FlaxEncoder(Convolutional(), image_size=8, channels=3, features=6)
VIEWS = TwoViews(Noisy(0.05), Noisy(0.1))
HEAD, PREDICTOR = HeadConfig((10, 6)), HeadConfig((4, 6))
PIXELS = PixelScale((0.5,), (0.25,))


def methods(encoder):
    common = {"encoder": encoder, "augmentation": VIEWS, "projector": HEAD, "pixels": PIXELS}
    return {
        "simclr": SimCLR(**common),
        "simclr_each_view": SimCLR(**common, batch_norm_over="each_view"),
        "dcl": DCL(**common),
        "dclw": DCL(**common, weight_sigma=0.5, directions="first"),
        "byol": BYOL(**common, predictor=PREDICTOR, moving_average=MovingAverage(0.9, 20)),
        "simsiam": SimSiam(**common, predictor=PREDICTOR),
        "simsiam_without_predictor": SimSiam(**common, predictor=None),
        "vicreg": VICReg(**common),
    }


NAMES = tuple(methods(VIT))
BATCH = {
    "image": jnp.asarray(np.random.default_rng(0).integers(0, 256, (8, 8, 8, 3), dtype=np.uint8)),
    "index": jnp.arange(8, dtype=jnp.int32),
}
KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def trained():
    """Each method is compiled once.

    The values are (method, params, state, loss, state after, metrics, gradient).
    """
    results = {}

    def run(name):
        if name not in results:
            method = methods(CONVOLUTIONAL)[name]
            params, state = quickly(method.init)(jax.random.key(1), BATCH)
            (loss, (after, metrics)), gradient = quickly(
                jax.value_and_grad(method.loss, has_aux=True)
            )(params, state, BATCH, KEY)
            results[name] = method, params, state, loss, after, metrics, gradient
        return results[name]

    return run


def by_hand(method, params, stats, views, names):
    """Each network's outputs for each view, by Flax alone, the views one after the other."""
    modules = {
        "encoder": method.encoder.module(),
        "projector": HEAD.module(),
        "predictor": PREDICTOR.module(),
    }

    @quickly
    def run(params, stats, views):
        outputs = []
        for view in views:
            x, of_view = PIXELS(view), {}
            for name in names:
                variables = {"params": params[name], "batch_stats": stats[name]}
                x, changed = modules[name].apply(variables, x, train=True, mutable=["batch_stats"])
                stats = {**stats, name: changed["batch_stats"]}
                of_view[name] = x
            outputs.append(of_view)
        return (*outputs, stats)

    return run(params, stats, views)


def same(tree, other):
    assert jax.tree.structure(tree) == jax.tree.structure(other)
    for ours, theirs in zip(jax.tree.leaves(tree), jax.tree.leaves(other)):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=1e-5)


def expected_loss(name, first, second, targets):
    p = "predictor" if "predictor" in first else "projector"
    z_first, z_second = first["projector"], second["projector"]
    if name.startswith("simclr"):
        return nt_xent(z_first, z_second, 0.1)
    if name == "dcl":
        return decoupled_contrastive(z_first, z_second, 0.1)
    if name == "dclw":
        return decoupled_contrastive(z_first, z_second, 0.1, "first", 0.5)
    if name == "byol":
        forth = normalised_regression(first[p], targets[1]["projector"])
        return forth + normalised_regression(second[p], targets[0]["projector"])
    if name.startswith("simsiam"):
        return (negative_cosine(first[p], z_second) + negative_cosine(second[p], z_first)) / 2
    variance = (variance_hinge(z_first) + variance_hinge(z_second)) / 2
    covariance = covariance_penalty(z_first) + covariance_penalty(z_second)
    return 25 * invariance(z_first, z_second) + 25 * variance + covariance


@pytest.mark.parametrize("name", [name for name in NAMES if name != "simclr"])
def test_the_loss_compares_the_views_and_batch_norms_see_one_after_the_other(trained, name):
    method, params, state, loss, after, _, _ = trained(name)
    views = VIEWS(KEY, BATCH["image"])
    names = [network for network in ("encoder", "projector", "predictor") if network in params]
    first, second, stats = by_hand(method, params, state["batch_stats"], views, names)
    targets = None
    if name == "byol":
        target = state["target"]
        *targets, target_stats = by_hand(
            method, target["params"], target["batch_stats"], views, ["encoder", "projector"]
        )
        same(after["target"]["batch_stats"], target_stats)
        same(after["target"]["params"], target["params"])
    np.testing.assert_allclose(loss, expected_loss(name, first, second, targets), rtol=1e-4)
    same(after["batch_stats"], stats)


def test_simclrs_batch_norms_see_both_views_as_one_batch(trained):
    method, params, state, loss, after, _, _ = trained("simclr")
    views = VIEWS(KEY, BATCH["image"])
    together = (jnp.concatenate(views),)
    both, stats = by_hand(method, params, state["batch_stats"], together, ["encoder", "projector"])
    np.testing.assert_allclose(loss, nt_xent(*jnp.split(both["projector"], 2), 0.1), rtol=1e-4)
    same(after["batch_stats"], stats)


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_gets_a_gradient_and_every_number_is_float32(trained, name):
    method, params, state, loss, after, metrics, gradient = trained(name)
    assert isinstance(method, Method)
    assert isinstance(hash(method), int)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert {
        leaf.dtype for leaf in jax.tree.leaves((params, state, loss, after, metrics, gradient))
    } == {jnp.dtype("float32")}
    for path, leaf in jax.tree_util.tree_leaves_with_path(gradient):
        # A batch norm takes away what a bias before it adds.
        cancelled = "Conv_0" in str(path) and "bias" in str(path)
        cancelled |= "projector" in str(path) and "dense_1" in str(path) and "bias" in str(path)
        assert np.isfinite(leaf).all()
        assert cancelled or np.abs(leaf).max() > 1e-7, path
    assert {"positive_similarity", "embedding_deviation"} <= set(metrics)
    assert -1 <= metrics["positive_similarity"] <= 1
    assert 0 < metrics["embedding_deviation"] < 1


def test_vicregs_terms_are_metrics_and_add_up(trained):
    _, _, _, loss, _, metrics, _ = trained("vicreg")
    total = 25 * metrics["invariance"] + 25 * metrics["variance"] + metrics["covariance"]
    np.testing.assert_allclose(loss, total, rtol=1e-5)


def test_no_gradient_reaches_byols_target(trained):
    method, params, state, *_ = trained("byol")

    def loss_of_target(target_params):
        moved = {**state, "target": {**state["target"], "params": target_params}}
        return method.loss(params, moved, BATCH, KEY)[0]

    gradient = quickly(jax.grad(loss_of_target))(state["target"]["params"])
    assert not any(leaf.any() for leaf in jax.tree.leaves(gradient))


def test_byols_target_starts_elsewhere_and_follows_after_each_update(trained):
    method, params, _, _, after, _, _ = trained("byol")
    target = after["target"]["params"]
    assert set(target) == {"encoder", "projector"}
    assert (
        np.abs(
            target["projector"]["dense_0"]["kernel"] - params["projector"]["dense_0"]["kernel"]
        ).max()
        > 0.1
    )
    first = method.after_update(
        params, after, jnp.int32(1)
    )  # the first update: the decay is still its start
    online = {name: params[name] for name in target}
    same(
        first["target"]["params"],
        jax.tree.map(lambda old, new: 0.9 * old + 0.1 * new, target, online),
    )
    same(first["target"]["batch_stats"], after["target"]["batch_stats"])
    same(first["batch_stats"], after["batch_stats"])
    last = method.after_update(params, after, jnp.int32(21))  # beyond the schedule it stands still
    same(last["target"]["params"], target)


@pytest.mark.parametrize("name", ["simclr", "vicreg", "simsiam"])
def test_methods_without_a_target_keep_their_state_after_an_update(trained, name):
    method, params, _, _, after, _, _ = trained(name)
    assert method.after_update(params, after, jnp.int32(1)) is after


def test_features_come_from_running_averages_and_do_not_depend_on_the_batch(trained):
    method, params, _, _, after, _, _ = trained("byol")
    images = BATCH["image"]
    features = method.embed(params, after, images)
    variables = {"params": params["encoder"], "batch_stats": after["batch_stats"]["encoder"]}
    np.testing.assert_allclose(
        features, CONVOLUTIONAL.module().apply(variables, PIXELS(images), train=False), rtol=1e-5
    )
    np.testing.assert_allclose(
        method.embed(params, after, images[2:3])[0], features[2], rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("name", ["simclr", "byol", "simsiam", "vicreg"])
def test_thirty_steps_on_a_transformer_lower_the_loss_without_collapse(name):
    method = methods(VIT)[name]
    params, state = quickly(method.init)(jax.random.key(1), BATCH)
    assert "encoder" not in state["batch_stats"]
    optimiser = optax.adam(3e-3)

    def step(carry, number):
        params, state, moments = carry
        key = jax.random.fold_in(KEY, number)
        (loss, (state, metrics)), gradient = jax.value_and_grad(method.loss, has_aux=True)(
            params, state, BATCH, key
        )
        updates, moments = optimiser.update(gradient, moments)
        params = optax.apply_updates(params, updates)
        return (params, method.after_update(params, state, number + 1), moments), (
            loss,
            metrics["embedding_deviation"],
        )

    train = quickly(lambda carry: jax.lax.scan(step, carry, jnp.arange(30)))
    _, (losses, deviations) = train((params, state, optimiser.init(params)))
    assert losses[-5:].mean() < losses[:5].mean()
    assert deviations[-1] > 0.3 * 6**-0.5


def test_larger_images_are_left_to_the_augmentation():
    method = methods(CONVOLUTIONAL)["simsiam"]
    larger = {
        "image": jnp.pad(BATCH["image"], ((0, 0), (3, 3), (3, 3), (0, 0))),
        "index": BATCH["index"],
    }
    params, state = quickly(method.init)(jax.random.key(1), larger)
    loss = quickly(method.loss)
    np.testing.assert_allclose(
        loss(params, state, larger, KEY)[0], loss(params, state, BATCH, KEY)[0], rtol=1e-6
    )
    with pytest.raises(ValueError, match=r"\(14, 14, 3\).*\(8, 8, 3\)"):
        method.embed(params, state, larger["image"])


def test_views_of_another_size_than_the_encoders_are_refused():
    method = dataclasses.replace(
        methods(VIT)["dcl"], augmentation=TwoViews(Noisy(size=6), Noisy(size=6))
    )
    params, state = quickly(method.init)(jax.random.key(1), BATCH)
    with pytest.raises(ValueError, match=r"the augmentation .*\(6, 6, 3\).*\(8, 8, 3\)"):
        method.loss(params, state, BATCH, KEY)


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("simclr", {"temperature": 0.0}, "temperature"),
        ("dcl", {"weight_sigma": -1.0}, "weight_sigma"),
        ("byol", {"predictor": HeadConfig((4, 5))}, "predictor ends 5 wide, the projector 6"),
        ("simsiam", {"predictor": HeadConfig((4, 5))}, "predictor ends 5 wide, the projector 6"),
        ("vicreg", {"covariance_weight": -1.0}, "covariance_weight"),
        (
            "simclr",
            {"pixels": PixelScale((0.1, 0.2), (1.0, 1.0))},
            "2 means for images of 3 channels",
        ),
    ],
)
def test_impossible_settings_are_refused(name, changes, said):
    with pytest.raises(ValueError, match=said):
        dataclasses.replace(methods(VIT)[name], **changes)


def test_bfloat16_stays_near_float32_and_its_loss_and_gradients_are_float32():
    losses = []
    for dtype in ("float32", "bfloat16"):
        method = methods(dataclasses.replace(VIT, dtype=dtype))["vicreg"]
        params, state = quickly(method.init)(jax.random.key(1), BATCH)
        (loss, (after, metrics)), gradient = quickly(jax.value_and_grad(method.loss, has_aux=True))(
            params, state, BATCH, KEY
        )
        assert {leaf.dtype for leaf in jax.tree.leaves((loss, after, metrics, gradient))} == {
            jnp.dtype("float32")
        }
        losses.append(loss)
    assert 0 < abs(losses[0] - losses[1]) < 0.02 * losses[0]
