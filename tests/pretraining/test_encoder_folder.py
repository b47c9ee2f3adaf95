"""A trained encoder's folder: there and back, and refused when it is not whole."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from examine_jax.models import DecoderConfig, ViTConfig
from examine_jax.pretraining import MAE, Encoder, PixelScale, encoder_folder, load_encoder, save_encoder

METHOD = MAE(
    ViTConfig(image_size=16, patch_size=4, channels=3, width=16, depth=1, heads=2, mlp_width=32),
    DecoderConfig(width=8, depth=1, heads=2, mlp_width=16),
    norm_pix=True,
    pixels=PixelScale((0.5, 0.4, 0.3), (0.2, 0.2, 0.2)),
)


@pytest.fixture(scope="module")
def params():
    return jax.jit(METHOD.init)(jax.random.key(0), {"image": np.zeros((1, 16, 16, 3), np.uint8)})[0]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (11, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def folder(params, tmp_path):
    save_encoder(tmp_path / "encoder", METHOD, params, {}, {"steps": 7, "images": "patches"})
    return tmp_path / "encoder"


def test_it_comes_back_as_it_was(folder, params, images):
    encoder = load_encoder(folder)
    assert encoder.method == METHOD
    assert encoder.training == {"steps": 7, "images": "patches"}
    assert (encoder.image_size, encoder.channels, encoder.pooling) == (16, 3, "mean")
    assert all(
        np.array_equal(a, b) for a, b in zip(jax.tree.leaves(encoder.params), jax.tree.leaves(params), strict=True)
    )
    np.testing.assert_array_equal(encoder.embed(images), Encoder(METHOD, params, {}).embed(images))
    assert sorted(file.name for file in folder.parent.iterdir()) == ["encoder"]
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]


def test_features_do_not_depend_on_the_batch_and_the_ragged_one_is_not_compiled(params, images):
    encoder = Encoder(METHOD, params, {})
    seen = []
    whole = encoder.embed(images, batch_size=11)
    compiled = encoder_folder._embed._cache_size()
    np.testing.assert_allclose(
        encoder.embed(images, batch_size=4, on_progress=lambda *at: seen.append(at)), whole, rtol=1e-5, atol=1e-6
    )
    assert encoder_folder._embed._cache_size() == compiled + 1
    assert seen == [(4, 11), (8, 11), (11, 11)]
    assert encoder.embed(images[:2], batch_size=4).shape == (2, 16)
    assert encoder_folder._embed._cache_size() == compiled + 1
    assert encoder.embed(images[:0], batch_size=4).shape == (0, 16)


def test_pooling_can_be_chosen_afterwards(params, images):
    encoder = Encoder(METHOD, params, {})
    by_class = encoder.with_pooling("class_token")
    assert by_class.pooling == "class_token"
    tokens = METHOD.tokens(params, {}, jax.numpy.asarray(images))
    np.testing.assert_allclose(by_class.embed(images), tokens[:, 0], rtol=1e-5, atol=1e-5)
    headless = dataclasses.replace(METHOD, encoder=dataclasses.replace(METHOD.encoder, class_token=False))
    with pytest.raises(ValueError, match="class_token"):
        Encoder(headless, params, {}).with_pooling("class_token")


def test_an_autoencoder_shows_what_it_paints(params, images):
    masked, painted = Encoder(METHOD, params, {}).reconstruct(images[:3], jax.random.key(0))
    assert masked.shape == painted.shape == (3, 16, 16, 3)
    assert masked.dtype == painted.dtype == np.float32
    visible = np.abs(masked - images[:3] / 255).max(axis=-1) < 1e-5
    assert 0.5 < visible.mean() < 0.65  # int(16 * .6) = 9 of 16 patches
    assert np.abs(painted - images[:3] / 255)[visible].max() < 1e-5


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((2, 20, 20, 3), np.uint8), ((2, 16, 16, 1), np.uint8), ((16, 16, 3), np.uint8), ((2, 16, 16, 3), np.float32)],
)
def test_images_that_do_not_fit_are_refused(params, shape, dtype):
    with pytest.raises(ValueError, match=r"takes uint8 images \[16, 16, 3\]"):
        Encoder(METHOD, params, {}).embed(np.zeros(shape, dtype))


def edit_configuration(change):
    def edit(folder):
        configuration = json.loads((folder / "config.json").read_text())
        change(configuration)
        (folder / "config.json").write_text(json.dumps(configuration))

    return edit


def edit_tensors(change):
    def edit(folder):
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")

    return edit


NAME = "params.encoder.block_0.expand.kernel"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no model.safetensors"),
        (lambda folder: (folder / "config.json").write_text("{"), "not readable JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "format_version is None"),
        (lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe\x00"), "not readable JSON"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"abc"), "not a readable safetensors"),
        (
            lambda folder: (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-9]),
            "not a readable safetensors",
        ),
        (edit_configuration(lambda c: c.update(format_version=99)), "format_version is 99"),
        (edit_configuration(lambda c: c.pop("method")), "method"),
        (edit_configuration(lambda c: c.update(method="mae")), "no pretraining method"),
        (edit_configuration(lambda c: c["method"].update(type="Diffusion")), "'Diffusion' is none of the known"),
        (edit_configuration(lambda c: c["method"].update(colour=1)), "no field 'colour'"),
        (edit_configuration(lambda c: c["method"]["encoder"].pop("width")), "ViTConfig lacks the field 'width'"),
        (edit_configuration(lambda c: c["method"]["encoder"].update(width=17)), "width 17"),
        (
            edit_configuration(lambda c: c["method"]["encoder"].update(mlp_width=40)),
            r"contract.kernel is \[32, 16\], config.json asks for \[40, 16\]",
        ),
        (edit_tensors(lambda t: t.pop(NAME)), f"lacks the tensor {NAME}"),
        (
            edit_tensors(lambda t: t.update({NAME: t[NAME].T.copy()})),
            rf"{NAME} is \[32, 16\], config.json asks for \[16, 32\]",
        ),
    ],
)
def test_a_damaged_folder_is_refused_with_what_is_wrong(folder, damage, message):
    damage(folder)
    with pytest.raises(ValueError, match=message):
        load_encoder(folder)


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="nowhere is not an encoder's folder"):
        load_encoder(tmp_path / "nowhere")


def test_saving_replaces_an_encoder_and_nothing_else(folder, params, tmp_path):
    save_encoder(folder, METHOD, params, {}, {"steps": 8})
    assert load_encoder(folder).training == {"steps": 8}
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("irreplaceable")
    with pytest.raises(ValueError, match="is no encoder's folder"):
        save_encoder(tmp_path / "thesis", METHOD, params, {})
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "irreplaceable"
    with pytest.raises(TypeError):
        save_encoder(tmp_path / "third", METHOD, params, {}, {"bad": object()})
    assert sorted(file.name for file in tmp_path.iterdir()) == ["encoder", "thesis"]
