"""What worker processes do with image files: the operations of `ImageDecoder`, by name.

Each function gets a decoder's settings and returns what is called as `call(item, budget)`.
"""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from examine_jax.common.shapes import Float, UInt8
from examine_jax.images.decoding.decoded_image import DecodedImage, FileHeader
from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.describing import Describe, DescribeFailed
from examine_jax.images.decoding.file_part import Place
from examine_jax.images.decoding.quiet import quiet_libraries
from examine_jax.images.decoding.unreadable import UnreadableImage

Settings = Mapping[str, Any]

# In place of a file's images where the describing function failed.
DESCRIBE_FAILED = "describe failed"


def frames(settings: Settings) -> Callable[[Place, Any], Any]:
    """path -> the images of a file, or why none can be read."""
    decode = _decoder(settings)

    def call(path: Place, budget: Any) -> Any:
        return _answer(lambda: decode(budget).frames(path))

    return call


def image(settings: Settings) -> Callable[[tuple[Place, int], Any], Any]:
    """(path, frame) -> one image of a file, or why it cannot be read."""
    decode = _decoder(settings)

    def call(place: tuple[Place, int], budget: Any) -> Any:
        return _answer(lambda: decode(budget)(*place))

    return call


def stored(settings: Settings) -> Callable[[tuple[Place, int], Any], Any]:
    """(path, frame) -> `stored_pixels` of one image of a file, or why it cannot be read."""
    decode = _decoder(settings)

    def call(place: tuple[Place, int], budget: Any) -> Any:
        return _answer(lambda: stored_pixels(decode(budget), *place))

    return call


def stored_pixels(
    decoder: ImageDecoder, path: Place, frame: int
) -> UInt8[np.ndarray, "height width channels"]:
    """One image of a file at its full size, as `describe` gets it.

    Raises:
        UnreadableImage: it cannot be read.
    """
    found: list[np.ndarray] = []

    def keep(pixels: UInt8[np.ndarray, "height width channels"]) -> Float[np.ndarray, " one"]:
        found.append(pixels)
        return np.zeros(1)

    dataclasses.replace(decoder, describe=keep)(path, frame)
    return found[-1]


def header(settings: Settings) -> Callable[[Place, Any], Any]:
    """path -> `header_and_sharing` of a file, or why it cannot be read."""
    decode = _decoder(settings)

    def call(path: Place, budget: Any) -> Any:
        return _answer(lambda: header_and_sharing(decode(budget), path))

    return call


def identity(settings: Settings) -> Callable[[Place, Any], Any]:
    """path -> what a file's header says of the patient and the scanner, or why not."""
    decode = _decoder(settings)

    def call(path: Any, budget: Any) -> Any:
        return _answer(lambda: decode(budget).identity(path))

    return call


def placement(settings: Settings) -> Callable[[Place, Any], Any]:
    """path -> where the slice of a DICOM file lies; None: it is none; or why it is not read."""
    decode = _decoder(settings)

    def call(path: Any, budget: Any) -> Any:
        return _answer(lambda: decode(budget).placement(path))

    return call


def digest(settings: Settings) -> Callable[[Place, Any], Any]:
    """path -> `ImageDecoder.digest` of a DICOM file, or why it is not read."""
    decode = _decoder(settings)

    def call(path: Any, budget: Any) -> Any:
        return _answer(lambda: decode(budget).digest(path))

    return call


def tiles(settings: Settings) -> Callable[[str, Any], Any]:
    """path -> the tiles of a whole slide, or why there are none."""
    decode = _decoder(settings)

    def call(path: str, budget: Any) -> Any:
        return _answer(lambda: decode(budget).tiles(path))

    return call


def slide_part(settings: Settings) -> Callable[[str, Any], Any]:
    """path -> the series of a DICOM file of a whole slide, and what it holds, or why not."""
    decode = _decoder(settings)

    def call(path: str, budget: Any) -> Any:
        return _answer(lambda: decode(budget).slide_part(path))

    return call


def slide_facts(settings: Settings) -> Callable[[str, Any], Any]:
    """path -> the size and the resolution of a whole slide, or why they are not known."""
    decode = _decoder(settings)

    def call(path: str, budget: Any) -> Any:
        return _answer(lambda: decode(budget).slide_facts(path))

    return call


def overview(settings: Settings) -> Callable[[str, Any], Any]:
    """path -> the overview of a whole slide, or why there is none."""
    decode = _decoder(settings)

    def call(path: str, budget: Any) -> Any:
        return _answer(lambda: decode(budget).overview(path))

    return call


def header_and_sharing(decoder: ImageDecoder, path: Place) -> tuple[FileHeader, list[DecodedImage]]:
    """A file's header, and its images that share a scale with others.

    Raises:
        UnreadableImage: the header cannot be read.
    """
    header = decoder.read_header(path)
    return header, _sharing(decoder, path) if header.waits else []


def _sharing(decoder: ImageDecoder, path: Place) -> list[DecodedImage]:
    try:
        images = decoder.frames(path).images
    except UnreadableImage:
        return []  # Reading the image gives the reason.
    return [one for one in images if isinstance(one, DecodedImage) and one.intensities]


def _answer(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except UnreadableImage as error:
        return error
    except DescribeFailed:
        return DESCRIBE_FAILED


def _decoder(settings: Settings) -> Callable[[Any], ImageDecoder]:
    """budget -> the decoder."""
    quiet_libraries().__enter__()  # As long as the process lives.
    describe = _described_by(settings["describe"])
    others = {key: value for key, value in settings.items() if key != "describe"}
    return lambda budget: ImageDecoder(
        **others, budget=budget, describe=describe and _apart(describe, budget)
    )


def _apart(describe: Describe, budget: Any) -> Describe:
    """Describes outside the limits on the file."""

    def call(pixels: Any) -> Any:
        with budget.describing():
            return describe(pixels)

    return call


def by_name(describe: Describe | None) -> list[Any] | None:
    """A describing function as another process finds it: its name, and a dataclass's fields.

    Raises:
        ValueError: it is not found by its name, or its fields are no plain values.
    """
    if describe is None:
        return None
    settings = dataclasses.is_dataclass(describe) and not isinstance(describe, type)
    named: Any = type(describe) if settings else describe
    module, name = getattr(named, "__module__", None), getattr(named, "__qualname__", None)
    if module in (None, "__main__") or name is None or "<" in name:
        raise ValueError("describe has no name by which another process can import it")
    if _attribute(f"{module}:{name}") is not named:
        raise ValueError(f"{module}.{name} is not the describe that was given")
    if not settings:
        return [f"{module}:{name}", None]
    fields = {
        field.name: getattr(describe, field.name)
        for field in dataclasses.fields(describe)  # type: ignore[arg-type]
        if field.init
    }
    if not all(
        value is None or isinstance(value, bool | int | float | str) for value in fields.values()
    ):
        raise ValueError("describe has settings other than numbers, text and None")
    return [f"{module}:{name}", fields]


def _described_by(named: list[Any] | None) -> Describe | None:
    if named is None:
        return None
    name, fields = named
    found: Any = _attribute(name)
    return found if fields is None else found(**fields)


def _attribute(name: str) -> Any:
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found
