"""Images from whatever a path names."""

import os
import pathlib
from collections.abc import Callable

from examine_jax.images.image_set import ImageSet
from examine_jax.images.names import shown
from examine_jax.images.sources.arrays import load_array
from examine_jax.images.sources.folder import load_folder
from examine_jax.images.sources.scan import IMAGE_SUFFIXES
from examine_jax.images.sources.streaming import StreamedImages, stream_folder

_TFDS_PREFIX = "tfds:"


def load_images(
    source: str | os.PathLike[str],
    *,
    image_size: int,
    channels: int = 3,
    split: str | None = None,
    bits_stored: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> ImageSet:
    """Reads a folder (`load_folder`), a .npy or .npz file (`load_array`), or a TFDS data set (`load_tfds`): a prepared folder with a
    dataset_info.json, or "tfds:NAME" by name, of which split None is "train". They say what the arguments mean; nothing is downloaded.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: a file of another kind, a split asked of a folder, or as those three raise.
        OSError: as those three raise.
        ImportError: a TFDS data set, where what reads it is not installed.
    """
    path = pathlib.Path(source)
    if (dataset := _tfds_name(source)) is not None:
        from examine_jax.images.sources.tfds import load_tfds

        return load_tfds(dataset, split or "train", image_size=image_size, channels=channels, on_progress=on_progress)
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


def stream_images(
    source: str | os.PathLike[str],
    *,
    image_size: int,
    channels: int = 3,
    split: str | None = None,
    bits_stored: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> StreamedImages:
    """The same images decoded on demand, for sets larger than memory: a folder (`stream_folder`) or a TFDS data set (`stream_tfds`).

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: an array file, which is read whole; a split asked of a folder; or as those two raise.
        OSError, ImportError: as above.
    """
    if (dataset := _tfds_name(source)) is not None:
        from examine_jax.images.sources.tfds import stream_tfds

        return stream_tfds(dataset, split or "train", image_size=image_size, channels=channels)
    path = pathlib.Path(source)
    if not path.exists():
        raise FileNotFoundError(f"no images at {shown(path)}: there is no such folder; check the path")
    if not path.is_dir():
        raise ValueError(f"{shown(path)} is no folder, and only folders are read on demand; load it with load_images")
    if split is not None:
        raise ValueError(f"{shown(path)}: a folder has no split {split!r}; name the folder that holds those images")
    return stream_folder(
        path, image_size=image_size, channels=channels, bits_stored=bits_stored, on_progress=on_progress
    )


def _tfds_name(source: str | os.PathLike[str]) -> str | None:
    """The name or prepared folder of a TFDS data set, or None for any other source."""
    text = os.fspath(source)
    if text.startswith(_TFDS_PREFIX):
        return text.removeprefix(_TFDS_PREFIX)
    return text if os.path.isfile(os.path.join(text, "dataset_info.json")) else None
