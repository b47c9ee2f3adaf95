"""Shards of features: what says that a folder belongs to another run."""

import json
import pathlib
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image

from examine_jax.encoders import Encoder, ImportedEncoder
from examine_jax.encoders.exports.other_libraries import Timm
from examine_jax.images.decoding.header_identity import HeaderIdentity
from examine_jax.images.header_identities import SourceHeaders
from examine_jax.jobs.embed_shards import _identifiers, embed_into_shards
from examine_jax.jobs.headers import JobHeaders, PrivacySettings
from examine_jax.models import ViTConfig
from examine_jax.pretraining.pixels import PixelScale


def test_patients_hidden_by_another_key_are_another_run(tmp_path: pathlib.Path) -> None:
    header = HeaderIdentity(patient="P1", study="1.2", series="1.2.3", identifiers=("P1",))

    def mark(privacy: PrivacySettings, **files: HeaderIdentity) -> str | None:
        return _identifiers(JobHeaders({"images": SourceHeaders(files)}, privacy), "images")

    keys = [PrivacySettings(id_key=tmp_path / name) for name in ("one", "one", "two")]
    one, again, other = (mark(privacy, a=header) for privacy in keys)
    kept = mark(PrivacySettings(keep_ids=True), a=header)
    assert one == again
    assert len({one, other, kept, None}) == 4
    assert mark(keys[2]) is None


def test_images_that_are_read_in_another_way_are_another_run(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The encoder's own files say how images are resized, and may change between two calls."""
    config = ViTConfig(
        image_size=8, patch_size=4, channels=3, width=8, depth=1, heads=1, mlp_width=8
    )
    method = ImportedEncoder(config, PixelScale())
    shapes = jax.eval_shape(lambda key: method.init(key, {}), jax.random.key(0))
    params, state = jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes)
    encoder, images, output = (tmp_path / name for name in ("encoder", "images", "features"))
    for folder in (encoder, images):
        folder.mkdir()
    Timm().write(Encoder(method, params, state), encoder)
    for name in ("a", "b"):
        Image.new("L", (9, 12), 50).save(images / f"{name}.png")
    monkeypatch.setattr(Encoder, "embed", lambda self, pixels, **how: pixels.mean((1, 2)))

    def run(**how: Any) -> int:
        return embed_into_shards(images, encoder, output, progress=False, **how).rows

    assert run() == run() == run(dicom_window=1) == 2
    with pytest.raises(ValueError, match=r"holds another run .*intensity_range"):
        run(intensity_range=(0.0, 100.0))
    said = json.loads((encoder / "encoder.json").read_text())
    said |= {"resize": "shorter_side", "interpolation": "bicubic"}
    (encoder / "encoder.json").write_text(json.dumps(said))
    with pytest.raises(ValueError, match=r"holds another run .*framing"):
        run()
