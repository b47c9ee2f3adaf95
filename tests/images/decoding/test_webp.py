"""WebP, decoded by imagecodecs; held to Pillow."""

import builtins
import pathlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.resize import BAND_PIXELS
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.decoding.webp import decoded_webp

pytest.importorskip("imagecodecs")

RNG = np.random.default_rng(0)
LOSSLESS = {"lossless": True, "exact": True}


def colours(height: int, width: int, mode: str) -> Image.Image:
    values = RNG.integers(0, 256, (5, 6, 4), dtype=np.uint8)
    whole = Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC)
    return whole.convert(mode)


def decoder(channels: int = 3) -> ImageDecoder:
    def describe(pixels: np.ndarray) -> list[float]:
        return [*map(float, pixels.shape), float(pixels.mean())]

    return ImageDecoder(16, channels, None, 10**8, 10**8, Budget(10**8), describe=describe)


@pytest.mark.parametrize("options", [LOSSLESS, {"quality": 70}])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_the_pixels_are_pillows(tmp_path: pathlib.Path, mode: str, options: dict) -> None:
    for size in ((40, 60), (80, BAND_PIXELS // 80 + 500)) if mode == "RGB" else ((40, 60),):
        colours(*size, mode).save(tmp_path / "a.webp", method=0, **options)
        with Image.open(tmp_path / "a.webp") as image, (tmp_path / "a.webp").open("rb") as stream:
            ours = decoded_webp(stream, image)
            assert ours.mode == ("RGBA" if mode == "RGBA" else "RGBX")
            image.load()
            np.testing.assert_array_equal(np.asarray(ours.convert(image.mode)), np.asarray(image))


def test_as_without_imagecodecs(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for mode in ("RGB", "RGBA"):
        colours(30, 50, mode).save(tmp_path / f"{mode}.webp", exif=exif)
    paths = sorted(map(str, tmp_path.iterdir()))
    ours = [decoder(channels)(path) for path in paths for channels in (1, 3)]
    importing = builtins.__import__

    def without(name: str, *arguments: Any) -> Any:
        if name == "imagecodecs":
            raise ImportError(name)
        return importing(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    theirs = [decoder(channels)(path) for path in paths for channels in (1, 3)]
    for one, other in zip(ours, theirs):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        np.testing.assert_array_equal(one.description, other.description)
        assert one.stored_size == other.stored_size == (50, 30)


def test_damage(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a.webp"
    colours(30, 50, "RGB").save(path, **LOSSLESS)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:30] + bytes(40) + whole[70:]):
        path.write_bytes(content)
        with pytest.raises(UnreadableImage):
            decoder()(str(path))
