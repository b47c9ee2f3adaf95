"""The masked autoencoder against transformers' ViTMAE (golden/make_vit_mae.py)."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.models import DecoderConfig, ViTConfig, architecture
from examine_jax.models.patches import patchify
from examine_jax.pretraining import MAE, PixelScale
from tests.support.vit_mae import from_vit_mae

TINY = ViTConfig(image_size=24, patch_size=6, channels=3, width=24, depth=2, heads=3, mlp_width=40)
TINY_DECODER = DecoderConfig(width=16, depth=2, heads=2, mlp_width=24)


@pytest.fixture(scope="module")
def golden():
    with np.load(pathlib.Path(__file__).parents[1] / "golden" / "vit_mae.npz") as file:
        return {name: file[name] for name in file.files}


def tensors(golden, kind):
    return {
        name.removeprefix(f"{kind}."): array
        for name, array in golden.items()
        if name.startswith(f"{kind}.")
    }


def assert_close(actual, expected, name, relative=1e-5):
    scale = np.abs(expected).max()
    assert np.abs(np.asarray(actual) - expected).max() <= relative * scale, name


@pytest.mark.parametrize("norm_pix", [False, True])
def test_the_loss_equals_transformers(golden, norm_pix):
    method = MAE(TINY, TINY_DECODER, norm_pix=norm_pix)
    params = from_vit_mae(tensors(golden, "weight"), TINY, TINY_DECODER)
    loss = jax.jit(method.masked_loss)(
        params, golden["images"], jnp.asarray(golden["noise"], jnp.float32)
    )
    assert_close(loss, golden[f"loss.norm_pix={norm_pix}"], "loss")


def test_the_gradients_equal_transformers(golden):
    method = MAE(TINY, TINY_DECODER, norm_pix=True)
    params = from_vit_mae(tensors(golden, "weight"), TINY, TINY_DECODER)
    gradient = jax.jit(jax.grad(method.masked_loss))(
        params, golden["images"], jnp.asarray(golden["noise"], jnp.float32)
    )
    expected = from_vit_mae(tensors(golden, "gradient"), TINY, TINY_DECODER)
    assert jax.tree.structure(gradient) == jax.tree.structure(expected)
    for (path, actual), wanted in zip(
        jax.tree_util.tree_flatten_with_path(gradient)[0], jax.tree.leaves(expected)
    ):
        assert np.abs(wanted).max() > 1e-6, path
        assert_close(actual, wanted, jax.tree_util.keystr(path))


def test_the_latent_equals_transformers(golden):
    method = MAE(TINY, TINY_DECODER)
    params = from_vit_mae(tensors(golden, "weight"), TINY, TINY_DECODER)
    order = np.argsort(golden["noise"], axis=1)[:, : method.num_visible]
    patches = np.asarray(patchify(jnp.asarray(golden["images"] / 255.0, jnp.float32), 6))
    visible = np.take_along_axis(patches, order[:, :, None], axis=1)
    latent = TINY.module().apply(
        {"params": params["encoder"]}, jnp.asarray(visible), jnp.asarray(order), method="encode"
    )
    assert latent.shape == golden["latent"].shape
    assert_close(latent, golden["latent"], "latent")


@pytest.mark.parametrize(
    ("rounding", "ratio", "side", "visible"),
    [
        ("keep", 0.4, 72, 48),
        ("drop", 0.4, 72, 49),
        ("keep", 0.75, 224, 196),
        ("drop", 0.75, 224, 196),
        ("keep", 0.5, 72, 40),
        ("drop", 0.5, 72, 41),
    ],
)
def test_the_number_of_visible_patches_follows_the_rounding(rounding, ratio, side, visible):
    arch = architecture("small", image_size=side)
    assert MAE.of(arch, mask_ratio=ratio, mask_rounding=rounding).num_visible == visible


@pytest.mark.parametrize("ratio", [0.0, 1.0, 0.999, -1.0, float("nan")])
def test_a_ratio_that_hides_all_or_nothing_is_refused(ratio):
    with pytest.raises(ValueError, match="mask_ratio"):
        MAE(TINY, TINY_DECODER, mask_ratio=ratio)


def test_images_of_another_size_are_refused():
    method = MAE(TINY, TINY_DECODER)
    with pytest.raises(ValueError, match=r"\(30, 24, 3\).*\(24, 24, 3\)"):
        method.init(jax.random.key(0), {"image": jnp.zeros((2, 30, 24, 3), jnp.uint8)})


def test_features_do_not_depend_on_the_batch_and_pool_as_asked(golden):
    method = MAE(TINY, TINY_DECODER)
    params = from_vit_mae(tensors(golden, "weight"), TINY, TINY_DECODER)
    tokens = method.tokens(params, {}, jnp.asarray(golden["images"]))
    assert tokens.shape == (3, 17, 24)
    features = method.embed(params, {}, jnp.asarray(golden["images"]))
    np.testing.assert_allclose(features, tokens[:, 1:].mean(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        method.embed(params, {}, jnp.asarray(golden["images"][1:2]))[0],
        features[1],
        rtol=1e-5,
        atol=1e-6,
    )
    by_class = MAE(ViTConfig(**{**vars(TINY), "pooling": "class_token"}), TINY_DECODER)
    np.testing.assert_allclose(
        by_class.embed(params, {}, jnp.asarray(golden["images"])),
        tokens[:, 0],
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("norm_pix", [False, True])
def test_a_reconstruction_keeps_the_visible_patches(golden, norm_pix):
    method = MAE(
        TINY, TINY_DECODER, norm_pix=norm_pix, pixels=PixelScale((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    )
    params = from_vit_mae(tensors(golden, "weight"), TINY, TINY_DECODER)
    masked, painted = method.reconstruct(params, jnp.asarray(golden["images"]), jax.random.key(1))
    truth = golden["images"] / 255.0
    cut = [np.asarray(patchify(jnp.asarray(x, jnp.float32), 6)) for x in (masked, painted, truth)]
    hidden = np.abs(cut[0] - 0.5).max(axis=-1) < 1e-5
    assert (hidden.sum(axis=1) == 16 - method.num_visible).all()
    np.testing.assert_allclose(cut[0][~hidden], cut[2][~hidden], atol=1e-5)
    np.testing.assert_allclose(cut[1][~hidden], cut[2][~hidden], atol=1e-5)
    assert np.abs(cut[1][hidden] - cut[2][hidden]).max() > 0.1
    assert painted.min() >= 0
    assert painted.max() <= 1


def test_bfloat16_stays_near_float32(golden):
    params = from_vit_mae(tensors(golden, "weight"), TINY, TINY_DECODER)
    noise = jnp.asarray(golden["noise"], jnp.float32)
    losses, gradients = [], []
    for dtype in ("float32", "bfloat16"):
        method = MAE(ViTConfig(**{**vars(TINY), "dtype": dtype}), TINY_DECODER)
        loss, gradient = jax.jit(jax.value_and_grad(method.masked_loss))(
            params, jnp.asarray(golden["images"]), noise
        )
        assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype("float32")}
        losses.append(loss)
        gradients.append(jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(gradient)]))
    assert abs(losses[0] - losses[1]) < 0.02 * losses[0]
    assert jnp.linalg.norm(gradients[0] - gradients[1]) < 0.1 * jnp.linalg.norm(gradients[0])
