"""The error for a file that cannot be read as an image."""

from PIL import Image


class UnreadableImage(ValueError):
    """A file cannot be read as an image. The message is one plain line."""


def unreadable(error: Exception) -> UnreadableImage:
    """An error of any kind as one short line; an `UnreadableImage` as it is."""
    if isinstance(error, UnreadableImage):
        return error
    if isinstance(error, MemoryError):
        return UnreadableImage(
            "decoding needs more memory than a file of its size may take; it is damaged"
        )
    message = " ".join(
        (error.strerror or str(error) if isinstance(error, OSError) else str(error)).split()
    )
    if not isinstance(error, OSError | SyntaxError | Image.DecompressionBombError) or not message:
        message = f"damaged ({type(error).__name__}: {message})"
    elif message.startswith("decoder error"):
        message = f"damaged ({message})"
    return UnreadableImage(message[:300])
