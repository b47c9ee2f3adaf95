"""Tensors by name from a safetensors file, with their shapes checked. Nothing is unpickled."""

import dataclasses
import pathlib
import re
import shlex
from collections.abc import Mapping

import numpy as np
from safetensors import SafetensorError, safe_open

from examine_jax.common.shapes import PyTree

_FLOATS = ("F64", "F32", "F16", "BF16")
_PICKLES = (".pth", ".pt", ".bin", ".pkl", ".ckpt", ".tar")


@dataclasses.dataclass(frozen=True, eq=False)
class Tensors:
    """Arrays by their PyTorch names.

    Attributes:
        arrays: name -> float32 array.
        where: the file, for messages.
    """

    arrays: Mapping[str, np.ndarray]
    where: str
    _taken: set[str] = dataclasses.field(default_factory=set, init=False, repr=False)

    def take(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """The tensor of this name and shape.

        Raises:
            ValueError: it is missing or of another shape.
        """
        if name not in self.arrays:
            raise ValueError(f"{self.where} lacks the tensor {name} {list(shape)}")
        array = self.arrays[name]
        if array.shape != shape:
            raise ValueError(
                f"{self.where}: the tensor {name} is {list(array.shape)}, the network asks for "
                f"{list(shape)}"
            )
        self._taken.add(name)
        return array

    def refuse_unused(self, ignored: str) -> None:
        """Raises a ValueError if a tensor was never taken: the network is then another one.

        Args:
            ignored: a pattern of names that do not contribute to the features, such as a
                classifier's.
        """
        unused = sorted(
            name for name in self.arrays if name not in self._taken and not re.match(ignored, name)
        )
        if unused:
            more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
            raise ValueError(
                f"{self.where} holds tensors that this network does not use: "
                f"{', '.join(unused[:3])}{more}; its features would be wrong, so it is not read"
            )

    def dense(self, name: str, inputs: int, outputs: int, bias: bool = True) -> PyTree:
        """A dense layer's parameters. PyTorch stores the kernel transposed."""
        kernel = self.take(f"{name}.weight", (outputs, inputs)).T
        return (
            {"kernel": kernel, "bias": self.take(f"{name}.bias", (outputs,))}
            if bias
            else {"kernel": kernel}
        )

    def norm(self, name: str, width: int) -> PyTree:
        """A layer or batch norm's scale and bias."""
        return {
            "scale": self.take(f"{name}.weight", (width,)),
            "bias": self.take(f"{name}.bias", (width,)),
        }


def read_tensors(file: pathlib.Path) -> Tensors:
    """Reads all floating-point tensors of a safetensors file as float32.

    Raises:
        ValueError: it is a pickle (the message says how to convert it), no safetensors file, or
            damaged.
    """
    refuse_pickle(file)
    try:
        with safe_open(file, framework="numpy") as stored:
            names = stored.keys()
            # Integers are counters.
            floats = [name for name in names if stored.get_slice(name).get_dtype() in _FLOATS]
            return Tensors(
                {name: stored.get_tensor(name).astype(np.float32) for name in floats}, str(file)
            )
    except SafetensorError as error:
        raise ValueError(f"{file} is not a readable safetensors file: {error}") from error


def refuse_pickle(file: pathlib.Path) -> None:
    """Raises a ValueError with the conversion to run, if the file's suffix is that of a pickle."""
    if file.suffix.lower() not in _PICKLES:
        return
    converted = file.with_name(
        "model.safetensors" if file.name == "pytorch_model.bin" else f"{file.stem}.safetensors"
    )
    program = (
        "import torch, safetensors.torch as s; "
        f"d = torch.load({str(file)!r}, map_location='cpu', weights_only=True); "
        "d = d.get('state_dict', d.get('model', d)); "
        f"s.save_file({{k: v.contiguous().clone() for k, v in d.items()}}, {str(converted)!r}, "
        "metadata={'format': 'pt'})"
    )
    raise ValueError(
        f"{file} may be a pickle, which is never read here; convert it where torch is installed: "
        f"python -c {shlex.quote(program)}"
    )
