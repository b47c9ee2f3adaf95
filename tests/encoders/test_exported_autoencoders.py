"""Masked autoencoders given away as transformers' ViTMAE."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from examine_jax.encoders import Encoder, load_encoder
from examine_jax.encoders.save import export_vit_mae, preprocessor_config
from examine_jax.images.decoding.framing import Framing
from examine_jax.pretraining import MAE
from tests.support.colour_mae import METHOD
from tests.support.golden_encoders import GOLDEN, same_arrays


def test_an_exported_autoencoder_is_the_vit_mae_that_was_read(tmp_path):
    original = GOLDEN / "weights" / "vit_mae"
    encoder = load_encoder(original)
    assert isinstance(encoder.method, MAE)
    export_vit_mae(tmp_path / "exported", encoder)
    written, read = (
        load_file(folder / "model.safetensors") for folder in (tmp_path / "exported", original)
    )
    renamed = {
        name.replace("decoder_encoder.layer.", "decoder_layers."): array
        for name, array in read.items()
    }
    assert written.keys() == renamed.keys()
    for name, array in renamed.items():
        np.testing.assert_allclose(
            written[name], array, atol=1e-6 if "pos" in name else 0, err_msg=name
        )
    said, meant = (
        json.loads((folder / "config.json").read_text())
        for folder in (tmp_path / "exported", original)
    )
    assert {key: said[key] for key in said} == {key: meant[key] for key in said}
    again = load_encoder(tmp_path / "exported")
    assert again.method == encoder.method
    assert same_arrays((again.params, again.state), (encoder.params, encoder.state))
    assert again.framing == encoder.framing


def test_an_exported_autoencoder_says_how_images_come_to_its_size(tmp_path):
    encoder = load_encoder(GOLDEN / "weights" / "vit_mae")
    for number, (rule, kernel) in enumerate((("squash", "bilinear"), ("shorter_side", "bicubic"))):
        framing = Framing(encoder.image_size, rule, kernel)
        export_vit_mae(tmp_path / str(number), dataclasses.replace(encoder, framing=framing))
        assert load_encoder(tmp_path / str(number)).framing == framing
        said = json.loads((tmp_path / str(number) / "preprocessor_config.json").read_text())
        assert said["do_convert_rgb"] is True
    assert preprocessor_config(framing, (0.5,), (0.2,))["do_convert_rgb"] is False


def test_transformers_reads_an_exported_autoencoder(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    images = np.random.default_rng(0).integers(0, 256, (11, 16, 16, 3), dtype=np.uint8)
    params, _ = jax.jit(METHOD.init)(jax.random.key(0), {"image": images[:1]})
    export_vit_mae(tmp_path / "exported", Encoder(METHOD, params, {}))
    model, report = transformers.ViTMAEForPreTraining.from_pretrained(
        tmp_path / "exported", output_loading_info=True
    )
    assert not any(report.values())
    noise = np.random.default_rng(0).uniform(size=(11, 16))
    loss = METHOD.masked_loss(params, jnp.asarray(images), jnp.asarray(noise, jnp.float32))
    pixels = torch.as_tensor(np.asarray(METHOD.pixels(jnp.asarray(images)))).permute(0, 3, 1, 2)
    expected = model(pixels, noise=torch.as_tensor(noise)).loss.detach().numpy()
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_token": False}, "no class token"),
        ({"final_norm": False}, "no layer norm at its end"),
        ({"layer_scale": 0.1}, "layer scale"),
        ({"mlp": "swiglu"}, "SwiGLU"),
        ({"qkv_bias": False}, "no bias on queries"),
    ],
)
def test_an_encoder_that_vit_mae_has_no_place_for_is_not_exported(tmp_path, changes, message):
    method = dataclasses.replace(METHOD, encoder=dataclasses.replace(METHOD.encoder, **changes))
    with pytest.raises(ValueError, match=message):
        export_vit_mae(tmp_path / "exported", Encoder(method, {}, {}))
    assert not (tmp_path / "exported").exists()
