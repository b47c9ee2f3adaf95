"""What is wrong with a file that should be an image."""


class UnreadableImage(ValueError):
    """Why a file cannot be read as an image: one plain line."""
