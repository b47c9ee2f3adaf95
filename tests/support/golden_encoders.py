"""Encoders that other libraries wrote, the features that those give, and changed copies of them."""

import functools
import json
import pathlib
import shutil

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file, save_file

from examine_jax.models import run_network
from examine_jax.models.weights import read_network

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
# A program runs once: to compile it takes longer than to run it.
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


@functools.cache
def arrays(name):
    """The arrays of golden/NAME.npz: images by "images.SIZE", features by "NETWORK.SIZE"."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


@functools.partial(jax.jit, static_argnums=0, compiler_options=QUICK)
def _features(encoder, params, batch_stats, pixels):
    return run_network(encoder.module(), params, batch_stats, pixels, train=False)[0]


def features(network, images):
    """The features of as many channels of uint8 images as the network takes.

    The pixels are those in [0, 1], which the golden features belong to, not normalised.
    """
    pixels = jnp.asarray(images[..., : network.encoder.channels] / np.float32(255))
    return np.asarray(_features(network.encoder, network.params, network.batch_stats, pixels))


def relative_error(actual, expected):
    """The largest difference over the largest expected value."""
    assert actual.shape == expected.shape
    return np.abs(actual - expected).max() / np.abs(expected).max()


def library_error(network, golden, name, size):
    """`relative_error` of a network's features from those that its library gives."""
    return relative_error(features(network, golden[f"images.{size}"]), golden[f"{name}.{size}"])


def same_arrays(one, other):
    """Whether two trees of one structure have equal leaves."""
    return jax.tree.all(jax.tree.map(np.array_equal, one, other))


def copied(folder, parent):
    """Copies a folder into another, which may be written to; returns the copy."""
    return pathlib.Path(shutil.copytree(folder, parent / folder.name))


def with_tensors(folder, change):
    """Calls `change` on the tensors by name, and writes them back."""
    file = next(folder.glob("*.safetensors"))
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def with_configuration(folder, **changes):
    """Writes fields into config.json, timm's into its model_args; or so into encoder.json."""
    file = folder / "config.json"
    if file.exists():
        content = arguments = json.loads(file.read_text())
    else:
        file = folder / "encoder.json"
        content = json.loads(file.read_text())
        arguments = content.setdefault("configuration", {})
    if "architecture" in content and "architecture" not in changes:
        arguments = arguments.setdefault("model_args", {})
    arguments |= changes
    file.write_text(json.dumps(content))


def fields_that_change_nothing(folder, without_effect):
    """Writes other values into each field of a folder's configuration, one after another.

    Args:
        folder: the folder; it is written to.
        without_effect: the set of fields to leave out, by name or by path ("outer.inner").

    Returns:
        "path = value" of each value at which the folder is read, and the network is what it was.
    """
    file = next(file for file in folder.glob("*config.json") if "preproc" not in file.name)
    configuration = json.loads(file.read_text())
    original = _summary(read_network(folder))
    found = []
    for path, value in _fields(configuration):
        if without_effect.intersection((*path, ".".join(path))):
            continue
        for other in _others(value):
            changed = json.loads(json.dumps(configuration))
            functools.reduce(lambda part, key: part[key], path[:-1], changed)[path[-1]] = other
            file.write_text(json.dumps(changed))
            try:
                same = _summary(read_network(folder)) == original
            except ValueError:
                continue
            if same:
                found.append(f"{'.'.join(path)} = {other!r}")
    return found


def _fields(configuration, path=()):
    """(path, value) of every field, also those within objects."""
    for name, value in configuration.items():
        if isinstance(value, dict):
            yield from _fields(value, (*path, name))
        else:
            yield (*path, name), value


def _others(value):
    """Values of the same kind that are not this one, and one of another kind."""
    if isinstance(value, bool) or value is None:
        return [not value, "x"]
    if isinstance(value, int):
        return [value * 2, value + 1, "x"]
    if isinstance(value, float):
        return [value * 1.5, "x"]
    if isinstance(value, list):
        return [[*value[:-1], value[-1] * 2] if value else [1], "x"]
    names = ("gelu", "quick_gelu", "convnext_tiny_hnf", "swinv2_tiny_window8_256")
    return [name for name in names if name != value]


def _summary(network):
    """What the features depend on."""
    leaves = jax.tree.leaves_with_path(network.params)
    params = tuple((str(path), leaf.shape, np.abs(np.asarray(leaf)).sum()) for path, leaf in leaves)
    return network.encoder, params, network.pixel_mean, network.pixel_deviation
