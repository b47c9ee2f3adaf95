"""Cuts images into patches and puts them together again.

Patches run row by row; within a patch, values run over (row, column, channel).
"""

from examine_jax.common.shapes import Array, Shaped


def patchify(
    images: Shaped[Array, "batch height width channels"], patch_size: int
) -> Shaped[Array, "batch tokens values"]:
    """Cuts images into square patches without overlap, each flattened. Keeps the dtype.

    Args:
        images: [B, H, W, C]; patch_size divides H and W.
        patch_size: side of a patch in pixels.

    Returns:
        [B, H * W / patch_size^2, patch_size^2 * C].

    Raises:
        ValueError: patch_size does not divide the sides.

    Source:
        facebookresearch/mae, `patchify`.
    """
    batch, height, width, channels = images.shape
    if height % patch_size or width % patch_size:
        raise ValueError(
            f"images of {height} x {width} pixels cannot be cut into patches of {patch_size}; "
            "resize them first"
        )
    rows, columns = height // patch_size, width // patch_size
    cut = images.reshape(batch, rows, patch_size, columns, patch_size, channels)
    return cut.transpose(0, 1, 3, 2, 4, 5).reshape(
        batch, rows * columns, patch_size * patch_size * channels
    )


def unpatchify(
    patches: Shaped[Array, "batch tokens values"], patch_size: int, channels: int
) -> Shaped[Array, "batch height width channels"]:
    """The inverse of `patchify`, for square images."""
    batch, tokens, _ = patches.shape
    side = round(tokens**0.5)
    cut = patches.reshape(batch, side, side, patch_size, patch_size, channels)
    return cut.transpose(0, 1, 3, 2, 4, 5).reshape(
        batch, side * patch_size, side * patch_size, channels
    )
