"""The low-resource paper's probe on frozen features, against PyTorch."""

import dataclasses
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.evaluation.classifier_training import (
    ClassifierTraining,
    StepDecay,
    train_classifier,
)
from examine_jax.evaluation.mlp_probe import HeadOnFeatures, two_layer_probe
from examine_jax.models.classifier_head import ClassifierHead
from examine_jax.training.optimiser import SGD, Adam, Constant, WarmupCosine

_GOLDEN = pathlib.Path(__file__).parent.parent / "golden" / "two_layer_probe.npz"
_SHORT = ClassifierTraining(epochs=12, batch_size=16)
_HEAD = ClassifierHead(hidden=8)


@dataclasses.dataclass(frozen=True)
class FromGiven(HeadOnFeatures):
    """A head initialised with the weights of the golden file."""

    def init(self, key, fixed):
        _, stats = super().init(key, fixed)
        given = np.load(_GOLDEN)
        hidden, logits = (
            {"kernel": jnp.float32(given[f"{name}.weight"].T)} for name in ("hidden", "logits")
        )
        norm = {"scale": jnp.float32(given["norm.weight"]), "bias": jnp.float32(given["norm.bias"])}
        return {
            "hidden": hidden,
            "norm": norm,
            "logits": {**logits, "bias": jnp.float32(given["logits.bias"])},
        }, stats


def _data(seed=0, count=90):
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(3), rng.integers(0, 3, count - 3)])
    return (3 * np.eye(3, 10)[labels] + rng.standard_normal((count, 10))).astype(np.float32), labels


@pytest.fixture(scope="module")
def given():
    return np.load(_GOLDEN)


@pytest.fixture(scope="module")
def trained(given):
    network = FromGiven(_HEAD, width=10, num_classes=3)
    training = ClassifierTraining(epochs=60, batch_size=24)
    return train_classifier(network, {}, given["features"], given["labels"], training)


def test_losses_equal_those_of_pytorch_s_adam_with_step_lr(given, trained):
    np.testing.assert_allclose(trained.losses, given["losses"], rtol=1e-4)
    assert given["losses"][-1] < 0.3 * given["losses"][0]


def test_scores_in_evaluation_mode_equal_pytorch_s(given, trained):
    np.testing.assert_allclose(trained.scores(given["others"]), given["scores"], atol=1e-4)
    variance = trained.batch_stats["norm"]["var"]
    np.testing.assert_allclose(variance, given["running_variance"], rtol=1e-4)


@pytest.mark.parametrize("every", [41, 47, 55, 61, 82])
def test_the_learning_rate_falls_at_the_exact_step_when_compiled(every):
    training = ClassifierTraining(epochs=10, schedule=StepDecay(1.0, every_epochs=1, factor=0.5))
    rate = jax.jit(training.learning_rate(16, every).at)
    for times in (1, 2, 5):
        assert rate(times * every - 1) == 0.5 ** (times - 1)
        assert rate(times * every) == 0.5**times


def test_a_batch_of_one_image_is_refused():
    features, labels = _data()
    network = HeadOnFeatures(ClassifierHead(4), features.shape[1], 3)
    with pytest.raises(ValueError, match="a batch of one image: the probe's batch norm needs two"):
        train_classifier(network, {}, features, labels, ClassifierTraining(epochs=1, batch_size=1))
    with pytest.raises(ValueError, match="batch norm needs two"):
        two_layer_probe(
            features, labels, num_classes=3, training=dataclasses.replace(_SHORT, batch_size=1)
        )


def test_initial_weights_are_uniform_within_one_over_root_inputs():
    params, _ = HeadOnFeatures(ClassifierHead(), width=100, num_classes=4).init(
        jax.random.key(0), {}
    )
    for name, bound in (("hidden", 0.1), ("logits", 512**-0.5)):
        kernel = np.asarray(params[name]["kernel"])
        assert 0.99 * bound < np.abs(kernel).max() <= bound
        assert kernel.std() == pytest.approx(bound / 3**0.5, rel=0.05)
    assert 0 < np.abs(params["logits"]["bias"]).max() <= 512**-0.5


def test_classes_are_learnt_and_scored_on_other_rows():
    features, labels = _data()
    others, expected = _data(seed=1, count=37)
    found = two_layer_probe(features, labels, num_classes=3, training=_SHORT, head=_HEAD)
    scores = found.scores(others, batch_size=16)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-6)
    assert np.mean(scores.argmax(axis=1) == expected) > 0.9
    np.testing.assert_allclose(found.scores(others, batch_size=37), scores, atol=1e-6)
    assert len(found.losses) == 12 * (90 // 16)


def test_several_labels_are_learnt():
    features, labels = _data()
    several = np.stack([labels == 0, labels != 1], axis=1).astype(int)
    found = two_layer_probe(features, several, num_classes=2, training=_SHORT, head=_HEAD)
    assert np.mean((found.scores(features) > 0.5) == several) > 0.95


def test_equal_seeds_give_equal_losses():
    features, labels = _data()

    def losses(seed):
        training = dataclasses.replace(_SHORT, seed=seed)
        return two_layer_probe(
            features, labels, num_classes=3, training=training, head=_HEAD
        ).losses

    np.testing.assert_array_equal(losses(0), losses(0))
    assert not np.array_equal(losses(0), losses(1))


@pytest.mark.parametrize("schedule", [StepDecay(), WarmupCosine(0.1), Constant(0.01)])
def test_schedules_count_in_epochs(schedule):
    rate = ClassifierTraining(epochs=100, schedule=schedule).learning_rate(256, 7)
    if isinstance(schedule, StepDecay):
        assert [float(rate(step)) for step in (0, 174, 175, 349, 350, 699)] == pytest.approx(
            [0.01, 0.01, 0.005, 0.005, 0.0025, 0.00125]
        )
    elif isinstance(schedule, WarmupCosine):
        assert float(rate(35)) == pytest.approx(0.1)
        assert float(rate(700)) == pytest.approx(0, abs=1e-8)
    else:
        assert float(rate(699)) == pytest.approx(0.01)


def test_a_batch_larger_than_the_set_is_the_set():
    features, labels = _data(count=9)
    training = ClassifierTraining(epochs=2, batch_size=64)
    assert (
        len(two_layer_probe(features, labels, num_classes=3, training=training, head=_HEAD).losses)
        == 2
    )


def test_invalid_or_diverging_training_is_refused():
    features, labels = _data()
    with pytest.raises(ValueError, match="class 3 has no training image"):
        two_layer_probe(features, labels, num_classes=4)
    diverging = ClassifierTraining(
        epochs=9, batch_size=90, optimiser=SGD(), schedule=Constant(1e30)
    )
    with pytest.raises(ValueError, match=r"loss is (nan|inf) in epoch"):
        two_layer_probe(features, labels, num_classes=3, training=diverging, head=_HEAD)
    with pytest.raises(ValueError, match="positive"):
        ClassifierTraining(epochs=0, optimiser=Adam())
    with pytest.raises(ValueError, match="StepDecay"):
        StepDecay(0.0)


def test_a_classifier_does_not_depend_on_64_bit_types():
    rng = np.random.default_rng(5)
    inputs = rng.normal(size=(32, 4)).astype(np.float32)
    labels = np.arange(32) % 2

    def losses():
        training = ClassifierTraining(epochs=2, batch_size=16)
        return train_classifier(HeadOnFeatures(_HEAD, 4, 2), {}, inputs, labels, training).losses

    plain = losses()
    with jax.enable_x64(True):
        wide = losses()
    np.testing.assert_array_equal(plain, wide)
