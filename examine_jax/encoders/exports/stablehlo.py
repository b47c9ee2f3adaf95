"""Encoders as StableHLO programs, which JAX runs without this package."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.export
import numpy as np
from jax.numpy import float32

from examine_jax.common.shapes import Array, PyTree
from examine_jax.encoders.encoder import Encoder, features_of

PLATFORMS = ("cpu", "cuda", "tpu")
PROGRAM, WEIGHTS = "encoder.stablehlo", "weights.npz"
# The ten lines of the model card, of which a test runs this text.
EXAMPLE = """import sys
import jax.export
import numpy as np

folder, pixels, features = sys.argv[1:]
with open(f"{folder}/encoder.stablehlo", "rb") as file:
    program = jax.export.deserialize(bytearray(file.read()))
weights = dict(np.load(f"{folder}/weights.npz"))
np.save(features, program.call(weights, np.load(pixels)))
"""


@dataclasses.dataclass(frozen=True)
class StableHLO:
    """A program for CPU, NVIDIA GPU and TPU, its weights beside it, for any number of images."""

    name: str = "stablehlo"

    def write(self, encoder: Encoder, folder: pathlib.Path) -> str:
        weights, function = weights_and_function(encoder)
        size, channels = encoder.image_size, encoder.channels
        pixels = jax.export.symbolic_shape(f"batch, {size}, {size}, {channels}")
        with _without_paths():
            exported = jax.export.export(jax.jit(function), platforms=PLATFORMS)(
                jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), weights),
                jax.ShapeDtypeStruct(pixels, np.uint8),
            )
        (folder / PROGRAM).write_bytes(exported.serialize())
        with open(folder / WEIGHTS, "wb") as file:
            np.savez(file, allow_pickle=False, **weights)
        return f"""Run it with JAX alone. It was written with JAX {jax.__version__}; JAX reads such
programs for at least half a year after that version.

```python
{EXAMPLE}```

`python embed.py FOLDER pixels.npy features.npy`: pixels are uint8 [images, rows, columns,
channels], at the size below. They are normalised within the program.
"""

    def read_back(self, folder: pathlib.Path, images: np.ndarray) -> np.ndarray | None:
        program = jax.export.deserialize(bytearray((folder / PROGRAM).read_bytes()))
        with np.load(folder / WEIGHTS) as stored:
            weights = dict(stored)
        return np.asarray(program.call(weights, images))


@contextlib.contextmanager
def _without_paths() -> Iterator[None]:
    """Programs that are lowered within do not name the source files of this machine."""
    name = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, name)
    jax.config.update(name, 0)
    try:
        yield
    finally:
        jax.config.update(name, before)


def weights_and_function(encoder: Encoder) -> tuple[dict[str, np.ndarray], Any]:
    """(weights by name, function of them and of uint8 pixels that gives the features).

    Weights in half precision become float32, which gives the same numbers. The network alone is
    among them, not the decoder or the heads that it was trained with.
    """
    variables = {
        "params": encoder.params["encoder"],
        "batch_stats": encoder.state.get("batch_stats", {}).get("encoder", {}),
    }
    leaves, structure = jax.tree_util.tree_flatten_with_path(variables)
    weights = {
        jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf, np.float32)
        for path, leaf in leaves
    }
    names = list(weights)

    def function(weights: dict[str, Array], pixels: Array) -> PyTree:
        part = jax.tree.unflatten(structure, [weights[name] for name in names])
        stats = part["batch_stats"]
        state = {**encoder.state, "batch_stats": {"encoder": stats}} if stats else encoder.state
        params = {**encoder.params, "encoder": part["params"]}
        return features_of(encoder.method, encoder.readout, (params, state), pixels).astype(float32)

    return weights, function
