"""Messages bring back what was packed; others are damaged, and call nothing."""

import json
import struct
from typing import Any

import numpy as np
import pytest

from examine_jax.images.decoding.decoded_image import DecodedImage, FileHeader
from examine_jax.images.decoding.intensity import GreyScale
from examine_jax.images.decoding.limits import Limits
from examine_jax.images.decoding.messages import DamagedMessage, pack, unpack
from examine_jax.images.decoding.series_windows import Window
from examine_jax.images.decoding.unreadable import UnreadableImage


def unpacked(content: bytes) -> Any:
    rest = memoryview(content)

    def receive(buffer: memoryview) -> None:
        nonlocal rest
        assert len(rest) >= len(buffer)
        buffer[:] = rest[: len(buffer)]
        rest = rest[len(buffer) :]

    value = unpack(receive)
    assert not rest
    return value


def text(plain: Any) -> bytes:
    content = json.dumps(plain).encode()
    return struct.pack("<I", len(content)) + content


def test_what_is_packed_comes_back() -> None:
    pixels = np.arange(12, dtype=np.uint16).reshape(2, 2, 3)
    value = {
        "frames": [DecodedImage(pixels, 5.0, (7, 9)), UnreadableImage("damaged")],
        "place": ("\udc80.png", 3),
        "scale": GreyScale((0.0, 1.0), 2, {"1.2": Window(1.0, 2.0, "LINEAR")}),
        "header": FileHeader(2, True, missing={1: "cut"}),
        "limits": Limits(seconds=1.5),
        "empty": np.empty((0, 3), np.float32),
        "number": np.float64(0.1),
    }
    back = unpacked(b"".join(pack(value)))
    image, damaged = back["frames"]
    np.testing.assert_array_equal(image.pixels, pixels)
    assert image.pixels.dtype == np.uint16
    assert (image.largest, image.stored_size, str(damaged)) == (5.0, (7, 9), "damaged")
    assert back["empty"].shape == (0, 3)
    for key in ("place", "scale", "header", "limits", "number"):
        assert back[key] == value[key]


def test_only_what_the_table_names_is_packed() -> None:
    for value in (object(), Limits, pack, {1}, b"bytes"):
        with pytest.raises(TypeError, match="cannot be sent to another process"):
            pack(value)


@pytest.mark.parametrize(
    "plain",
    [
        {"is": "dataclass", "of": "_described_by", "fields": {"named": ["os:getpid", {}]}},
        {
            "is": "dataclass",
            "of": ["examine_jax.images.decoding.file_tasks", "_described_by"],
            "fields": {"named": ["os:getpid", None]},
        },
        {"is": "dataclass", "of": "Limits", "fields": {"sekonds": 1}},
        {"is": "dataclass", "of": "Limits", "fields": [1]},
        {"is": "dataclass"},
        {"is": "function", "of": "Limits", "fields": {}},
        {"is": "array", "dtype": "float64", "shape": [10**13]},
        {"is": "array", "dtype": "uint8", "shape": [2**33]},
        {"is": "array", "dtype": "uint8", "shape": [0, 10**30]},
        {"is": "array", "dtype": "uint8", "shape": [-1]},
        {"is": "array", "dtype": "uint8", "shape": ["a"]},
        {"is": "array", "dtype": "object", "shape": [1]},
        {"is": "dictionary", "items": [[[], 1]]},
        {"is": "dictionary", "items": [[1]]},
        {"is": []},
        {},
    ],
)
def test_another_message_is_damaged(plain: Any) -> None:
    with pytest.raises(DamagedMessage):
        unpacked(text(plain))


def test_bytes_that_are_no_json_are_damaged() -> None:
    for content in (b"\xff", b"{", b"[" * 100_000):
        with pytest.raises(DamagedMessage):
            unpacked(struct.pack("<I", len(content)) + content)
    with pytest.raises(DamagedMessage, match="a message of 4294967295 bytes"):
        unpacked(b"\xff" * 4)
