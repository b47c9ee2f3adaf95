"""Architectures by name, and invalid configurations."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import pytest

from examine_jax.models import ARCHITECTURES, DecoderConfig, ViTConfig, architecture, init_network
from examine_jax.pretraining import MAE


def parameters(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    "name", [name for name, preset in ARCHITECTURES.items() if preset().decoder is not None]
)
def test_every_architecture_has_the_expected_number_of_parameters(name):
    arch = architecture(name)
    batch = {"image": jax.ShapeDtypeStruct((1, 72, 72, 3), jnp.uint8)}
    params, _ = jax.eval_shape(MAE.of(arch).init, jax.random.key(0), batch)
    for config, part, ends in [
        (
            arch.encoder,
            params["encoder"],
            192 * arch.encoder.width + arch.encoder.width * (1 + arch.encoder.class_token),
        ),
        (
            arch.decoder,
            params["decoder"],
            (arch.encoder.width + 1) * arch.decoder.width + arch.decoder.width * (1 + 192) + 192,
        ),
    ]:
        width, mlp = config.width, config.mlp_width
        final_norm = 0 if config is arch.encoder and not config.final_norm else 2 * width
        block = 4 * width * width + 4 * width + 2 * width * mlp + mlp + width + 4 * width
        assert parameters(part) == ends + config.depth * block + final_norm


@pytest.mark.parametrize(
    ("name", "count", "features"),
    [("resnet18", 11_176_512 - 7 * 7 * 192 + 9 * 192, 512), ("resnet50", 23_508_032, 2048)],
)
def test_residual_networks_have_torchvisions_number_of_parameters(name, count, features):
    encoder = architecture(name).encoder
    images = jax.ShapeDtypeStruct((1, encoder.image_size, encoder.image_size, 3), jnp.float32)
    params, _ = jax.eval_shape(
        functools.partial(init_network, encoder.module()), jax.random.key(0), images
    )
    assert parameters(params) == count
    assert encoder.features == features


def test_the_papers_network_has_its_sizes():
    arch = architecture("examine_paper")
    assert arch.encoder.num_patches == 81
    assert (arch.encoder.width, arch.encoder.depth, arch.encoder.heads, arch.encoder.mlp_width) == (
        1024,
        6,
        8,
        2048,
    )
    assert "inferred" in ARCHITECTURES["examine_paper"].__doc__


def test_an_architecture_takes_another_size_and_other_channels():
    encoder = architecture("small", image_size=48, channels=1).encoder
    assert (encoder.image_size, encoder.channels, encoder.num_patches) == (48, 1, 36)


def test_an_unknown_architecture_lists_the_known_ones():
    with pytest.raises(
        ValueError, match="'huge': choose from small, examine_paper, vit_s8, vit_b8"
    ):
        architecture("huge")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 70}, "70 is not a multiple of patch_size 8"),
        ({"width": 190}, "width 190"),
        ({"heads": 5}, "heads"),
        ({"depth": 0}, "depth must be at least 1"),
        ({"pooling": "class_token"}, "needs class_token=True"),
    ],
)
def test_an_impossible_vit_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(architecture("small").encoder, **changes)


def test_an_impossible_decoder_is_refused():
    with pytest.raises(ValueError, match="width 10"):
        DecoderConfig(width=10, depth=1, heads=2, mlp_width=4)


def test_a_vit_pools_by_its_setting():
    config = ViTConfig(
        image_size=8, patch_size=4, channels=1, width=8, depth=1, heads=2, mlp_width=8
    )
    module = config.module()
    images = jax.random.uniform(jax.random.key(0), (3, 8, 8, 1))
    variables = jax.jit(module.init)(jax.random.key(1), images)
    assert module.apply(variables, images, method="tokens").shape == (3, 5, 8)
    assert module.apply(variables, images).shape == (3, 8)


def test_a_vit_embeds_fewer_large_images_at_once():
    # A block's logits: heads x tokens^2 float32 numbers an image, 2 GiB together.
    large = ViTConfig(518, 14, 3, width=768, depth=12, heads=12, mlp_width=3072)
    assert large.images_at_once == 23
    usual = dataclasses.replace(large, image_size=224, patch_size=16)
    assert usual.images_at_once > 1000
    assert dataclasses.replace(large, image_size=14 * 512).images_at_once == 1
