"""BYOL with an extra positive that an encoder trained before finds."""

import dataclasses
import itertools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.common.configuration import to_plain
from examine_jax.encoders import load_encoder
from examine_jax.encoders.save import save_encoder
from examine_jax.encoders.scorer import load_scorer
from examine_jax.encoders.train import train_and_save
from examine_jax.models.resnet import ResNetConfig
from examine_jax.pretraining import Phase, PixelScale, PretrainSettings, pretrain, two_views
from examine_jax.pretraining.extra_positives import SimilarPositive, TracInPositive
from examine_jax.pretraining.methods.byol_tracin import BYOLTracIn
from examine_jax.training.optimiser import Constant
from tests.support.small_byol import (
    BATCH_SIZE,
    cosine_distance,
    jitted,
    passes,
    random_batch,
    readable_views,
    small_byol,
    started,
)

_ONE_STEP = PretrainSettings(
    phases=(Phase(steps=1),), batch_size=BATCH_SIZE, schedule=Constant(1e-3)
)


@pytest.fixture(scope="module")
def batch():
    return random_batch()


def _shaken(tree, seed):
    """Running averages far from any batch's."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: leaf + rng.uniform(-0.3, 0.3, leaf.shape).astype(np.float32), tree
    )


def _in_evaluation_mode(params, stats, inputs):
    """(into the last layer, out of it) of a head of two layers, in NumPy."""
    norm, own = params["norm_0"], stats["norm_0"]
    x = np.asarray(inputs, np.float64) @ np.asarray(params["dense_0"]["kernel"], np.float64)
    x = (x - np.asarray(own["mean"])) / np.sqrt(np.asarray(own["var"]) + 1e-5)
    x = np.maximum(x * np.asarray(norm["scale"]) + np.asarray(norm["bias"]), 0)
    return x, x @ np.asarray(params["dense_1"]["kernel"], np.float64) + np.asarray(
        params["dense_1"].get("bias", 0)
    )


def test_a_pretrained_scorer_chooses_in_evaluation_mode_and_never_changes(batch, tmp_path):
    byol = small_byol()
    params, state = started(byol, jax.random.key(5), batch)
    save_encoder(
        tmp_path / "scorer", dataclasses.replace(byol, augmentation=readable_views()), params, state
    )
    method = BYOLTracIn(byol, scorer=load_scorer(tmp_path / "scorer"))
    own_params, own_state = jax.jit(method.init)(jax.random.key(1), batch)
    jax.tree.map(np.testing.assert_array_equal, own_state["scorer"]["params"], params)
    (loss, (after, _)), _ = jax.jit(jax.value_and_grad(method.loss, has_aux=True))(
        own_params, own_state, batch, jax.random.key(2)
    )
    jax.tree.map(np.testing.assert_array_equal, after["scorer"], own_state["scorer"])
    jax.tree.map(
        np.testing.assert_array_equal,
        method.after_update(own_params, after, jnp.int32(1))["scorer"],
        own_state["scorer"],
    )
    without, _ = jitted(BYOLTracIn(byol))(
        own_params, {n: own_state[n] for n in ("batch_stats", "target")}, batch, jax.random.key(2)
    )
    assert np.isfinite(loss)
    assert float(loss) != float(without)


@pytest.mark.parametrize(
    "choice", [TracInPositive("first"), TracInPositive("second"), SimilarPositive()]
)
def test_a_pretrained_scorer_s_choice_is_that_of_a_loop_over_its_running_averages(
    batch, tmp_path, choice
):
    encoder = ResNetConfig(image_size=8, channels=3, depths=(1,), width=6, stem="small_image")
    byol = small_byol(encoder=encoder)
    params, state = started(byol, jax.random.key(5), batch)
    target = {
        "params": _shaken(state["target"]["params"], 1),
        "batch_stats": _shaken(state["target"]["batch_stats"], 2),
    }
    state = {**state, "batch_stats": _shaken(state["batch_stats"], 3), "target": target}
    save_encoder(tmp_path, dataclasses.replace(byol, augmentation=readable_views()), params, state)

    key = jax.random.key(2)
    views = two_views.make_views(byol.augmentation, byol.pixels, byol.encoder, batch, key)

    def projected(params, stats, view):
        variables = {"params": params["encoder"], "batch_stats": stats["encoder"]}
        features = encoder.module().apply(variables, view, train=False)
        return features, _in_evaluation_mode(params["projector"], stats["projector"], features)[1]

    view = 1 if choice == TracInPositive("second") else 0
    features, own = projected(params, state["batch_stats"], views[view])
    _, aim = projected(target["params"], target["batch_stats"], views[1 - view])
    activations, q = _in_evaluation_mode(
        params["predictor"], state["batch_stats"]["predictor"], own
    )
    scores = np.full((BATCH_SIZE, BATCH_SIZE), -np.inf)
    for i, k in itertools.permutations(range(BATCH_SIZE), 2):
        if isinstance(choice, SimilarPositive):
            scores[i, k] = -cosine_distance(features[i], features[k])
            continue
        gradients = []
        for n in (i, k):
            length, other = np.linalg.norm(q[n]), np.linalg.norm(aim[n])
            gradients.append(
                2 * (q[n] @ aim[n] * q[n] / (length**3 * other) - aim[n] / (length * other))
            )
        scores[i, k] = (gradients[0] @ gradients[1]) * (activations[i] @ activations[k])
    chosen = scores.argmax(axis=1)

    method = BYOLTracIn(byol, choice, scorer=load_scorer(tmp_path))
    own_params, own_state = jax.jit(method.init)(jax.random.key(1), batch)
    loss, _ = jitted(method)(own_params, own_state, batch, key)
    of, to = passes(byol, own_params, own_state, batch, key)
    expected = 0.0
    for i, view in itertools.product(range(BATCH_SIZE), (0, 1)):
        q_i = of[view]["predictor"][i]
        expected += cosine_distance(q_i, to[1 - view]["projector"][i])
        expected += sum(cosine_distance(q_i, to[other]["projector"][chosen[i]]) for other in (0, 1))
    assert float(loss) == pytest.approx(expected / BATCH_SIZE, rel=1e-5)


def test_a_scorer_s_folder_that_was_written_anew_is_read_anew(batch, tmp_path):
    byol = dataclasses.replace(small_byol(), augmentation=readable_views())
    for seed in (5, 6):
        params, state = started(byol, jax.random.key(seed), batch)
        save_encoder(tmp_path, byol, params, state)
        method = BYOLTracIn(byol, scorer=load_scorer(tmp_path))
        _, own_state = jax.jit(method.init)(jax.random.key(1), batch)
        jax.tree.map(np.testing.assert_array_equal, own_state["scorer"]["params"], params)


def test_a_scorer_that_was_replaced_is_the_next_training_s(batch, tmp_path):
    byol = dataclasses.replace(small_byol(), augmentation=readable_views())
    for seed in (5, 6):
        params, state = started(byol, jax.random.key(seed), batch)
        save_encoder(tmp_path / "scorer", byol, params, state)
        method = BYOLTracIn(byol, scorer=load_scorer(tmp_path / "scorer"))
        found = pretrain(
            method, np.asarray(batch["image"]), _ONE_STEP, tmp_path / str(seed), progress=False
        )
        jax.tree.map(np.testing.assert_array_equal, found.state["scorer"]["params"], params)


def test_a_scorer_is_known_by_its_content_and_written_as_its_folder(batch, tmp_path):
    byol = dataclasses.replace(small_byol(), augmentation=readable_views())
    for name, seed in (("one", 5), ("copy", 5), ("other", 6)):
        save_encoder(tmp_path / name, byol, *started(byol, jax.random.key(seed), batch))
    one, copy, other = (load_scorer(tmp_path / name) for name in ("one", "copy", "other"))
    assert one == copy
    assert hash(one) == hash(copy)
    assert one != other
    assert to_plain(BYOLTracIn(byol, scorer=one))["scorer"] == str(tmp_path / "one")


def test_an_encoder_serves_where_its_scorer_is_not(batch, tmp_path):
    byol = dataclasses.replace(small_byol(), augmentation=readable_views())
    save_encoder(tmp_path / "scorer", byol, *started(byol, jax.random.key(5), batch))
    method = BYOLTracIn(byol, scorer=load_scorer(tmp_path / "scorer"))
    images = np.asarray(batch["image"])
    encoder, _ = train_and_save(
        method, (images,), _ONE_STEP, tmp_path, architecture="small", progress=False
    )
    shutil.rmtree(tmp_path / "scorer")
    again = load_encoder(tmp_path / "encoder")
    assert again.method == BYOLTracIn(byol)
    np.testing.assert_array_equal(again.embed(images), encoder.embed(images))


def test_one_scorer_serves_several_trainings_of_a_process_each_set_up_in_a_trace(batch, tmp_path):
    byol = dataclasses.replace(small_byol(), augmentation=readable_views())
    params, state = started(byol, jax.random.key(5), batch)
    save_encoder(tmp_path, byol, params, state)
    for choice in (TracInPositive(), SimilarPositive()):
        method = BYOLTracIn(byol, choice, scorer=load_scorer(tmp_path))
        _, own_state = jax.jit(method.init)(jax.random.key(1), batch)
        jax.tree.map(np.testing.assert_array_equal, own_state["scorer"]["params"], params)


def test_a_scorer_of_other_images_is_refused(batch, tmp_path):
    byol = dataclasses.replace(small_byol(), augmentation=readable_views())
    save_encoder(tmp_path, byol, *started(byol, jax.random.key(5), batch))
    with pytest.raises(ValueError, match=r"takes images of 8 px, 3 channels, less \(0.5,\)"):
        BYOLTracIn(dataclasses.replace(byol, pixels=PixelScale()), scorer=load_scorer(tmp_path))
