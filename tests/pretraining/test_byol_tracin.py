"""BYOL with an extra positive: which one, against an explicit loop; what it adds; what is logged."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.images.augmentation import TwoViews
from examine_jax.models import ViTConfig
from examine_jax.models.heads import HeadConfig
from examine_jax.models.resnet import ResNetConfig
from examine_jax.pretraining import PixelScale, two_views
from examine_jax.pretraining.byol import BYOL
from examine_jax.pretraining.byol_feature_transformation import BYOLFeatureTransformation, extrapolated
from examine_jax.pretraining.byol_tracin import BYOLTracIn, read_scorer, weighted_regression
from examine_jax.pretraining.encoder_files import load_encoder
from examine_jax.pretraining.encoder_folder import save_encoder
from examine_jax.pretraining.extra_positives import (
    Evidence,
    FalseNegatives,
    LayerView,
    SameClass,
    SimilarPositive,
    TracInPositive,
)
from examine_jax.pretraining.losses import normalised_regression
from examine_jax.pretraining.method import Method
from examine_jax.pretraining.moving_average import MovingAverage

BATCH_SIZE = 8


@dataclasses.dataclass(frozen=True)
class Noisy:
    """A stand-in for augmentation."""

    amount: float = 0.2

    def __call__(self, key, images):
        return images.astype(jnp.float32) / 255 + self.amount * jax.random.normal(key, images.shape)


def _byol(**changes):
    return BYOL(
        **{
            "encoder": ViTConfig(image_size=8, patch_size=4, channels=3, width=12, depth=1, heads=3, mlp_width=16),
            "augmentation": TwoViews(Noisy(), Noisy()),
            "projector": HeadConfig((10, 6)),
            "predictor": HeadConfig((9, 6), output_bias=False),
            "moving_average": MovingAverage(0.9, 20),
            "pixels": PixelScale((0.5,), (0.25,)),
            **changes,
        }
    )


@pytest.fixture(scope="module")
def batch():
    images = np.random.default_rng(0).integers(0, 256, (BATCH_SIZE, 8, 8, 3), dtype=np.uint8)
    return {"image": jnp.asarray(images), "index": jnp.arange(BATCH_SIZE, dtype=jnp.int32)}


def _dense(params, inputs, kernel):
    """The head's dense, batch norm, ReLU, without the library's head."""
    x = np.asarray(inputs, np.float64) @ np.asarray(params["dense_0"].get("kernel"), np.float64)
    x = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
    x = x * np.asarray(params["norm_0"]["scale"]) + np.asarray(params["norm_0"]["bias"])
    return np.maximum(x, 0), np.asarray(params[kernel]["kernel"], np.float64)


def _passes(byol, params, state, batch, key):
    first, second = two_views.make_views(byol.augmentation, byol.pixels, byol.encoder, batch, key)
    online = two_views.Chain(byol.encoder, {"projector": byol.projector, "predictor": byol.predictor})
    following = two_views.Chain(byol.encoder, {"projector": byol.projector})
    of = online.on_views(params, state["batch_stats"], first, second)[:2]
    to = following.on_views(state["target"]["params"], state["target"]["batch_stats"], first, second)[:2]
    return of, to


def _cosine_distance(q, z):
    q, z = np.asarray(q, np.float64), np.asarray(z, np.float64)
    return 2 - 2 * q @ z / (np.linalg.norm(q) * np.linalg.norm(z))


def _jitted(method):
    return jax.jit(method.loss)


@jax.jit
@jax.grad
def _layer_gradient(layer, a, z):
    q = a @ layer["kernel"] + layer.get("bias", 0)
    return 2 - 2 * q @ z / (jnp.linalg.norm(q) * jnp.linalg.norm(z))


@pytest.mark.parametrize("extra_views", ["both", "other"])
@pytest.mark.parametrize("scored", ["first", "second", "both"])
@pytest.mark.parametrize("bias", [False, True])
def test_the_step_s_extra_positives_are_those_of_an_explicit_loop_over_per_sample_gradients(
    batch, scored, extra_views, bias
):
    byol = _byol(predictor=HeadConfig((9, 6), output_bias=bias))
    method = BYOLTracIn(byol, TracInPositive(scored), weight=0.7, extra_views=extra_views)
    params, state = method.init(jax.random.key(1), batch)
    key = jax.random.key(2)
    of, to = _passes(byol, params, state, batch, key)
    products = np.zeros((BATCH_SIZE, BATCH_SIZE))
    for view in {"first": [0], "second": [1], "both": [0, 1]}[scored]:
        activations, kernel = _dense(params["predictor"], of[view]["projector"], "dense_1")
        offset = np.asarray(params["predictor"]["dense_1"].get("bias", np.zeros(6)))
        np.testing.assert_allclose(activations @ kernel + offset, of[view]["predictor"], atol=1e-5)
        with jax.enable_x64(True):
            layer = {"kernel": jnp.asarray(kernel), **({"bias": jnp.asarray(offset, jnp.float64)} if bias else {})}
            gradients = []
            for a, z in zip(activations, np.asarray(to[1 - view]["projector"], np.float64)):
                gradient = _layer_gradient(layer, a, z)
                gradients.append(np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient)]))
        for i, k in itertools.product(range(BATCH_SIZE), repeat=2):
            products[i, k] += gradients[i] @ gradients[k]
    expected = 0.0
    for i in range(BATCH_SIZE):
        others = [k for k in range(BATCH_SIZE) if k != i]
        extra = max(others, key=lambda k, i=i: products[i, k])
        for view in (0, 1):
            expected += _cosine_distance(of[view]["predictor"][i], to[1 - view]["projector"][i])
            for other in (0, 1) if extra_views == "both" else (1 - view,):
                expected += 0.7 * _cosine_distance(of[view]["predictor"][i], to[other]["projector"][extra])
    loss, (_, metrics) = _jitted(method)(params, state, batch, key)
    assert float(loss) == pytest.approx(expected / BATCH_SIZE, rel=1e-5)
    assert float(metrics["extra_positives"]) == 1


def test_without_weight_it_is_byol_and_its_gradient_is_byol_s(batch):
    byol = _byol()
    method = BYOLTracIn(byol, weight=0.0)
    params, state = method.init(jax.random.key(1), batch)
    (loss, (after, _)), gradient = jax.value_and_grad(method.loss, has_aux=True)(
        params, state, batch, jax.random.key(2)
    )
    (same, (same_after, _)), expected = jax.jit(jax.value_and_grad(byol.loss, has_aux=True))(
        params, state, batch, jax.random.key(2)
    )
    assert float(loss) == pytest.approx(float(same), rel=1e-6)
    # float32's rounding, in another order and through a batch norm.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=5e-5), (gradient, after), (expected, same_after)
    )
    moved = method.after_update(params, after, jnp.int32(1))
    jax.tree.map(np.testing.assert_array_equal, moved, byol.after_update(params, after, jnp.int32(1)))
    embedded = method.embed(params, state, batch["image"])
    np.testing.assert_array_equal(embedded, byol.embed(params, state, batch["image"]))


def _evidence(labels=None, features=None):
    rng = np.random.default_rng(3)

    def random(width):
        return jnp.asarray(rng.standard_normal((BATCH_SIZE, width)), jnp.float32)

    views = tuple(LayerView(random(9), random(6), random(6)) for _ in range(2))
    return Evidence(features or (random(5), random(5)), views, False, None if labels is None else jnp.asarray(labels))


def test_the_most_similar_is_the_other_of_largest_cosine():
    evidence = _evidence()
    unit = np.asarray(evidence.features[0]) / np.linalg.norm(evidence.features[0], axis=1, keepdims=True)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    weights = SimilarPositive().weights(evidence, jax.random.key(0))
    np.testing.assert_array_equal(weights, np.eye(BATCH_SIZE)[cosines.argmax(axis=1)])


def test_false_negatives_are_the_most_similar_above_the_threshold_and_share_one_weight():
    evidence = _evidence()
    unit = [np.asarray(f) / np.linalg.norm(f, axis=1, keepdims=True) for f in evidence.features]
    cosines = np.max([a @ b.T for a in unit for b in unit], axis=0)
    np.fill_diagonal(cosines, -np.inf)
    weights = np.asarray(FalseNegatives(most=3, threshold=0.4).weights(evidence, jax.random.key(0)))
    for row, own in zip(weights, cosines):
        expected = {k for k in np.argsort(-own)[:3] if own[k] > 0.4}
        assert set(np.flatnonzero(row)) == expected
        assert row.sum() == pytest.approx(1 if expected else 0)
    assert np.asarray(FalseNegatives(threshold=1.1).weights(evidence, jax.random.key(0))).sum() == 0
    assert FalseNegatives(most=100, threshold=-2.0).weights(evidence, jax.random.key(0)).sum() == pytest.approx(
        BATCH_SIZE
    )


def test_the_same_class_is_drawn_evenly_and_never_oneself_or_an_unknown():
    labels = np.array([0, 0, 0, 1, 2, 2, -1, -1])
    draws = jax.vmap(lambda key: SameClass().weights(_evidence(labels), key))(jax.random.split(jax.random.key(0), 600))
    expected = np.zeros((8, 8))
    expected[:3, :3] = (1 - np.eye(3)) / 2
    expected[4, 5] = expected[5, 4] = 1
    np.testing.assert_allclose(draws.mean(axis=0), expected, atol=0.07)
    assert set(np.unique(draws)) == {0, 1}
    with pytest.raises(ValueError, match="no labels"):
        SameClass().weights(_evidence(), jax.random.key(0))


def test_the_extra_term_is_a_weighted_sum_of_byol_s():
    evidence = _evidence()
    q, z = evidence.views[0].prediction, evidence.views[1].target
    assert float(weighted_regression(q, z, jnp.eye(BATCH_SIZE))) == pytest.approx(float(normalised_regression(q, z)))
    weights = np.random.default_rng(0).random((BATCH_SIZE, BATCH_SIZE)).astype(np.float32)
    expected = sum(
        weights[i, k] * _cosine_distance(q[i], z[k]) for i, k in itertools.product(range(BATCH_SIZE), repeat=2)
    )
    assert float(weighted_regression(q, z, jnp.asarray(weights))) == pytest.approx(expected / BATCH_SIZE, rel=1e-5)


def test_the_share_of_right_extra_positives_is_logged_where_labels_exist(batch):
    labels = (0, 0, 1, 1, 1, 2, 2, -1)
    method = BYOLTracIn(_byol(), SameClass(), labels=labels)
    params, state = method.init(jax.random.key(1), batch)
    _, (_, metrics) = _jitted(method)(params, state, batch, jax.random.key(2))
    assert float(metrics["extra_positives"]) == pytest.approx(7 / 8)
    assert float(metrics["extra_positives_right"]) == 1
    assert float(metrics["extra_positives_chance"]) == pytest.approx((2 + 6 + 2) / 42)
    shuffled = {**batch, "index": batch["index"][::-1], "label": jnp.asarray(labels)}
    _, (_, again) = _jitted(method)(params, state, shuffled, jax.random.key(2))  # the batch's own labels come first
    assert float(again["extra_positives"]) == pytest.approx(7 / 8)
    _, (_, without) = _jitted(BYOLTracIn(_byol()))(params, state, batch, jax.random.key(2))
    assert "extra_positives_right" not in without


def test_a_pretrained_scorer_chooses_in_evaluation_mode_and_never_changes(batch, tmp_path):
    byol = _byol()
    params, state = byol.init(jax.random.key(5), batch)
    save_encoder(tmp_path / "scorer", dataclasses.replace(byol, augmentation=_readable()), params, state)
    method = BYOLTracIn(byol, scorer=str(tmp_path / "scorer"))
    own_params, own_state = method.init(jax.random.key(1), batch)
    jax.tree.map(np.testing.assert_array_equal, own_state["scorer"]["params"], params)
    (loss, (after, _)), _ = jax.value_and_grad(method.loss, has_aux=True)(
        own_params, own_state, batch, jax.random.key(2)
    )
    jax.tree.map(np.testing.assert_array_equal, after["scorer"], own_state["scorer"])
    jax.tree.map(
        np.testing.assert_array_equal,
        method.after_update(own_params, after, jnp.int32(1))["scorer"],
        own_state["scorer"],
    )
    without, _ = _jitted(BYOLTracIn(byol))(
        own_params, {n: own_state[n] for n in ("batch_stats", "target")}, batch, jax.random.key(2)
    )
    assert np.isfinite(loss)
    assert float(loss) != float(without)


def _shaken(tree, seed):
    """Running averages far from any batch's."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf + rng.uniform(-0.3, 0.3, leaf.shape).astype(np.float32), tree)


def _in_evaluation_mode(params, stats, inputs):
    """(into the last layer, out of it) of a head of two layers, in NumPy."""
    norm, own = params["norm_0"], stats["norm_0"]
    x = np.asarray(inputs, np.float64) @ np.asarray(params["dense_0"]["kernel"], np.float64)
    x = (x - np.asarray(own["mean"])) / np.sqrt(np.asarray(own["var"]) + 1e-5)
    x = np.maximum(x * np.asarray(norm["scale"]) + np.asarray(norm["bias"]), 0)
    return x, x @ np.asarray(params["dense_1"]["kernel"], np.float64) + np.asarray(params["dense_1"].get("bias", 0))


@pytest.mark.parametrize("choice", [TracInPositive("first"), TracInPositive("second"), SimilarPositive()])
def test_a_pretrained_scorer_s_choice_is_that_of_a_loop_over_its_running_averages(batch, tmp_path, choice):
    encoder = ResNetConfig(image_size=8, channels=3, depths=(1,), width=6, stem="small_image")
    byol = _byol(encoder=encoder)
    params, state = byol.init(jax.random.key(5), batch)
    target = {
        "params": _shaken(state["target"]["params"], 1),
        "batch_stats": _shaken(state["target"]["batch_stats"], 2),
    }
    state = {**state, "batch_stats": _shaken(state["batch_stats"], 3), "target": target}
    save_encoder(tmp_path, dataclasses.replace(byol, augmentation=_readable()), params, state)

    key = jax.random.key(2)
    views = two_views.make_views(byol.augmentation, byol.pixels, byol.encoder, batch, key)

    def projected(params, stats, view):
        variables = {"params": params["encoder"], "batch_stats": stats["encoder"]}
        features = encoder.module().apply(variables, view, train=False)
        return features, _in_evaluation_mode(params["projector"], stats["projector"], features)[1]

    view = 1 if choice == TracInPositive("second") else 0
    features, own = projected(params, state["batch_stats"], views[view])
    _, aim = projected(target["params"], target["batch_stats"], views[1 - view])
    activations, q = _in_evaluation_mode(params["predictor"], state["batch_stats"]["predictor"], own)
    scores = np.full((BATCH_SIZE, BATCH_SIZE), -np.inf)
    for i, k in itertools.permutations(range(BATCH_SIZE), 2):
        if isinstance(choice, SimilarPositive):
            scores[i, k] = -_cosine_distance(features[i], features[k])
            continue
        gradients = []
        for n in (i, k):
            length, other = np.linalg.norm(q[n]), np.linalg.norm(aim[n])
            gradients.append(2 * (q[n] @ aim[n] * q[n] / (length**3 * other) - aim[n] / (length * other)))
        scores[i, k] = (gradients[0] @ gradients[1]) * (activations[i] @ activations[k])
    chosen = scores.argmax(axis=1)

    method = BYOLTracIn(byol, choice, scorer=str(tmp_path))
    own_params, own_state = method.init(jax.random.key(1), batch)
    loss, _ = _jitted(method)(own_params, own_state, batch, key)
    of, to = _passes(byol, own_params, own_state, batch, key)
    expected = 0.0
    for i, view in itertools.product(range(BATCH_SIZE), (0, 1)):
        q_i = of[view]["predictor"][i]
        expected += _cosine_distance(q_i, to[1 - view]["projector"][i])
        expected += sum(_cosine_distance(q_i, to[other]["projector"][chosen[i]]) for other in (0, 1))
    assert float(loss) == pytest.approx(expected / BATCH_SIZE, rel=1e-5)


def test_a_scorer_s_folder_that_was_written_anew_is_read_anew(batch, tmp_path):
    byol = dataclasses.replace(_byol(), augmentation=_readable())
    for seed in (5, 6):
        params, state = byol.init(jax.random.key(seed), batch)
        save_encoder(tmp_path, byol, params, state)
        _, own_state = BYOLTracIn(byol, scorer=str(tmp_path)).init(jax.random.key(1), batch)
        jax.tree.map(np.testing.assert_array_equal, own_state["scorer"]["params"], params)


def test_an_image_beyond_the_labels_is_of_an_unknown_class(batch):
    method = BYOLTracIn(_byol(), SameClass(), labels=(0, 0, 1))
    params, state = method.init(jax.random.key(1), batch)
    _, (_, metrics) = _jitted(method)(params, state, batch, jax.random.key(2))
    assert float(metrics["extra_positives"]) == pytest.approx(2 / 8)


def test_a_batch_of_one_image_has_no_extra_positive(batch):
    method = BYOLTracIn(_byol())
    params, state = method.init(jax.random.key(1), batch)
    with pytest.raises(ValueError, match="a larger batch, or fewer micro-batches"):
        method.loss(params, state, {name: values[:1] for name, values in batch.items()}, jax.random.key(2))


def test_one_scorer_serves_several_trainings_of_a_process_each_set_up_in_a_trace(batch, tmp_path):
    byol = dataclasses.replace(_byol(), augmentation=_readable())
    params, state = byol.init(jax.random.key(5), batch)
    save_encoder(tmp_path, byol, params, state)
    for choice in (TracInPositive(), SimilarPositive()):
        method = BYOLTracIn(byol, choice, scorer=str(tmp_path))
        _, own_state = jax.jit(method.init)(jax.random.key(1), batch)
        jax.tree.map(np.testing.assert_array_equal, own_state["scorer"]["params"], params)


def test_a_scorer_of_other_images_is_refused(batch, tmp_path):
    byol = dataclasses.replace(_byol(), augmentation=_readable())
    save_encoder(tmp_path, byol, *byol.init(jax.random.key(5), batch))
    with pytest.raises(ValueError, match=r"takes images of 8 px, 3 channels, less \(0.5,\)"):
        read_scorer(str(tmp_path), dataclasses.replace(byol, pixels=PixelScale()))


def _readable():
    from examine_jax.images.augmentation import byol_views

    return byol_views(8)


@pytest.mark.parametrize("choice", [TracInPositive(), SimilarPositive(), FalseNegatives(), SameClass()])
def test_every_choice_trains_and_its_gradient_flows_through_the_loss_alone(batch, choice):
    method = BYOLTracIn(_byol(), choice, labels=(0, 0, 1, 1, 2, 2, 3, 3))
    params, state = method.init(jax.random.key(1), batch)
    (loss, _), gradient = jax.jit(jax.value_and_grad(method.loss, has_aux=True))(
        params, state, batch, jax.random.key(2)
    )
    assert np.isfinite(loss)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient)) > 0


@pytest.mark.parametrize("choice", [TracInPositive("both"), SimilarPositive(), FalseNegatives(), SameClass()])
def test_an_encoder_s_folder_keeps_the_method(batch, tmp_path, choice):
    byol = _byol(augmentation=_readable())
    for method in (BYOLTracIn(byol, choice, labels=(1, 2)), BYOLFeatureTransformation(byol)):
        assert isinstance(method, Method)
        params, state = method.init(jax.random.key(0), batch)
        save_encoder(tmp_path / "encoder", method, params, state)
        assert load_encoder(tmp_path / "encoder").method == method


def test_extrapolation_pulls_a_pair_apart_along_its_line():
    evidence = _evidence()
    q, z = evidence.views[0].prediction, evidence.views[0].target
    ones = jnp.ones_like(q)
    same = extrapolated(q, z, ones)
    assert float(normalised_regression(*same)) == pytest.approx(float(normalised_regression(q, z)), rel=1e-5)
    assert float(normalised_regression(*extrapolated(q, z, 1.5 * ones))) > float(normalised_regression(q, z))


def test_feature_transformation_trains_and_keeps_byol_s_state(batch):
    byol = _byol()
    method = BYOLFeatureTransformation(byol)
    params, state = method.init(jax.random.key(1), batch)
    loss, (after, _) = _jitted(method)(params, state, batch, jax.random.key(2))
    plain, (expected, _) = _jitted(byol)(params, state, batch, jax.random.key(2))
    assert float(loss) > float(plain)  # pairs are harder
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after, expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BYOLTracIn(_byol(), weight=-1.0), "weight"),
        (lambda: BYOLTracIn(_byol(), extra_views="none"), "extra_views"),
        (lambda: TracInPositive("frist"), "scored"),
        (lambda: FalseNegatives(most=0), "most"),
        (lambda: BYOLFeatureTransformation(_byol(), concentration=0.0), "concentration"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()
