"""Letters as masks: those that devices burn into pictures."""

import functools
from typing import Any

import numpy as np

from examine_jax.common.shapes import Float


def lettering(text: str, height: int) -> Float[np.ndarray, "h w"]:
    """Returns a text's mask in [0, 1], `height` pixels high.

    The letters are Pillow's own bitmap font, enlarged: no font of the machine takes part.

    Args:
        text: one line, ASCII.
        height: of the letters, in pixels, 1 or above.
    """
    from PIL import Image

    mask = _font().getmask(text, "L")
    letters = Image.frombytes("L", mask.size, bytes(mask))
    box = letters.getbbox()
    if box is not None:
        letters = letters.crop((box[0], 0, box[2], letters.height))
    width = max(1, round(letters.width * height / letters.height))
    smooth = letters.resize((width, height), Image.Resampling.BICUBIC)
    values = np.asarray(smooth, np.float64) / 255
    if height <= letters.height:
        return np.clip(1.2 * values, 0, 1)
    return np.clip((values - 0.3) / 0.3, 0, 1)


def paste(cover: Float[np.ndarray, "h w"], mask: Float[np.ndarray, "a b"], y: int, x: int) -> None:
    """Writes a mask into `cover` at a corner, in place; what lies outside is cut off."""
    height, width = cover.shape
    top, left = max(0, y), max(0, x)
    bottom, right = min(height, y + mask.shape[0]), min(width, x + mask.shape[1])
    if top < bottom and left < right:
        part = mask[top - y : bottom - y, left - x : right - x]
        cover[top:bottom, left:right] = np.maximum(cover[top:bottom, left:right], part)


@functools.cache
def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.load_default_imagefont()
