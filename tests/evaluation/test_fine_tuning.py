"""Fine-tuning: which parameters change and which do not."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from examine_jax.encoders.encoder import Encoder
from examine_jax.evaluation.classifier_influence import (
    ClassifierLoss,
    classifier_checkpoints,
    labelled_examples,
)
from examine_jax.evaluation.classifier_training import ClassifierTraining
from examine_jax.evaluation.fine_tuning import fine_tune
from examine_jax.evaluation.mlp_probe import two_layer_probe
from examine_jax.images.augmentation import TwoViews
from examine_jax.influence import tracin
from examine_jax.models import FlaxEncoder
from examine_jax.models.classifier_head import LINEAR_HEAD, ClassifierHead
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining import PixelScale
from examine_jax.pretraining.methods.simclr import SimCLR
from examine_jax.training.optimiser import Adam, Constant


class Convolutional(nn.Module):
    @nn.compact
    def __call__(self, images, train):
        x = nn.Conv(6, (3, 3), strides=2)(images)
        return nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)).mean(
            axis=(1, 2)
        )


@dataclasses.dataclass(frozen=True)
class Shifted:
    """An augmentation that is far from the identity."""

    def __call__(self, key, images):
        return jnp.float32(images) / 255 + jax.random.normal(key, (len(images), 1, 1, 1))


@pytest.fixture(scope="module")
def encoder():
    views = TwoViews(Shifted(), Shifted())
    config = FlaxEncoder(Convolutional(), image_size=8, channels=3, features=6)
    method = SimCLR(
        encoder=config,
        augmentation=views,
        projector=HeadConfig((4,)),
        pixels=PixelScale((0.5,), (0.25,)),
    )
    params, state = jax.jit(method.init)(
        jax.random.key(0), {"image": jnp.zeros((2, 8, 8, 3), jnp.uint8)}
    )
    # Running statistics that differ from those of any batch.
    state = jax.tree.map(lambda leaf: leaf + 0.3, state)
    return Encoder(method, params, state)


def _images(count=40):
    rng = np.random.default_rng(0)
    labels = np.concatenate([[0, 1], rng.integers(0, 2, count - 2)])
    images = rng.integers(0, 120, (count, 8, 8, 3)) + 100 * labels[:, None, None, None]
    return images.astype(np.uint8), labels


_TRAINING = ClassifierTraining(epochs=6, batch_size=16, optimiser=Adam(), schedule=Constant(0.02))


def _same(first, second):
    return all(jax.tree.leaves(jax.tree.map(np.array_equal, first, second)))


@pytest.mark.parametrize("augmentation", [None, Shifted()])
def test_a_frozen_encoder_stays_in_evaluation_mode_and_does_not_change(encoder, augmentation):
    images, labels = _images()
    before = jax.tree.map(np.array, (encoder.params, encoder.state))
    found = fine_tune(
        encoder,
        images,
        labels,
        num_classes=2,
        training=_TRAINING,
        frozen=True,
        augmentation=augmentation,
    )
    assert _same(before, (encoder.params, encoder.state))
    assert _same(found.fixed["batch_stats"], encoder.state["batch_stats"]["encoder"])
    assert set(found.params) == set(found.batch_stats) == {"head"}
    # In training, too, the encoder uses running averages.
    features = jnp.asarray(encoder.embed(images))
    logits, stats = found.network.logits(
        found.params,
        found.batch_stats,
        found.fixed,
        jnp.asarray(images),
        jax.random.key(0),
        train=augmentation is None,
    )
    head = found.params["head"]["logits"]
    np.testing.assert_allclose(logits, features @ head["kernel"] + head["bias"], atol=1e-5)
    assert set(stats) == {"head"}


@pytest.mark.parametrize(
    "head", [LINEAR_HEAD, ClassifierHead(hidden=8)], ids=["linear", "two layers"]
)
def test_a_frozen_encoder_equals_the_probe_on_its_features(encoder, head):
    images, labels = _images()
    tuned = fine_tune(
        encoder, images, labels, num_classes=2, training=_TRAINING, head=head, frozen=True
    )
    features = encoder.embed(images)
    probe = two_layer_probe(features, labels, num_classes=2, training=_TRAINING, head=head)
    np.testing.assert_allclose(tuned.losses, probe.losses, rtol=1e-4)
    np.testing.assert_allclose(tuned.scores(images), probe.scores(features), atol=1e-4)


def test_influence_with_a_frozen_encoder_equals_the_probe_s_and_needs_only_head_gradients(encoder):
    images, labels = _images()
    training = dataclasses.replace(_TRAINING, kept_epochs=(2, 6))
    tuned = fine_tune(encoder, images, labels, num_classes=2, training=training, frozen=True)
    checkpoints = classifier_checkpoints(tuned)
    assert all(set(checkpoint.params) == {"head"} for checkpoint in checkpoints)
    features = encoder.embed(images)
    probe = two_layer_probe(features, labels, num_classes=2, training=training, head=LINEAR_HEAD)
    found, expected = (
        tracin(
            ClassifierLoss(one.network), classifier_checkpoints(one), examples, examples
        ).matrix()
        for one, examples in (
            (tuned, labelled_examples(images, labels, num_classes=2)),
            (probe, labelled_examples(features, labels, num_classes=2)),
        )
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_the_whole_network_learns_and_the_given_encoder_does_not_change(encoder):
    images, labels = _images()
    before = jax.tree.map(np.array, (encoder.params, encoder.state))
    found = fine_tune(
        encoder, images, labels, num_classes=2, training=_TRAINING, head=ClassifierHead(hidden=8)
    )
    assert _same(before, (encoder.params, encoder.state))
    assert not _same(found.params["encoder"], encoder.params["encoder"])
    assert not _same(found.batch_stats["encoder"], encoder.state["batch_stats"]["encoder"])
    assert found.fixed == {}
    assert found.losses[-1] < found.losses[0]
    assert np.mean(found.scores(images).argmax(axis=1) == labels) > 0.9


def test_images_of_another_size_are_refused(encoder):
    images, labels = _images()
    with pytest.raises(ValueError, match="the encoder takes"):
        fine_tune(encoder, images[:, :6], labels, num_classes=2, training=_TRAINING)
