"""Messages between this process and its workers: JSON and the bytes of arrays, no pickle.

A message is the length of its JSON text (4 bytes, little-endian), the text, and the arrays that it
names, one after the other.
"""

import dataclasses
import functools
import importlib
import json
import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

from examine_jax.images.decoding.unreadable import UnreadableImage

_LENGTH = struct.Struct("<I")
_MOST_TEXT = 2**28  # bytes
_MOST_ARRAY = 2**32  # bytes

_DTYPES = frozenset({"bool", "uint8", "uint16", "int16", "int32", "int64", "float32", "float64"})

# The dataclasses that are sent, and the modules of this package that hold them. A module is
# imported when a message names it first: a worker imports no more than its task needs.
_SENT = {
    "DecodedFile": "decoded_image",
    "DecodedImage": "decoded_image",
    "FileHeader": "decoded_image",
    "FilePart": "file_part",
    "Framing": "framing",
    "GreyScale": "intensity",
    "HeaderIdentity": "header_identity",
    "Intensities": "intensity",
    "Limits": "limits",
    "Placement": "slice_stacks",
    "Slice": "series_windows",
    "SlideTile": "tiling",
    "Slicing": "slicing",
    "StackedFiles": "file_part",
    "Tiling": "tiling",
    "VolumeRemarks": "slice_stacks",
    "Window": "series_windows",
}

# What a message that was not packed here may raise.
_DAMAGED = (
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)

# The bytes that follow, of exactly this number.
Receive = Callable[[memoryview], None]


class DamagedMessage(Exception):
    """The bytes are no message: the other process is out of order."""


def pack(value: Any) -> list[bytes | memoryview]:
    """A message as buffers to be sent one after the other.

    Args:
        value: None, Booleans, numbers, text, lists, tuples, dictionaries, arrays,
            `UnreadableImage`, the dataclasses of `_SENT`, and these within one another.
    """
    arrays: list[memoryview] = []
    text = json.dumps(_plain(value, arrays)).encode("ascii")
    return [_LENGTH.pack(len(text)), text, *arrays]


def unpack(receive: Receive) -> Any:
    """The next message.

    Args:
        receive: fills a buffer with the bytes that come next.

    Raises:
        DamagedMessage: the bytes are no message.
        Exception: what `receive` raises.
    """
    (length,) = _LENGTH.unpack(_received(receive, _LENGTH.size))
    if length > _MOST_TEXT:
        raise DamagedMessage(f"a message of {length} bytes")
    try:
        return _restored(json.loads(_received(receive, length)), receive)
    except _DAMAGED as error:
        raise DamagedMessage(str(error)) from error


def _received(receive: Receive, length: int) -> bytearray:
    content = bytearray(length)
    receive(memoryview(content))
    return content


def _plain(value: Any, arrays: list[memoryview]) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        if value.size:
            arrays.append(np.ascontiguousarray(value).data.cast("B"))
        return {"is": "array", "dtype": value.dtype.name, "shape": value.shape}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        items = [_plain(item, arrays) for item in value]
        return items if isinstance(value, list) else {"is": "tuple", "items": items}
    if isinstance(value, dict):
        held = [[_plain(key, arrays), _plain(item, arrays)] for key, item in value.items()]
        return {"is": "dictionary", "items": held}
    if isinstance(value, UnreadableImage):
        return {"is": "unreadable", "reason": str(value)}
    name = type(value).__name__
    if name in _SENT and type(value) is _dataclass(name):
        fields = {
            field.name: _plain(getattr(value, field.name), arrays)
            for field in dataclasses.fields(value)
        }
        return {"is": "dataclass", "of": name, "fields": fields}
    raise TypeError(f"a {name} cannot be sent to another process")


@functools.cache
def _dataclass(name: str) -> Any:
    return getattr(importlib.import_module(f"{__package__}.{_SENT[name]}"), name)


def _restored(plain: Any, receive: Receive) -> Any:
    if isinstance(plain, list):
        return [_restored(item, receive) for item in plain]
    if not isinstance(plain, dict):
        return plain
    kind = plain["is"]
    if kind == "array":
        if plain["dtype"] not in _DTYPES:
            raise DamagedMessage(f"an array of {plain['dtype']}")
        size = math.prod(plain["shape"]) * np.dtype(plain["dtype"]).itemsize
        if size > _MOST_ARRAY:
            raise DamagedMessage(f"an array of {size} bytes")
        array = np.empty(plain["shape"], plain["dtype"])
        if array.size:
            receive(array.reshape(-1).data.cast("B"))
        return array
    if kind == "tuple":
        return tuple(_restored(item, receive) for item in plain["items"])
    if kind == "dictionary":
        return {_restored(key, receive): _restored(item, receive) for key, item in plain["items"]}
    if kind == "unreadable":
        return UnreadableImage(plain["reason"])
    if kind != "dataclass":
        raise DamagedMessage(f"a {kind}")
    fields = {key: _restored(item, receive) for key, item in plain["fields"].items()}
    return _dataclass(plain["of"])(**fields)
