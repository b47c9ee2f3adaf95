"""The plain autoencoder: its loss, its relation to the masked one, what it refuses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from examine_jax.models import DecoderConfig, ViTConfig, architecture
from examine_jax.pretraining import MAE, PixelScale
from examine_jax.pretraining.methods.autoencoder import Autoencoder
from examine_jax.training.method import Method

# What is compiled here runs once.
quickly = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})

ENCODER = ViTConfig(
    image_size=12, patch_size=4, channels=3, width=24, depth=1, heads=3, mlp_width=32
)
DECODER = DecoderConfig(width=16, depth=2, heads=2, mlp_width=24)
METHOD = Autoencoder(ENCODER, DECODER, pixels=PixelScale((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)))
IMAGES = jnp.asarray(np.random.default_rng(0).integers(0, 256, (6, 12, 12, 3), dtype=np.uint8))
BATCH = {"image": IMAGES, "index": jnp.arange(6)}


@pytest.fixture(scope="module")
def params():
    return quickly(METHOD.init)(jax.random.key(0), BATCH)[0]


def test_the_loss_is_the_squared_error_of_what_is_rebuilt(params):
    assert isinstance(METHOD, Method)
    assert jax.eval_shape(METHOD.init, jax.random.key(0), BATCH)[1] == {}
    # Near grey, so that clipping to [0, 1] takes nothing away.
    dim = jax.tree.map(lambda leaf: leaf, params)
    dim["decoder"]["pixels"]["kernel"] = 0.1 * params["decoder"]["pixels"]["kernel"]
    rebuilt = quickly(METHOD.reconstruct)(dim, IMAGES)
    assert rebuilt.shape == IMAGES.shape
    difference = (np.asarray(rebuilt) - np.asarray(IMAGES) / 255) / np.array([0.2, 0.3, 0.4])
    np.testing.assert_allclose(
        quickly(METHOD.dense_loss)(dim, IMAGES), np.mean(difference**2), rtol=1e-4
    )


def test_its_networks_are_the_masked_autoencoders_without_the_mask_token(params):
    masked, _ = jax.eval_shape(MAE(ENCODER, DECODER).init, jax.random.key(0), BATCH)
    del masked["decoder"]["mask_token"]
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(lambda leaf: leaf.shape, masked)
    features = METHOD.embed(params, {}, IMAGES)
    by_masked = MAE(ENCODER, DECODER, pixels=METHOD.pixels).embed(params, {}, IMAGES)
    np.testing.assert_allclose(features, by_masked, rtol=1e-5, atol=1e-6)


def test_thirty_steps_lower_the_loss(params):
    optimiser = optax.adam(3e-3)

    def step(carry, key):
        params, moments = carry
        (loss, _), gradient = jax.value_and_grad(METHOD.loss, has_aux=True)(params, {}, BATCH, key)
        updates, moments = optimiser.update(gradient, moments)
        return (optax.apply_updates(params, updates), moments), loss

    train = quickly(lambda carry, keys: jax.lax.scan(step, carry, keys)[1])
    losses = train((params, optimiser.init(params)), jax.random.split(jax.random.key(1), 30))
    assert losses[-5:].mean() < 0.8 * losses[:5].mean()


def test_images_of_another_size_are_refused(params):
    with pytest.raises(ValueError, match=r"\(16, 12, 3\).*\(12, 12, 3\)"):
        METHOD.embed(params, {}, jnp.zeros((2, 16, 12, 3), jnp.uint8))


def test_a_convolutional_encoder_is_refused_and_other_methods_named():
    with pytest.raises(ValueError, match=r"ResNet has none.*simclr"):
        Autoencoder.of(architecture("resnet18"))
