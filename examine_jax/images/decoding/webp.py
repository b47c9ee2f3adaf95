"""Decodes WebP by imagecodecs, where it is installed: a third of Pillow's time and memory.

Pillow decodes every WebP as an animation, which takes three pictures of four bytes a pixel and a
copy. libwebp needs one, and one more of its own where the file is lossless.
"""

from typing import BinaryIO

import numpy as np
from PIL import Image

from examine_jax.images.decoding.unreadable import UnreadableImage


def decoded_webp(stream: BinaryIO, image: Image.Image) -> Image.Image:
    """An image of mode RGBA, or RGBX where it has no transparency; else Pillow's own.

    Args:
        stream: the file.
        image: Pillow's, of which the header is read.

    Raises:
        UnreadableImage: its size is not that of its header.
        Exception: it is damaged; any kind, from its decoder.
    """
    try:
        import imagecodecs
    except ImportError:
        return image
    if getattr(image, "n_frames", 1) > 1:
        return image
    stream.seek(0)
    pixels = np.ascontiguousarray(imagecodecs.webp_decode(stream.read(), hasalpha=True))
    if pixels.shape != (image.height, image.width, 4):
        raise UnreadableImage("damaged: a WebP whose picture differs in size from its header")
    mode = "RGBA" if image.mode == "RGBA" else "RGBX"
    decoded = Image.frombuffer(mode, image.size, pixels, "raw", mode, 0, 1)
    decoded.info, decoded.format = image.info, image.format
    return decoded
