"""The registry of methods: names, presets, and the sources' values in them."""

import dataclasses
import json

import pytest

from examine_jax.common.configuration import from_plain, to_plain
from examine_jax.encoders.load import KNOWN
from examine_jax.models import architecture
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining import AdamW, PixelScale
from examine_jax.pretraining.recipes import recipe, recipe_preset, with_batch_size
from examine_jax.pretraining.registry import method_names, method_preset, preset_names
from examine_jax.training.method import Method
from examine_jax.training.optimiser import LARS, SGD, Constant, WarmupCosine
from examine_jax.training.settings import Phase

ALL = [(method, preset) for method in method_names() for preset in preset_names(method)]


@pytest.mark.parametrize(("method", "preset"), ALL)
def test_every_preset_is_a_value_that_configuration_files_hold(method, preset):
    for name in ("small", "resnet18"):
        if name == "resnet18" and method in ("mae", "autoencoder"):
            continue
        value, settings = method_preset(method, architecture(name), preset=preset)
        assert isinstance(value, Method)
        assert isinstance(hash((value, settings)), int)
        plain = json.loads(json.dumps(to_plain(value)))
        assert from_plain(plain, KNOWN, "config.json") == value


def test_every_method_of_the_seed_papers_has_their_preset():
    extra = {"byol_tracin", "byol_fs", "byol_fnc", "byol_ft"}
    assert set(method_names()) - extra == {
        "mae",
        "autoencoder",
        "simclr",
        "dcl",
        "dclw",
        "byol",
        "simsiam",
        "vicreg",
    }
    assert extra < set(method_names())
    assert all("small" in preset_names(method) for method in method_names())
    assert all("paper" in preset_names(method) for method in method_names() if method != "dclw")
    assert all(
        "released_code" in preset_names(method) for method in ("simclr", "dcl", "simsiam", "vicreg")
    )


def test_the_number_of_steps_reaches_settings_and_moving_average():
    small = architecture("small")
    byol, settings = method_preset("byol", small, steps=123)
    assert settings.phases == (Phase(steps=123),)
    assert byol.moving_average.steps == 123
    byol, settings = method_preset("byol", small, preset="paper", num_images=1000)
    assert settings.phases == (Phase(epochs=200),)
    assert byol.moving_average.steps == 200 * 3  # 1000 images make three batches of 256
    byol, _ = method_preset("byol", small, preset="original")
    assert byol.moving_average.steps == 312_784  # byol/configs/byol.py: 1000 * 1281167 // 4096


@pytest.mark.parametrize("method", ["byol_tracin", "byol_fs", "byol_fnc", "byol_ft", "byol_sup"])
def test_byol_with_an_extra_positive_is_its_presets_byol(method):
    for preset, plain in (("small", "small"), ("paper", "study")):
        byol, settings = method_preset("byol", architecture("small"), preset=plain, steps=77)
        value, same = method_preset(method, architecture("small"), preset=preset, steps=77)
        assert value.byol == byol
        assert same == settings
        assert byol.moving_average.steps == 77


def test_other_channels_than_three_get_other_statistics_than_imagenets():
    grey = architecture("small", channels=1)
    assert method_preset("vicreg", grey, preset="original")[0].pixels == PixelScale((0.5,), (0.5,))


def test_originals_hold_their_codes_values():
    resnet = architecture("resnet50")
    simclr, settings = method_preset("simclr", resnet, preset="original")
    assert (simclr.temperature, simclr.directions, simclr.projector.widths) == (
        0.1,
        "sum",
        (2048, 2048, 128),
    )
    assert settings.optimiser == LARS(momentum=0.9, weight_decay=1e-6, rate_in_momentum=True)
    assert settings.schedule == WarmupCosine(0.3, warmup=0.1)
    simsiam, settings = method_preset("simsiam", resnet, preset="original")
    assert simsiam.projector == HeadConfig(
        (2048, 2048, 2048), output_bias=False, output_norm="plain"
    )
    assert simsiam.predictor == HeadConfig((512, 2048))
    assert settings.optimiser == SGD(0.9, 1e-4, fixed_rate=("predictor",))
    vicreg, settings = method_preset("vicreg", resnet, preset="original")
    assert (vicreg.invariance_weight, vicreg.variance_weight, vicreg.covariance_weight) == (
        25,
        25,
        1,
    )
    assert (settings.batch_size, settings.schedule.learning_rate) == (2048, 0.2)


def test_the_low_resource_papers_code_differs_from_its_text():
    resnet = architecture("resnet50")
    for method in ("simclr", "dcl", "simsiam", "vicreg"):
        text, settings = method_preset(method, resnet, preset="paper")
        code, code_settings = method_preset(method, resnet, preset="released_code")
        assert settings == code_settings
        assert settings.optimiser == SGD(momentum=0.0, weight_decay=0.0)
        assert settings.schedule == Constant(0.01)
        assert code.augmentation.first.steps[0].scale == (0.08, 0.1)
        assert text != dataclasses.replace(code, augmentation=text.augmentation)
    assert method_preset("simsiam", resnet, preset="released_code")[0].predictor is None
    dcl, _ = method_preset("dcl", resnet, preset="released_code")
    assert (dcl.weight_sigma, dcl.directions, dcl.temperature) == (0.5, "first", 0.1)


def test_examines_preset_trains_as_its_masked_autoencoder():
    arch = architecture("examine_paper")
    settings = [
        method_preset(method, arch, preset="paper")[1] for method in ("mae", "autoencoder", "byol")
    ]
    settings.append(method_preset("simclr", arch, preset="examine")[1])
    assert len(set(settings)) == 1
    assert (settings[0].batch_size, settings[0].phases) == (256, (Phase(epochs=200),))
    assert settings[0].optimiser == AdamW(0.9, 0.95, weight_decay=0.05)


def test_what_does_not_exist_is_said_with_what_does():
    small = architecture("small")
    with pytest.raises(
        ValueError, match="no method is named 'moco'; there are: mae, autoencoder, simclr"
    ):
        method_preset("moco", small)
    with pytest.raises(
        ValueError, match="byol has no preset 'tiny'; there are: small, paper, original"
    ):
        method_preset("byol", small, preset="tiny")


def test_the_quick_preset_of_mae_has_the_peak_and_the_network_of_the_small_one():
    small, settings = method_preset("mae", architecture("small"))
    quick, same = method_preset("mae", architecture("small"), preset="quick")
    assert dataclasses.replace(quick, pixels=small.pixels) == small
    assert same.learning_rate((10,)).peak == settings.learning_rate((10,)).peak == 1e-3
    assert same.phases[0].steps * same.batch_size < settings.phases[0].steps * 64 / 2


@pytest.mark.parametrize("method", ["mae", "autoencoder"])
def test_methods_of_patches_refuse_a_convolutional_encoder(method):
    with pytest.raises(ValueError, match="ViT architecture, or another method"):
        method_preset(method, architecture("resnet18"))


def test_the_main_jobs_recipe_is_the_quick_preset_and_other_batches_have_their_own_peak():
    training = recipe("small")
    assert training == method_preset("mae", architecture("small"), preset="quick")[1]
    assert (recipe_preset("small"), recipe_preset("small", "simclr")) == ("quick", "small")
    assert recipe_preset("vit_s8") == "small"
    assert with_batch_size(training, 16) == training
    for batch_size, peak in ((64, 2e-3), (4, 5e-4)):
        other = with_batch_size(training, batch_size)
        assert (other.batch_size, other.accumulate) == (batch_size, 1)
        assert other.learning_rate((10,)).peak == pytest.approx(peak)
    again = with_batch_size(with_batch_size(training, 64), 16)
    assert again.learning_rate((10,)).peak == pytest.approx(1e-3)
