"""Images to rows of patches and back, in the order (row of patches, column of patches; then row, column, channel within a patch)."""

from examine_jax.common.shapes import Array, Shaped


def patchify(
    images: Shaped[Array, "batch height width channels"], patch_size: int
) -> Shaped[Array, "batch tokens values"]:
    """Cuts images into non-overlapping square patches, flattened as (p, q, c): facebookresearch/mae, `patchify`. Keeps the dtype."""
    batch, height, width, channels = images.shape
    if height % patch_size or width % patch_size:
        raise ValueError(
            f"images of {height} x {width} pixels cannot be cut into patches of {patch_size}; resize them first"
        )
    rows, columns = height // patch_size, width // patch_size
    cut = images.reshape(batch, rows, patch_size, columns, patch_size, channels)
    return cut.transpose(0, 1, 3, 2, 4, 5).reshape(batch, rows * columns, patch_size * patch_size * channels)


def unpatchify(
    patches: Shaped[Array, "batch tokens values"], patch_size: int, channels: int
) -> Shaped[Array, "batch height width channels"]:
    """The inverse of `patchify` for square images."""
    batch, tokens, _ = patches.shape
    side = round(tokens**0.5)
    cut = patches.reshape(batch, side, side, patch_size, patch_size, channels)
    return cut.transpose(0, 1, 3, 2, 4, 5).reshape(batch, side * patch_size, side * patch_size, channels)
