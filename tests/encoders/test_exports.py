"""Encoders given away: layouts of other libraries, ONNX and StableHLO, read back."""

import dataclasses
import json
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import pytest
from safetensors import safe_open

from examine_jax.encoders import Encoder, ImportedEncoder, load_encoder
from examine_jax.encoders.exports.card import ModelCard, card_text
from examine_jax.encoders.exports.export import export_encoder
from examine_jax.encoders.exports.onnx_file import ONNX
from examine_jax.encoders.exports.other_libraries import Timm, Transformers
from examine_jax.encoders.exports.registry import FORMATS
from examine_jax.encoders.exports.stablehlo import EXAMPLE, StableHLO
from examine_jax.encoders.imported import method_of
from examine_jax.images.decoding.framing import Framing
from examine_jax.jobs.export import ExportSettings, export
from examine_jax.models import ConvNeXtConfig, ResNetConfig, ViTConfig
from examine_jax.models.attention_pooling import AttentionPooling
from examine_jax.models.rotary_positions import RotaryPositions
from examine_jax.models.swin import SwinConfig
from examine_jax.models.vit import ViTExtras
from examine_jax.models.weights import read_network
from examine_jax.pretraining.pixels import PixelScale

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "export_names.json"
GUIDE = pathlib.Path(__file__).parents[2] / "docs" / "guide" / "give_an_encoder_away.md"
_SIZES: dict[str, Any] = {
    "image_size": 16,
    "patch_size": 8,
    "channels": 3,
    "width": 32,
    "depth": 2,
    "heads": 2,
    "mlp_width": 64,
}
_NO_CLASS: dict[str, Any] = {**_SIZES, "class_token": False}
PLAIN = ViTConfig(**_SIZES, pooling="class_token")
GATED = ViTConfig(
    **{**_SIZES, "mlp_width": 88},
    layer_scale=0.1,
    mlp="swiglu",
    pooling="class_and_mean",
    extras=ViTExtras(registers=2),
)
POOLED = ViTConfig(
    **_NO_CLASS,
    positions="learned",
    pooling="attention",
    extras=ViTExtras(attention_pooling=AttentionPooling(2, 64)),
)
ROTARY = ViTConfig(**_SIZES, positions="rotary", extras=ViTExtras(rotary=RotaryPositions()))
RESNET = ResNetConfig(image_size=32, channels=3, width=8, depths=(1, 2))
SMALL_STEM = ResNetConfig(image_size=8, channels=3, width=8, depths=(1, 1), stem="small_image")
FOUR: dict[str, Any] = {"depths": (1, 1, 2, 1), "widths": (8, 8, 16, 16)}
V2: dict[str, Any] = {"layer_scale": None, "response_norm": True}
# By the names of the golden file.
LAYOUTS: dict[str, Any] = {
    "transformers vit": PLAIN,
    "transformers dinov2": ViTConfig(**_SIZES, layer_scale=0.5, pooling="class_token"),
    "transformers dinov2 gated": GATED,
    "transformers resnet": RESNET,
    "transformers bottleneck": ResNetConfig(32, 3, "bottleneck", (2, 1), 8),
    "transformers convnext": ConvNeXtConfig(32, depths=(1, 2), widths=(8, 16)),
    "transformers convnextv2": ConvNeXtConfig(32, depths=(1, 2), widths=(8, 16), **V2),
    "timm vit": PLAIN,
    "timm vit without class token": ViTConfig(**_NO_CLASS, final_norm=False),
    "timm gated": GATED,
    "timm attention pooling": POOLED,
    "timm resnet": ResNetConfig(32, 3),
    "timm convnext": ConvNeXtConfig(32, **FOUR),
    "timm convnextv2": ConvNeXtConfig(32, **FOUR, **V2),
}


def _encoder(config: Any, **training: Any) -> Encoder:
    """An encoder with random weights, drawn without compiling anything."""
    method = ImportedEncoder(config, PixelScale((0.3, 0.4, 0.5), (0.2, 0.25, 0.3)))
    shapes = jax.eval_shape(lambda key: method.init(key, {}), jax.random.key(0))
    random = np.random.default_rng(1)
    params, state = jax.tree.map(
        lambda leaf: (0.3 * np.abs(random.standard_normal(leaf.shape))).astype(np.float32), shapes
    )
    return Encoder(method, params, state, training)


def _files(folder: pathlib.Path) -> Mapping[str, Any]:
    return {
        file.name: json.loads(file.read_text())
        for file in folder.iterdir()
        if file.suffix == ".json"
    }


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_has_the_librarys_tensors_and_is_read_as_it_was(
    name: str, tmp_path: pathlib.Path
) -> None:
    library, config = name.split()[0], LAYOUTS[name]
    encoder = _encoder(config)
    FORMATS[library].write(encoder, tmp_path)
    expected: dict[str, list[int]] = json.loads(GOLDEN.read_text())[name]
    with safe_open(tmp_path / "model.safetensors", framework="numpy") as stored:
        names = stored.keys()
        written = {key: list(stored.get_slice(key).get_shape()) for key in names}
    assert written == expected
    method, params, state = method_of(read_network(tmp_path))
    assert isinstance(method, ImportedEncoder)
    assert isinstance(encoder.method, ImportedEncoder)
    assert method.pixels == encoder.method.pixels
    read: Any = method.encoder
    assert (read.image_size, read.features) == (config.image_size, config.features)
    assert getattr(read, "pooling", None) == getattr(config, "pooling", None)
    ours = jax.tree_util.tree_leaves_with_path((encoder.params, encoder.state))
    theirs = dict(jax.tree_util.tree_leaves_with_path((params, state)))
    for path, leaf in ours:
        np.testing.assert_array_equal(theirs.pop(path), leaf)
    # What ours has not and theirs needs: positions in a table, layer scales of one.
    for path, leaf in theirs.items():
        assert "positions" in str(path[-1]) or np.all(np.asarray(leaf) == 1), path


@pytest.mark.parametrize("format", [Transformers(), Timm()])
@pytest.mark.parametrize(
    "framing",
    [
        Framing(16, "shorter_side", "bicubic", 18),
        Framing(16, "shorter_side", "bilinear"),
        Framing(16, "squash", "bicubic"),
        None,
    ],
)
def test_how_images_come_to_the_size_goes_with_the_encoder(
    format: Any, framing: Framing | None, tmp_path: pathlib.Path
) -> None:
    encoder = dataclasses.replace(_encoder(PLAIN), framing=framing)
    format.write(encoder, tmp_path)
    assert read_network(tmp_path).framing == framing
    (tmp_path / "encoder.json").unlink()  # then the library's own file says it
    assert read_network(tmp_path).framing == framing


@pytest.mark.parametrize(
    ("config", "format", "named"),
    [
        (ViTConfig(**_NO_CLASS), Transformers(), "no class token"),
        (ViTConfig(**_SIZES, final_norm=False), Transformers(), "no layer norm at its end"),
        (POOLED, Transformers(), "attention pooling"),
        (ROTARY, Transformers(), "rotary positions"),
        (ROTARY, Timm(), "rotary positions"),
        (ViTConfig(**_SIZES, mlp="geglu"), Transformers(), "the gated MLP geglu"),
        (ViTConfig(**_SIZES, layer_norm_epsilon=1e-12), Timm(), "epsilon 1e-12"),
        (
            ViTConfig(**{**_SIZES, "mlp_width": 40}, layer_scale=1.0),
            Transformers(),
            "an MLP 40 wide",
        ),
        (
            ViTConfig(**_SIZES, extras=ViTExtras(embedding_norm=True)),
            Timm(),
            "after patches with a bias",
        ),
        (SMALL_STEM, Transformers(), "a stem for small images"),
        (RESNET, Timm(), "a first width of 8"),
        (ConvNeXtConfig(32, depths=(1,), widths=(8,)), Timm(), "1 stages, not 4"),
        (
            ConvNeXtConfig(32, depths=(1,), widths=(8,), response_norm=True),
            Transformers(),
            "a layer scale and a global response norm",
        ),
        (
            dataclasses.replace(ROTARY, positions="learned"),
            Timm(),
            "turned queries and keys",
        ),
        (
            SwinConfig(16, depths=(1,), heads=(2,), windows=(2,), width=8),
            Timm(),
            "a Swin cannot be written for timm here, only ViT, ResNet, ConvNeXt",
        ),
        (PLAIN, FORMATS["vit_mae"], "only an MAE's"),
    ],
)
def test_what_a_layout_cannot_say_is_named(
    config: Any, format: Any, named: str, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(ValueError, match=named):
        export_encoder(tmp_path / "out", _encoder(config), format, ModelCard("x"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("config", [ROTARY, RESNET])
def test_onnx_gives_the_features_of_any_number_of_images(
    config: Any, tmp_path: pathlib.Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    encoder = _encoder(config)
    found = export_encoder(tmp_path / "out", encoder, ONNX(), ModelCard("x"))
    assert found.difference is not None
    assert found.difference < 5e-6
    session = onnxruntime.InferenceSession(str(tmp_path / "out" / "encoder.onnx"))
    (given,) = session.get_inputs()
    size = config.image_size
    assert (given.name, given.type, given.shape) == (
        "pixels",
        "tensor(uint8)",
        ["batch", size, size, 3],
    )
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), np.uint8)
    (together,) = session.run(None, {"pixels": images})
    for image, row in zip(images, together):
        (alone,) = session.run(None, {"pixels": image[None]})
        np.testing.assert_allclose(alone[0], row, rtol=0, atol=1e-5 * np.abs(row).max())


def test_vit_mae_holds_no_choice_of_outputs(tmp_path: pathlib.Path) -> None:
    encoder = load_encoder(GOLDEN.parent / "weights" / "vit_mae").with_readout("patch_mean", [1])
    with pytest.raises(ValueError, match="leave out feature and layers"):
        FORMATS["vit_mae"].write(encoder, tmp_path)
    assert not list(tmp_path.iterdir())


def test_onnx_weights_beyond_a_files_limit_lie_beside_it(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("examine_jax.encoders.exports.onnx_file._LARGEST", 1000)
    found = export_encoder(tmp_path / "out", _encoder(PLAIN), ONNX(), ModelCard("x"))
    assert found.files == ("README.md", "encoder.onnx", "encoder.onnx.data")
    assert found.difference is not None
    assert found.difference < 5e-6


def test_stablehlo_runs_without_this_package_on_all_platforms(tmp_path: pathlib.Path) -> None:
    encoder = _encoder(SMALL_STEM)
    folder = tmp_path / "out"
    export_encoder(folder, encoder, StableHLO(), ModelCard("x"))
    program = (folder / "encoder.stablehlo").read_bytes()
    assert b".py" not in program  # no path of this machine is given away
    exported = jax.export.deserialize(bytearray(program))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert EXAMPLE in (folder / "README.md").read_text()
    assert EXAMPLE in GUIDE.read_text()
    assert len(EXAMPLE.splitlines()) <= 10
    script = tmp_path / "embed.py"
    script.write_text(f"{EXAMPLE}assert 'examine_jax' not in sys.modules\n")
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    np.save(tmp_path / "pixels.npy", images)
    output = tmp_path / "features.npy"
    subprocess.run(
        [sys.executable, "-I", script, folder, tmp_path / "pixels.npy", output], check=True
    )
    np.testing.assert_allclose(np.load(output), encoder.embed(images), rtol=1e-5)


def test_a_card_says_what_the_encoder_takes_gives_and_inherits(tmp_path: pathlib.Path) -> None:
    encoder = _encoder(PLAIN, base={"name": "uni", "known_encoder": "uni"}, images=7, steps=5)
    export_encoder(tmp_path / "out", encoder, Timm(), ModelCard("ours", licence="MIT"))
    card = (tmp_path / "out" / "README.md").read_text()
    for part in (
        "# ours",
        "16 x 16 pixels, 3 channels",
        "| mean | 0.3, 0.4, 0.5 |",
        "| deviation | 0.2, 0.25, 0.3 |",
        "32, class token",
        "MIT; and CC-BY-NC-ND-4.0 (that of MahmoodLab/UNI",
        "5 steps, starting from MahmoodLab/UNI",
        "7 images",
        "read back, features differ by 0.0e+00",
    ):
        assert part in card, part


def test_a_card_is_one_table_and_names_no_folder(tmp_path: pathlib.Path) -> None:
    encoder = _encoder(PLAIN, base={"name": "ward_7/encoder"})
    card = ModelCard("a\nb", licence="MIT | GPL\n\nevil", images="7 | 8")
    text = card_text(encoder, "timm", "", card, None)
    assert text.startswith("# a b\n\n")
    assert "| trained on | 7 \\| 8 |\n" in text
    assert "| licence | MIT \\| GPL evil |\n" in text
    assert "starting from another encoder |" in text
    assert "ward_7" not in text


def test_an_export_becomes_an_encoder_again_and_can_be_exported(tmp_path: pathlib.Path) -> None:
    encoder = _encoder(GATED)
    settings = ExportSettings(str(tmp_path / "timm"), "transformers", str(tmp_path / "hf"))
    (tmp_path / "timm").mkdir()
    Timm().write(encoder, tmp_path / "timm")
    assert export(settings).difference == 0
    assert load_encoder(tmp_path / "hf").pooling == "class_and_mean"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "tflite"}, "unknown format 'tflite': choose from transformers, timm, vit_mae"),
        ({"output": "taken"}, "exists; name another folder"),
        ({"output": "encoder"}, "is the encoder's own folder, or within it"),
        ({"output": "encoder/export"}, "is the encoder's own folder, or within it"),
        ({"encoder": "nothing"}, "nothing"),
        ({"feature": "tokens"}, "leave out feature and layers"),
    ],
)
def test_a_wrong_export_is_one_line_and_writes_nothing(
    changes: dict[str, Any], message: str, tmp_path: pathlib.Path
) -> None:
    (tmp_path / "encoder").mkdir()
    Timm().write(_encoder(PLAIN), tmp_path / "encoder")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    before = sorted(tmp_path.rglob("*"))
    given = {"encoder": "encoder", "format": "timm", "output": "new", **changes}
    for name in ("encoder", "output"):
        given[name] = str(tmp_path / given[name])
    with pytest.raises(ValueError, match=message) as error:
        export(ExportSettings(**given))
    assert "\n" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before
