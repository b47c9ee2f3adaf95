"""Golden convolutional encoders: their folders, and the features that their libraries give."""

import functools
import importlib.util
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from examine_jax.models import run_network

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
_SPECIFICATION = importlib.util.spec_from_file_location(
    "filled_tensors", GOLDEN / "filled_tensors.py"
)
_FILLED = importlib.util.module_from_spec(_SPECIFICATION)
_SPECIFICATION.loader.exec_module(_FILLED)


@functools.cache
def networks():
    """Files and tensors' shapes by name."""
    return json.loads((GOLDEN / "encoders_convolutional.json").read_text())


@functools.cache
def arrays():
    """Images and features by name and size."""
    with np.load(GOLDEN / "encoders_convolutional.npz") as file:
        return {name: file[name] for name in file.files}


def tensors(name):
    """A network's tensors by their names in its library."""
    return _FILLED.fill({key: tuple(shape) for key, shape in networks()[name]["shapes"].items()})


def write(parent, name, changed=None, **configuration):
    """Writes a network's folder, or its file where it has no configuration; returns the path.

    Args:
        parent: the folder to write into.
        name: the network.
        changed: tensors in place of the network's.
        configuration: fields of config.json in place of its own.
    """
    folder = parent / name
    folder.mkdir(exist_ok=True)
    save_file(tensors(name) if changed is None else changed, folder / "model.safetensors")
    files = networks()[name]["files"]
    for file, content in files.items():
        content = content | configuration if file == "config.json" else content
        (folder / file).write_text(json.dumps(content))
    return folder if files else folder / "model.safetensors"


@functools.partial(jax.jit, static_argnums=0)
def _features(encoder, params, stats, pixels):
    return run_network(encoder.module(), params, stats, pixels, train=False)[0]


def relative_error(network, name, size):
    """The largest difference from the library's features, over the largest feature.

    The pixels are those in [0, 1], which the golden features belong to, not normalised.
    """
    pixels = arrays()[f"images.{size}"][..., : network.encoder.channels] / 255.0
    pixels = jnp.asarray(pixels, jnp.float32)
    found = np.asarray(_features(network.encoder, network.params, network.batch_stats, pixels))
    expected = arrays()[f"{name}.{size}"]
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()
