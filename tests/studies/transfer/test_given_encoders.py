"""The study's folder recognises a given encoder by all that its features depend on."""

import json
import pathlib
import shutil

import numpy as np
import pytest

from examine_jax.encoders.base import load_base
from examine_jax.labelled.sets import LabelledImages
from examine_jax.studies.transfer.encoders import GivenEncoder
from examine_jax.studies.transfer.settings import TransferSettings
from examine_jax.studies.transfer.study import check_folder

GOLDEN = pathlib.Path(__file__).parents[2] / "golden" / "weights" / "vit"


def _file(folder: pathlib.Path, name: str, **changes: object) -> None:
    content = json.loads((folder / name).read_text()) if (folder / name).is_file() else {}
    (folder / name).write_text(json.dumps({**content, **changes}))


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("preprocessor_config.json", {"image_mean": [0.25, 0.5]}, r"pixels.mean\[0\]: 0.5 there"),
        ("preprocessor_config.json", {"image_std": [0.25, 0.5]}, r"pixels.deviation\[0\]: 0.5"),
        ("config.json", {"layer_norm_eps": 1e-3}, "layer_norm_epsilon"),
        ("encoder.json", {"resize": "shorter_side"}, "framing"),
        ("encoder.json", {"note": "for people"}, None),
    ],
)
def test_an_edited_folder_is_another_encoder(tmp_path, file, changes, message):
    folder = pathlib.Path(shutil.copytree(GOLDEN, tmp_path / "vit"))
    pixels = np.zeros((2, 24, 24, 2), np.uint8)
    images = LabelledImages(("x", "y"), pixels, np.array([0, 1]), ("a", "b"), None)

    def check() -> None:
        given = GivenEncoder("vit", load_base(folder))
        check_folder(tmp_path / "out", TransferSettings(), images, [given])

    check()
    check()
    _file(folder, file, **changes)
    if message is None:
        check()
    else:
        with pytest.raises(ValueError, match=rf"encoders/vit holds another run \(.*{message}"):
            check()
