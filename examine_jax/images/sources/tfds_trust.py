"""What is checked of a prepared TFDS folder before TFDS reads it, and of an image before decoding.

TFDS trusts its folders: it imports the modules that features.json names, and decodes images of any
size.
"""

import io
import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

from PIL import Image, UnidentifiedImageError

from examine_jax.images.decoding.pillow_image import FORMATS
from examine_jax.images.names import shown

MAX_PIXELS = 100_000_000

_MOST_BYTES = 2**26  # of features.json
_TFDS = "tensorflow_datasets"
_PNG = b"\x89PNG\r\n\x1a\n"


def check_features(folder: pathlib.Path) -> None:
    """Refuses a prepared folder whose features.json would import modules of other packages.

    Raises:
        ValueError: it does, or it is damaged.
    """
    path = folder / "features.json"
    if not path.is_file():
        return
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{shown(path)}: {path.stat().st_size} bytes; prepare the data set anew")
    try:
        names = sorted(set(_class_names(json.loads(path.read_text(encoding="utf-8")))))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{shown(path)}: damaged ({error}); prepare the data set anew") from error
    for name in names:
        module = name.rpartition(".")[0]
        if module.partition(".")[0] != _TFDS and module not in sys.modules:
            raise ValueError(
                f"{shown(path)} names a feature of other code, {name[:100]!r}, which reading would "
                f"run; if you trust it, import {module[:100]} beforehand"
            )


def _class_names(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
            keys = ["pythonClassName", "python_class_name"] + ["type"] * ("content" in value)
            for key in keys:
                if isinstance(value.get(key), str):
                    yield value[key]


def check_encoded(encoded: bytes, max_pixels: int) -> None:
    """Refuses an encoded image of more pixels, by its header.

    Raises:
        ValueError: it has more, or is no PNG, JPEG, BMP or WebP.
    """
    if encoded.startswith(_PNG):  # As most data sets have: read without a library.
        width, height = (int.from_bytes(encoded[at : at + 4], "big") for at in (16, 20))
    else:
        try:
            width, height = Image.open(io.BytesIO(encoded), formats=FORMATS).size
        except (UnidentifiedImageError, Image.DecompressionBombError) as error:
            raise ValueError(f"no image that is read ({error})") from error
    if width * height > max_pixels:
        raise ValueError(f"{width} x {height} pixels, more than {max_pixels}")
