"""How a folder says that images come to its encoder's size."""

import json
import pathlib

import numpy as np
import pytest

from examine_jax.images.decoding.framing import Framing
from examine_jax.models.weights.encoder_json import read_description
from examine_jax.models.weights.encoder_table import known_encoder
from examine_jax.models.weights.framing import framing_of
from examine_jax.models.weights.imported import StoredNetwork
from examine_jax.models.weights.tensors import Tensors

SHORTER = "shorter_side"
TIMM = {"architecture": "vit_large_patch16_224"}
OPEN_CLIP = {"model_cfg": {}}


def _framing(folder: pathlib.Path, files=(), configuration=None, known=None, size=224):
    for name, content in dict(files).items():
        (folder / name).write_text(json.dumps(content))
    stored = StoredNetwork(
        folder, configuration or {}, Tensors({"x": np.zeros(1)}, "x"), read_description(folder)
    )
    row = None if known is None else known_encoder(known, "x")
    return framing_of(stored, row, size)


def _timm(**settings):
    return {**TIMM, "pretrained_cfg": {"input_size": [3, 224, 224], **settings}}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # As transformers 5.24 writes them: ViT, DINOv2, CLIP, ConvNeXt.
        ({"size": {"height": 224, "width": 224}, "resample": 2}, ("squash", "bilinear", None)),
        ({"size": {"height": 224, "width": 224}, "resample": 1}, None),
        ({"size": {"height": 224, "width": 224}}, None),
        (
            {
                "size": {"shortest_edge": 256},
                "crop_size": {"height": 224, "width": 224},
                "do_center_crop": True,
                "resample": 3,
            },
            (SHORTER, "bicubic", 256),
        ),
        (
            {"size": 224, "crop_size": 224, "do_center_crop": True, "resample": 3},
            (SHORTER, "bicubic", None),
        ),
        (
            {"size": {"shortest_edge": 224}, "crop_pct": 0.875, "resample": 3},
            (SHORTER, "bicubic", 256),
        ),
        (
            {"size": {"shortest_edge": 384}, "crop_pct": 0.875, "resample": 3},
            ("squash", "bicubic", None),
        ),
        ({"size": {"longest_edge": 1024}, "resample": 2}, None),
        ({"size": {"shortest_edge": 256}, "resample": 3}, None),
        ({"size": 224, "resample": 3, "do_resize": False}, None),
        ({"size": "large", "resample": 3}, None),
        # Files of the Hub: BEiT's, Swin's, DINO's. One number is both sides.
        (
            {
                "size": 224,
                "crop_size": 224,
                "do_center_crop": False,
                "resample": 2,
                "feature_extractor_type": "BeitFeatureExtractor",
            },
            ("squash", "bilinear", None),
        ),
        (
            {"size": 224, "resample": 3, "feature_extractor_type": "ViTFeatureExtractor"},
            ("squash", "bicubic", None),
        ),
        ({"size": 224, "resample": 3}, ("squash", "bicubic", None)),
        # DeiT's crops after a squash.
        (
            {
                "size": 256,
                "crop_size": 224,
                "do_center_crop": True,
                "resample": 3,
                "feature_extractor_type": "DeiTFeatureExtractor",
            },
            None,
        ),
        ({"size": 224, "resample": 3, "image_processor_type": "CLIPImageProcessorFast"}, None),
        ({"size": 224, "resample": [3]}, None),
        # The kernel of the class, where the file is silent.
        ({"size": 224, "image_processor_type": "ViTImageProcessor"}, ("squash", "bilinear", None)),
        ({"size": 224, "image_processor_type": "ConvNextImageProcessor"}, None),
    ],
)
def test_transformers_preprocessors(tmp_path, settings, expected):
    found = _framing(tmp_path, {"preprocessor_config.json": settings})
    assert found == (None if expected is None else Framing(224, *expected))


@pytest.mark.parametrize(
    ("model_type", "settings", "expected"),
    [
        ("vit", {}, ("squash", "bilinear", None)),
        ("swin", {}, ("squash", "bilinear", None)),
        ("beit", {}, ("squash", "bicubic", None)),
        ("dinov2", {"crop_size": 224, "do_center_crop": True}, (SHORTER, "bicubic", None)),
        ("convnext", {"resample": 2}, None),
        ("sam", {}, None),
    ],
)
def test_a_processor_without_a_name_is_its_networks(tmp_path, model_type, settings, expected):
    files = {"preprocessor_config.json": {"size": 224, **settings}}
    found = _framing(tmp_path, files, configuration={"model_type": model_type})
    assert found == (None if expected is None else Framing(224, *expected))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"crop_pct": 0.9, "interpolation": "bicubic"}, (SHORTER, "bicubic", 248)),
        ({"crop_pct": 1.0, "interpolation": "bilinear"}, (SHORTER, "bilinear", None)),
        ({"crop_pct": 1.0}, (SHORTER, "bicubic", None)),
        ({"interpolation": "bicubic"}, (SHORTER, "bicubic", 256)),
        ({"crop_pct": 1.0, "crop_mode": "squash"}, ("squash", "bicubic", None)),
        ({"crop_pct": 1.0, "crop_mode": "squash", "interpolation": "lanczos"}, None),
        ({"crop_pct": 0.9, "crop_mode": "border"}, None),
        ({"crop_pct": 0.9, "interpolation": "random"}, None),
        ({}, None),
    ],
)
def test_timms_configurations(tmp_path, settings, expected):
    found = _framing(tmp_path, configuration=_timm(**settings))
    assert found == (None if expected is None else Framing(224, *expected))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (SHORTER, "bicubic")),
        ({"interpolation": "bilinear", "resize_mode": "squash"}, ("squash", "bilinear")),
        ({"resize_mode": "longest"}, None),
    ],
)
def test_open_clips_configurations(tmp_path, settings, expected):
    found = _framing(tmp_path, configuration={**OPEN_CLIP, "preprocess_cfg": settings})
    assert found == (None if expected is None else Framing(224, *expected))


def test_encoder_json_goes_first_and_the_table_before_the_files(tmp_path):
    whole = _timm(crop_pct=1.0, interpolation="bicubic")
    found = _framing(tmp_path, configuration=whole, known="prov-gigapath")
    assert found == Framing(224, SHORTER, "bicubic", 256)
    assert _framing(tmp_path, configuration=whole, known="uni") == Framing(224, SHORTER, "bicubic")
    description = {"resize": "squash", "interpolation": "box"}
    found = _framing(
        tmp_path, {"encoder.json": description}, configuration=whole, known="prov-gigapath"
    )
    assert found == Framing(224, "squash", "box")


def test_another_image_size_changes_the_shorter_side(tmp_path):
    found = _framing(tmp_path, configuration=_timm(crop_pct=0.875), size=112)
    assert found == Framing(112, SHORTER, "bicubic", 128)


def test_a_shorter_side_below_the_size_names_the_file(tmp_path):
    description = {"resize": SHORTER, "resize_side": 200}
    with pytest.raises(ValueError, match=r"encoder\.json: .*must be 224 \(the size\)"):
        _framing(tmp_path, {"encoder.json": description})
