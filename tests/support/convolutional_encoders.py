"""Golden convolutional encoders: their folders, and the features that their libraries give."""

import functools
import importlib.util
import json

from safetensors.numpy import save_file

from tests.support import golden_encoders
from tests.support.golden_encoders import GOLDEN

_SPECIFICATION = importlib.util.spec_from_file_location(
    "filled_tensors", GOLDEN / "filled_tensors.py"
)
_FILLED = importlib.util.module_from_spec(_SPECIFICATION)
_SPECIFICATION.loader.exec_module(_FILLED)


@functools.cache
def networks():
    """Files and tensors' shapes by name."""
    return json.loads((GOLDEN / "encoders_convolutional.json").read_text())


def arrays():
    """Images and features by name and size."""
    return golden_encoders.arrays("encoders_convolutional")


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


def library_error(network, name, size):
    """`relative_error` of a network's features from those that its library gives."""
    return golden_encoders.library_error(network, arrays(), name, size)
