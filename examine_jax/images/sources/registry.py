"""All sources of images, and which one reads a given path or name."""

import os
import pathlib
import re

from examine_jax.common.registry import lookup
from examine_jax.images.names import shown
from examine_jax.images.remote_access import is_url
from examine_jax.images.sources.archive import ArchiveSource
from examine_jax.images.sources.array import ArraySource
from examine_jax.images.sources.file_list import ListSource
from examine_jax.images.sources.folder import FolderSource
from examine_jax.images.sources.remote import DISK_SUFFIXES, RemoteSource, copy_on_disk
from examine_jax.images.sources.sample import SampleSource
from examine_jax.images.sources.scan import IMAGE_SUFFIXES, Scan
from examine_jax.images.sources.slide_file import SlideSource
from examine_jax.images.sources.source import FileSource, Source
from examine_jax.images.sources.tfds import TFDSSource
from examine_jax.images.sources.volume_file import VolumeSource

# The first that recognises a name reads it: a prepared TFDS folder comes before any other folder.
SOURCES: tuple[Source, ...] = (
    RemoteSource(),
    SampleSource(),
    TFDSSource(),
    FolderSource(),
    ArraySource(),
    ListSource(),
    ArchiveSource(),
    VolumeSource(),
    SlideSource(),
)

# package.module:attribute, or package.module:attribute:rest
_ELSEWHERE = re.compile(r"([A-Za-z_][\w.]*:[A-Za-z_]\w*)(?::(.*))?", re.DOTALL)


def source_of(name: str | os.PathLike[str]) -> tuple[Source, str]:
    """The source that reads a path or name, and the name to hand to it.

    A name that no source of the library recognises and that is no path may be
    `package.module:attribute:rest`: the source is then that attribute, and `rest` is handed to it.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: no source reads it, or the attribute is no source.
    """
    text = os.fspath(name)
    if is_url(text) and text.partition("?")[0].lower().endswith(DISK_SUFFIXES):
        text = copy_on_disk(text)
    for source in SOURCES:
        if source.recognises(text):
            return source, text
    path = pathlib.Path(text)
    if not path.exists():
        elsewhere = _ELSEWHERE.fullmatch(text)
        if elsewhere is None:
            raise FileNotFoundError(
                f"no images at {shown(path)}: there is no such folder or file; check the path"
            )
        return _imported(elsewhere[1]), elsewhere[2] or ""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        raise ValueError(
            f"{shown(path)} is one image; name the folder that holds the images: "
            f"{shown(path.parent)}"
        )
    raise ValueError(
        f"{shown(path)} is neither a folder of images nor a .npy or .npz file, an archive (.zip, "
        ".tar, .tar.gz) or a list (.txt, .csv) of images, a volume (.nii, .nii.gz) or a slide "
        "(.svs, .ndpi, .mrxs, ...); name one of those"
    )


def reads_files(name: str | os.PathLike[str]) -> bool:
    """Whether a source reads image files: a folder, a list or an archive.

    Raises:
        FileNotFoundError, ValueError: as `source_of`.
    """
    return isinstance(source_of(name)[0], FileSource)


def scan_of(name: str | os.PathLike[str]) -> Scan | None:
    """Where each image file of a source is; None: the source reads no image files.

    Raises:
        FileNotFoundError, ValueError: as `source_of`.
        OSError: the source cannot be listed.
    """
    source, rest = source_of(name)
    return source.scan(rest) if isinstance(source, FileSource) else None


def _imported(name: str) -> Source:
    elsewhere: dict[str, Source] = {}
    source = lookup(name, elsewhere, "image source")
    if isinstance(source, type) or not isinstance(source, Source):
        raise ValueError(
            f"image source {name!r} has no recognises, load, stream and on_demand; name an "
            "instance that has"
        )
    return source
