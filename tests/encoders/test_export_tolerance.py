"""How far the features of written files may be from the encoder's."""

import dataclasses
import pathlib

import numpy as np
import pytest

from examine_jax.encoders import Encoder, load_encoder
from examine_jax.encoders.exports.card import ModelCard
from examine_jax.encoders.exports.export import export_encoder

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "weights"


@dataclasses.dataclass(frozen=True, eq=False)
class Distorting:
    """A format whose files give an encoder's features times a factor."""

    name: str
    encoder: Encoder
    factor: float

    def write(self, encoder: Encoder, folder: pathlib.Path) -> str:
        (folder / "weights").write_text("none")
        return "Read it."

    def read_back(self, folder: pathlib.Path, images: np.ndarray) -> np.ndarray:
        return self.encoder.embed(images) * self.factor


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return load_encoder(GOLDEN / "vit")


@pytest.mark.parametrize(
    ("name", "precision", "factor", "kept"),
    [
        ("onnx", "bfloat16", 1 + 5e-5, True),
        ("onnx", "bfloat16", 1.001, False),
        ("onnx", "float32", 1.001, False),
        ("stablehlo", "bfloat16", 1.01, True),
        ("stablehlo", "bfloat16", 1.1, False),
        ("stablehlo", "float32", 1.001, False),
        ("onnx", "float32", float("nan"), False),
    ],
)
def test_float32_is_held_to_a_ten_thousandth(tmp_path, encoder, name, precision, factor, kept):
    given = encoder.with_precision(precision)
    format = Distorting(name, given if name == "stablehlo" else encoder, factor)
    if kept:
        export_encoder(tmp_path / "out", given, format, ModelCard("x"))
        assert (tmp_path / "out" / "README.md").is_file()
    else:
        with pytest.raises(ValueError, match=f"format {name}: the files give features that differ"):
            export_encoder(tmp_path / "out", given, format, ModelCard("x"))
        assert not list(tmp_path.iterdir())
