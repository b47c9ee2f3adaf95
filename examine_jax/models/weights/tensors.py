"""Tensors by name from safetensors files, with their shapes checked. Nothing is unpickled."""

import dataclasses
import pathlib
import re
from collections.abc import Mapping, Sequence

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

from examine_jax.common.shapes import PyTree
from examine_jax.models.weights.pickles import refuse_pickle

_HALVES = {"F16": np.dtype(np.float16), "BF16": np.dtype(ml_dtypes.bfloat16)}
_FLOATS = ("F64", "F32", *_HALVES)
# Types, and names of whole numbers, that only quantised weights have.
_QUANTISED_TYPES = re.compile("[IU]8|[IUF]4|F[468]_.*|[IU]2")
_QUANTISED_NAMES = re.compile(r".*\.(qweight|qzeros|g_idx|SCB|absmax|quant_map|weight_packed)")
_RENAMED = (
    "under another name: rename it to .pth (.npz if it is NumPy's), and give it again to be told "
    "how it is converted"
)
# Files that stand for others, by how they begin.
_STAND_INS = (
    (
        b"version https://git-lfs",
        "is a Git LFS pointer, not the weights: run `git lfs pull` in its folder, or download the "
        "file itself",
    ),
    (b"/annex/objects/", "is a git-annex pointer, not the weights: run `git annex get` on it"),
    (b"../.git/annex/", "is a git-annex pointer, not the weights: run `git annex get` on it"),
    (
        b"<",
        "is a web page, not the weights: the download was refused or redirected; download it "
        "again, signed in where the owner asks for it",
    ),
    (
        b"Access to",
        "is a refusal of the download, not the weights: accept the owner's terms, sign "
        "in, and download it again",
    ),
    (b"PK\x03\x04", f"is a zip archive (PyTorch's or NumPy's) {_RENAMED}"),
    *((bytes([0x80, protocol]), f"is a pickle {_RENAMED}") for protocol in range(2, 6)),
    (b"\x89HDF", "is a Keras file (HDF5) under another name: take the owner's safetensors file"),
    (b"GGUF", "is a GGUF file under another name: take the owner's safetensors file"),
    (b"\x1f\x8b", "is compressed by gzip: unpack it (gunzip)"),
    (
        b'{"error',
        "is a refusal of the download, not the weights: accept the owner's terms, sign "
        "in, and download it again",
    ),
)


@dataclasses.dataclass(frozen=True, eq=False)
class Tensors:
    """Arrays by their PyTorch names.

    Attributes:
        arrays: name -> float32 array.
        where: the file, for messages.
        half: the type of half precision that the file has tensors of; None: it has none.
        others: name -> type of tensors that hold no floating-point numbers and are not read.
    """

    arrays: Mapping[str, np.ndarray]
    where: str
    half: np.dtype | None = None
    others: Mapping[str, str] = dataclasses.field(default_factory=dict)
    _taken: set[str] = dataclasses.field(default_factory=set, init=False, repr=False)

    def take(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """The tensor of this name and shape.

        Raises:
            ValueError: it is missing, of another shape, or holds values that are no finite numbers.
        """
        if name in self.others:
            raise ValueError(
                f"{self.where}: the tensor {name} is {self.others[name]}, the network asks for "
                "floating-point numbers; take the file in float32, bfloat16 or float16"
            )
        if name not in self.arrays:
            raise ValueError(f"{self.where} lacks the tensor {name} {list(shape)}")
        array = self.arrays[name]
        if array.shape != shape:
            raise ValueError(
                f"{self.where}: the tensor {name} is {list(array.shape)}, the network asks for "
                f"{list(shape)}"
            )
        if not np.isfinite(array).all():
            raise ValueError(
                f"{self.where}: the tensor {name} holds values that are no finite numbers (NaN or "
                "infinity), so all features would be; take the file in float32 or bfloat16"
            )
        self._taken.add(name)
        return array

    def refuse_unused(self, ignored: str) -> None:
        """Raises a ValueError if a tensor was never taken: the network is then another one.

        An empty tensor changes nothing.

        Args:
            ignored: a pattern of names that do not contribute to the features, such as a
                classifier's.
        """
        unused = sorted(
            name
            for name, array in self.arrays.items()
            if name not in self._taken and array.size and not re.match(ignored, name)
        )
        if unused:
            more = f" and {len(unused) - 3} more" if len(unused) > 3 else ""
            raise ValueError(
                f"{self.where} holds tensors that this network does not use: "
                f"{', '.join(unused[:3])}{more}; its features would be wrong, so it is not read"
            )

    def below(self, prefix: str) -> "Tensors":
        """Those whose names begin with a prefix, without it.

        Raises:
            ValueError: there are none.
        """
        arrays = {
            name[len(prefix) :]: array
            for name, array in self.arrays.items()
            if name.startswith(prefix)
        }
        if not arrays:
            raise ValueError(f"{self.where} has no tensor whose name begins with {prefix!r}")
        others = {
            name[len(prefix) :]: kind
            for name, kind in self.others.items()
            if name.startswith(prefix)
        }
        return dataclasses.replace(self, arrays=arrays, others=others)

    def without(self, prefixes: Sequence[str]) -> "Tensors":
        """Those whose names begin with none of these."""
        if not prefixes:
            return self
        arrays = {
            name: array
            for name, array in self.arrays.items()
            if not name.startswith(tuple(prefixes))
        }
        return dataclasses.replace(self, arrays=arrays)

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
        ValueError: it is a pickle (the message says how to convert it), a stand-in for the weights
            (Git LFS, a web page), no safetensors file, damaged, or holds quantised weights.
    """
    refuse_pickle(file)
    _refuse_stand_ins(file)
    try:
        with safe_open(file, framework="numpy") as stored:
            names = stored.keys()
            types = {name: stored.get_slice(name).get_dtype() for name in names}
            for name, kind in types.items():
                if _QUANTISED_TYPES.fullmatch(kind) or (
                    kind not in _FLOATS and _QUANTISED_NAMES.fullmatch(name)
                ):
                    raise ValueError(
                        f"{file}: the tensor {name} is {kind}: the weights are quantised, which "
                        "cannot be read; take the encoder in float32, bfloat16 or float16"
                    )
            # Other whole numbers are counters and indices.
            arrays = {
                name: stored.get_tensor(name).astype(np.float32, copy=False)
                for name, kind in types.items()
                if kind in _FLOATS
            }
    except SafetensorError as error:
        raise ValueError(
            f"{file} is not a readable safetensors file: {error}; if it was downloaded or copied, "
            "do that again"
        ) from error
    half = next((_HALVES[kind] for kind in types.values() if kind in _HALVES), None)
    others = {name: kind for name, kind in types.items() if kind not in _FLOATS}
    return Tensors(arrays, str(file), half, others)


def _refuse_stand_ins(file: pathlib.Path) -> None:
    with file.open("rb") as stream:
        beginning = stream.read(64)
    if not beginning:
        raise ValueError(f"{file} is empty: download it again")
    if beginning[8:9] == b"{" and not any(beginning[4:8]):
        return  # A header's length, which may begin as anything, and the header.
    for signature, message in _STAND_INS:
        if beginning.startswith(signature):
            raise ValueError(f"{file} {message}")
