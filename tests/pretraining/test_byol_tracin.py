"""BYOL with an extra positive: which one, against an explicit loop; what it adds.

What is logged.
"""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.encoders.load import load_encoder
from examine_jax.encoders.save import save_encoder
from examine_jax.encoders.scorer import load_scorer
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining import Phase, PretrainSettings, pretrain
from examine_jax.pretraining.extra_positives import (
    Evidence,
    FalseNegatives,
    LayerView,
    SameClass,
    SimilarPositive,
    TracInPositive,
)
from examine_jax.pretraining.losses import normalised_regression
from examine_jax.pretraining.methods.byol_feature_transformation import (
    BYOLFeatureTransformation,
    extrapolated,
)
from examine_jax.pretraining.methods.byol_tracin import BYOLTracIn, weighted_regression
from examine_jax.training.method import Method
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


@pytest.fixture(scope="module")
def batch():
    return random_batch()


def _dense(params, inputs, kernel):
    """The head's dense, batch norm, ReLU, without the library's head."""
    x = np.asarray(inputs, np.float64) @ np.asarray(params["dense_0"].get("kernel"), np.float64)
    x = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
    x = x * np.asarray(params["norm_0"]["scale"]) + np.asarray(params["norm_0"]["bias"])
    return np.maximum(x, 0), np.asarray(params[kernel]["kernel"], np.float64)


@jax.jit
@jax.grad
def _layer_gradient(layer, a, z):
    q = a @ layer["kernel"] + layer.get("bias", 0)
    return 2 - 2 * q @ z / (jnp.linalg.norm(q) * jnp.linalg.norm(z))


def test_a_predictor_whose_last_layer_is_not_its_output_is_refused_where_gradients_choose(
    batch, tmp_path
):
    byol = small_byol(
        predictor=HeadConfig((9, 6), output_norm="plain"), augmentation=readable_views()
    )
    with pytest.raises(
        ValueError, match="'plain' batch norm follows the predictor's last linear layer"
    ):
        BYOLTracIn(byol, TracInPositive())
    assert BYOLTracIn(byol, SimilarPositive()).byol == byol
    save_encoder(tmp_path, byol, *started(byol, jax.random.key(0), batch))
    with pytest.raises(ValueError, match="'plain' batch norm follows"):
        BYOLTracIn(small_byol(), TracInPositive(), scorer=load_scorer(tmp_path))


# Each pair of two settings' values occurs.
@pytest.mark.parametrize(
    ("scored", "extra_views", "bias"),
    [
        ("first", "both", False),
        ("first", "other", True),
        ("second", "both", True),
        ("second", "other", False),
        ("both", "both", True),
        ("both", "other", False),
    ],
)
def test_the_step_s_extra_positives_are_those_of_an_explicit_loop_over_per_sample_gradients(
    batch, scored, extra_views, bias
):
    byol = small_byol(predictor=HeadConfig((9, 6), output_bias=bias))
    method = BYOLTracIn(byol, TracInPositive(scored), weight=0.7, extra_views=extra_views)
    params, state = started(byol, jax.random.key(1), batch)
    key = jax.random.key(2)
    of, to = passes(byol, params, state, batch, key)
    products = np.zeros((BATCH_SIZE, BATCH_SIZE))
    for view in {"first": [0], "second": [1], "both": [0, 1]}[scored]:
        activations, kernel = _dense(params["predictor"], of[view]["projector"], "dense_1")
        offset = np.asarray(params["predictor"]["dense_1"].get("bias", np.zeros(6)))
        np.testing.assert_allclose(activations @ kernel + offset, of[view]["predictor"], atol=1e-5)
        with jax.enable_x64(True):
            layer = {
                "kernel": jnp.asarray(kernel),
                **({"bias": jnp.asarray(offset, jnp.float64)} if bias else {}),
            }
            gradients = []
            for a, z in zip(activations, np.asarray(to[1 - view]["projector"], np.float64)):
                gradient = _layer_gradient(layer, a, z)
                gradients.append(
                    np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient)])
                )
        for i, k in itertools.product(range(BATCH_SIZE), repeat=2):
            products[i, k] += gradients[i] @ gradients[k]
    expected = 0.0
    for i in range(BATCH_SIZE):
        others = [k for k in range(BATCH_SIZE) if k != i]
        extra = max(others, key=lambda k, i=i: products[i, k])
        for view in (0, 1):
            expected += cosine_distance(of[view]["predictor"][i], to[1 - view]["projector"][i])
            for other in (0, 1) if extra_views == "both" else (1 - view,):
                expected += 0.7 * cosine_distance(
                    of[view]["predictor"][i], to[other]["projector"][extra]
                )
    loss, (_, metrics) = jitted(method)(params, state, batch, key)
    assert float(loss) == pytest.approx(expected / BATCH_SIZE, rel=1e-5)
    assert float(metrics["extra_positives"]) == 1


def test_without_weight_it_is_byol_and_its_gradient_is_byol_s(batch):
    byol = small_byol()
    method = BYOLTracIn(byol, weight=0.0)
    params, state = jax.jit(method.init)(jax.random.key(1), batch)
    (loss, (after, _)), gradient = jax.jit(jax.value_and_grad(method.loss, has_aux=True))(
        params, state, batch, jax.random.key(2)
    )
    (same, (same_after, _)), expected = jax.jit(jax.value_and_grad(byol.loss, has_aux=True))(
        params, state, batch, jax.random.key(2)
    )
    assert float(loss) == pytest.approx(float(same), rel=1e-6)
    # float32's rounding, in another order and through a batch norm.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=5e-5),
        (gradient, after),
        (expected, same_after),
    )
    moved = method.after_update(params, after, jnp.int32(1))
    jax.tree.map(
        np.testing.assert_array_equal, moved, byol.after_update(params, after, jnp.int32(1))
    )
    embedded = method.embed(params, state, batch["image"])
    np.testing.assert_array_equal(embedded, byol.embed(params, state, batch["image"]))


def _evidence(labels=None, features=None):
    rng = np.random.default_rng(3)

    def random(width):
        return jnp.asarray(rng.standard_normal((BATCH_SIZE, width)), jnp.float32)

    views = tuple(LayerView(random(9), random(6), random(6)) for _ in range(2))
    return Evidence(
        features or (random(5), random(5)),
        views,
        False,
        None if labels is None else jnp.asarray(labels),
    )


def test_the_most_similar_is_the_other_of_largest_cosine():
    evidence = _evidence()
    unit = np.asarray(evidence.features[0]) / np.linalg.norm(
        evidence.features[0], axis=1, keepdims=True
    )
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
    assert FalseNegatives(most=100, threshold=-2.0).weights(
        evidence, jax.random.key(0)
    ).sum() == pytest.approx(BATCH_SIZE)


def test_the_same_class_is_drawn_evenly_and_never_oneself_or_an_unknown():
    labels = np.array([0, 0, 0, 1, 2, 2, -1, -1])
    draws = jax.vmap(lambda key: SameClass().weights(_evidence(labels), key))(
        jax.random.split(jax.random.key(0), 600)
    )
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
    assert float(weighted_regression(q, z, jnp.eye(BATCH_SIZE))) == pytest.approx(
        float(normalised_regression(q, z))
    )
    weights = np.random.default_rng(0).random((BATCH_SIZE, BATCH_SIZE)).astype(np.float32)
    expected = sum(
        weights[i, k] * cosine_distance(q[i], z[k])
        for i, k in itertools.product(range(BATCH_SIZE), repeat=2)
    )
    assert float(weighted_regression(q, z, jnp.asarray(weights))) == pytest.approx(
        expected / BATCH_SIZE, rel=1e-5
    )


def test_the_share_of_right_extra_positives_is_logged_where_labels_exist(batch):
    labelled = {**batch, "label": jnp.array((0, 0, 1, 1, 1, 2, 2, -1))}
    method = BYOLTracIn(small_byol(), SameClass())
    params, state = started(method.byol, jax.random.key(1), batch)
    _, (_, metrics) = jitted(method)(params, state, labelled, jax.random.key(2))
    assert float(metrics["extra_positives"]) == pytest.approx(7 / 8)
    assert float(metrics["extra_positives_right"]) == 1
    assert float(metrics["extra_positives_chance"]) == pytest.approx((2 + 6 + 2) / 42)
    shuffled = {**labelled, "index": batch["index"][::-1]}
    _, (_, again) = jitted(method)(params, state, shuffled, jax.random.key(2))
    assert float(again["extra_positives"]) == pytest.approx(7 / 8)
    _, (_, without) = jitted(BYOLTracIn(small_byol()))(params, state, batch, jax.random.key(2))
    assert "extra_positives_right" not in without


def test_images_without_a_label_are_of_unknown_classes(batch):
    method = BYOLTracIn(small_byol(), SameClass())
    params, state = started(method.byol, jax.random.key(1), batch)
    labelled = {**batch, "label": jnp.array([0, 0, 1, -1, -1, -1, -1, -1])}
    _, (_, metrics) = jitted(method)(params, state, labelled, jax.random.key(2))
    assert float(metrics["extra_positives"]) == pytest.approx(2 / 8)


def test_a_batch_of_one_image_has_no_extra_positive(batch):
    method = BYOLTracIn(small_byol())
    params, state = started(method.byol, jax.random.key(1), batch)
    with pytest.raises(ValueError, match="a larger batch, or fewer micro-batches"):
        method.loss(
            params, state, {name: values[:1] for name, values in batch.items()}, jax.random.key(2)
        )


@pytest.mark.parametrize(
    "choice", [TracInPositive(), SimilarPositive(), FalseNegatives(), SameClass()]
)
def test_every_choice_trains_and_its_gradient_flows_through_the_loss_alone(batch, choice):
    method = BYOLTracIn(small_byol(), choice)
    batch = {**batch, "label": jnp.array((0, 0, 1, 1, 2, 2, 3, 3))}
    params, state = started(method.byol, jax.random.key(1), batch)
    (loss, _), gradient = jax.jit(jax.value_and_grad(method.loss, has_aux=True))(
        params, state, batch, jax.random.key(2)
    )
    assert np.isfinite(loss)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(gradient)) > 0


@pytest.mark.parametrize(
    "choice", [TracInPositive("both"), SimilarPositive(), FalseNegatives(), SameClass()]
)
def test_an_encoder_s_folder_keeps_the_method(batch, tmp_path, choice):
    byol = small_byol(augmentation=readable_views())
    params, state = started(byol, jax.random.key(0), batch)
    for method in (BYOLTracIn(byol, choice), BYOLFeatureTransformation(byol)):
        assert isinstance(method, Method)
        save_encoder(tmp_path / "encoder", method, params, state)
        assert load_encoder(tmp_path / "encoder").method == method


def test_extrapolation_pulls_a_pair_apart_along_its_line():
    evidence = _evidence()
    q, z = evidence.views[0].prediction, evidence.views[0].target
    ones = jnp.ones_like(q)
    same = extrapolated(q, z, ones)
    assert float(normalised_regression(*same)) == pytest.approx(
        float(normalised_regression(q, z)), rel=1e-5
    )
    assert float(normalised_regression(*extrapolated(q, z, 1.5 * ones))) > float(
        normalised_regression(q, z)
    )


def test_feature_transformation_trains_and_keeps_byol_s_state(batch):
    byol = small_byol()
    method = BYOLFeatureTransformation(byol)
    params, state = started(method.byol, jax.random.key(1), batch)
    loss, (after, _) = jitted(method)(params, state, batch, jax.random.key(2))
    plain, (expected, _) = jitted(byol)(params, state, batch, jax.random.key(2))
    assert float(loss) > float(plain)  # pairs are harder
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), after, expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BYOLTracIn(small_byol(), weight=-1.0), "weight"),
        (lambda: BYOLTracIn(small_byol(), extra_views="none"), "extra_views"),
        (lambda: TracInPositive("frist"), "scored"),
        (lambda: FalseNegatives(most=0), "most"),
        (lambda: BYOLFeatureTransformation(small_byol(), concentration=0.0), "concentration"),
    ],
)
def test_settings_out_of_range_are_refused(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_labels_that_are_only_reported_by_are_no_part_of_a_run(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (BATCH_SIZE, 8, 8, 3), dtype=np.uint8)
    training = PretrainSettings((Phase(steps=1),), batch_size=BATCH_SIZE)
    labels = np.arange(BATCH_SIZE) % 2
    method = BYOLTracIn(small_byol(), SimilarPositive())
    first = pretrain(method, images, training, tmp_path / "reported", progress=False)
    columns = {"image": images, "label": labels}
    again = pretrain(method, columns, training, tmp_path / "reported", progress=False)
    jax.tree.map(np.testing.assert_array_equal, again.params, first.params)

    method = BYOLTracIn(small_byol(), SameClass())
    with pytest.raises(ValueError, match="BYOLTracIn needs a column 'label'"):
        pretrain(method, images, training, tmp_path / "chosen by", progress=False)
    assert not (tmp_path / "chosen by").exists(), "refused at once"
    pretrain(method, columns, training, tmp_path / "chosen by", progress=False)
    columns["label"] = labels[::-1]
    with pytest.raises(ValueError, match=r"holds another run \(columns\.label\[0\]\.sha256"):
        pretrain(method, columns, training, tmp_path / "chosen by", progress=False)


def test_a_run_of_version_0_1_whose_method_kept_its_labels_goes_on(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (BATCH_SIZE, 8, 8, 3), dtype=np.uint8)
    training = PretrainSettings((Phase(steps=1),), batch_size=BATCH_SIZE)
    method = BYOLTracIn(small_byol(), SimilarPositive())
    first = pretrain(method, images, training, tmp_path, progress=False)
    file = tmp_path / "pretraining.json"
    written = json.loads(file.read_text())
    written["method"]["labels"] = []
    file.write_text(json.dumps(written))
    again = pretrain(method, images, training, tmp_path, progress=False)
    jax.tree.map(np.testing.assert_array_equal, again.params, first.params)
    written["method"]["labels"] = [0, 1] * (
        BATCH_SIZE // 2
    )  # of byol_sup, which version 0.1 trained by them
    file.write_text(json.dumps(written))
    with pytest.raises(ValueError, match=r"method\.labels"):
        pretrain(method, images, training, tmp_path, progress=False)
