"""Images from whatever a path names."""

import os
import pathlib
from collections.abc import Callable

from examine_jax.images.arrays import load_array
from examine_jax.images.folder import load_folder
from examine_jax.images.image_set import ImageSet
from examine_jax.images.names import shown
from examine_jax.images.scan import IMAGE_SUFFIXES


def load_images(
    source: str | os.PathLike[str],
    *,
    image_size: int,
    channels: int = 3,
    split: str | None = None,
    bits_stored: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ImageSet:
    """Reads a folder (`load_folder`) or a .npy or .npz file (`load_array`), which say what the arguments mean.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: a file of another kind, a split asked of a folder, or as those two raise.
        OSError: as those two raise.
    """
    path = pathlib.Path(source)
    if path.is_dir():
        if split is not None:
            raise ValueError(f"{shown(path)}: a folder has no split {split!r}; name the folder that holds those images")
        return load_folder(
            path, image_size=image_size, channels=channels, bits_stored=bits_stored, on_progress=on_progress
        )
    if not path.exists():
        raise FileNotFoundError(f"no images at {shown(path)}: there is no such folder or file; check the path")
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz"):
        return load_array(
            path,
            image_size=image_size,
            channels=channels,
            split=split,
            bits_stored=bits_stored,
            on_progress=on_progress,
        )
    if suffix in IMAGE_SUFFIXES:
        raise ValueError(f"{shown(path)} is one image; name the folder that holds the images: {shown(path.parent)}")
    raise ValueError(f"{shown(path)} is neither a folder of images nor a .npy or .npz file; name one of those")
