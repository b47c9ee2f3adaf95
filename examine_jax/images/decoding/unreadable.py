"""The error for a file that cannot be read as an image."""


class UnreadableImage(ValueError):
    """A file cannot be read as an image. The message is one plain line."""
