"""Finds the image files below a folder by name, and DICOM files by content.

Decodes nothing and opens only plain files.
"""

import collections
import dataclasses
import json
import os
import stat

from examine_jax.images.decoding.dicom_content import BEGINNING, is_dicom
from examine_jax.images.image_set import SkippedImage
from examine_jax.images.names import shown, unique_encodable

IMAGE_SUFFIXES = frozenset(
    {
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".tif",
        ".tiff",
        ".bmp",
        ".dib",
        ".webp",
        ".dcm",
        ".dicom",
        ".ima",
    }
)

_CONFIGURATIONS = ("config.json", "pretraining.json")  # as check_or_write_config names them
# The classes of settings that they name. Other programs have a "settings" of some "type" too.
RUN_SETTINGS = frozenset(
    {
        "AssessSettings",
        "PretrainSettings",
        "LowResourceSettings",
        "BudgetSettings",
        "StudySettings",
        "ExperimentSettings",
    }
)
_LARGEST_CONFIGURATION = 2**20  # bytes; a run's has a few thousand

# Medical and other image files that a user may expect to be read: they are listed as skipped, with
# advice.
_NOT_READ = {
    suffix: reason
    for suffixes, reason in (
        (
            (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd"),
            "a volume; export its slices as PNG or 16-bit TIFF",
        ),
        (
            (".svs", ".ndpi", ".scn", ".mrxs", ".czi"),
            "a whole-slide image; cut it into tiles as PNG or JPEG",
        ),
        (
            (".gif", ".jp2", ".j2k", ".jxl", ".avif", ".heic", ".pgm", ".ppm"),
            "not a format read here; save it as PNG",
        ),
        (
            (".npy", ".npz"),
            "an array beside images; to read it, name the .npy or .npz file itself",
        ),
        (
            (".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar"),
            "an archive; unpack it to have its images read",
        ),
        (
            (".mp4", ".avi", ".mov", ".mkv", ".mpg", ".mpeg", ".wmv"),
            "a video; save its frames as PNG",
        ),
    )
    for suffix in suffixes
}

# What lies beside images and holds none: it is counted, not listed.
_COMPANIONS = frozenset(
    {
        "",
        *(".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".html", ".css", ".md", ".rst"),
        *(".pdf", ".doc", ".docx", ".xls", ".xlsx", ".parquet", ".yaml", ".yml", ".ini", ".toml"),
        *(".log", ".py", ".ipynb", ".sh", ".m", ".r", ".db", ".sqlite", ".md5", ".sha256"),
    }
)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A file with an image's name.

    Attributes:
        name: its path below the folder, encodable as UTF-8.
        path: opens it.
    """

    name: str
    path: str


@dataclasses.dataclass(frozen=True)
class Scan:
    """The files below a folder, in code point order of their names.

    Attributes:
        candidates: files that look like images.
        skipped: files and folders that are not read, with the reason.
        other: suffix -> number of texts, tables, programs and files without a suffix, which are no
            images.
    """

    candidates: tuple[Candidate, ...]
    skipped: tuple[SkippedImage, ...]
    other: dict[str, int]


def scan_folder(folder: str | os.PathLike[str]) -> Scan:
    """Lists the image files below a folder.

    Names that begin with a dot, and what macOS adds to archives (__MACOSX), are ignored. A DICOM
    file may have any name. Every other file is either listed as skipped or counted as `other`.

    Links to files and folders are followed, but no folder is entered twice: a link to a folder that
    is listed already (such as its own parent) is skipped with that reason. So are folders that
    cannot be listed, and folders of this library's results (a run's workdir below the folder),
    because their charts are PNG files too.

    Raises:
        FileNotFoundError: the folder is missing.
        NotADirectoryError: it is no folder.
        OSError: it cannot be listed.
    """
    try:
        return _scan(folder)
    except OSError as error:
        # The subclass says what is wrong; the message names the folder.
        failure = type(error)(f"cannot read the folder {shown(folder)}: {error.strerror or error}")
        failure.errno = error.errno
        raise failure from error


def check_workdir(workdir: str | os.PathLike[str], *images: str | os.PathLike[str] | None) -> None:
    """Refuses a workdir that is the folder of images: its charts would be read as images.

    Args:
        workdir: receives a run's results. It may lie below the folder, where `scan_folder` leaves
            it out.
        *images: folders of images, and other sources, which are not looked at.

    Raises:
        ValueError: the workdir is one of the folders.
    """
    for source in images:
        if source is None or not os.path.isdir(source) or not os.path.isdir(workdir):
            continue
        if os.path.samefile(source, workdir):
            raise ValueError(
                f"the workdir {shown(workdir)} is the folder of the images, and its charts would "
                "be read as images; name another workdir"
            )


def _scan(folder: str | os.PathLike[str]) -> Scan:
    root = os.fspath(folder)
    images: dict[str, str] = {}  # Raw name below the root -> path.
    problems: dict[str, str] = {}  # Raw name below the root -> reason.
    other: collections.Counter[str] = collections.Counter()
    visited: dict[tuple[int, int], str] = {}
    # Real folders before links: a folder that a link also leads to keeps its own name.
    real, linked = [""], list[str]()
    while real or linked:
        if real:
            below = real.pop()
        else:
            linked.sort(reverse=True)
            below = linked.pop()
        path = os.path.join(root, below)
        try:
            status = os.stat(path)
            identity = (status.st_dev, status.st_ino)
            if identity in visited:
                problems[below + "/"] = (
                    "a link to a folder that is read already, as "
                    f"{visited[identity] or 'the whole folder'!r}"
                )
                continue
            visited[identity] = below
            with os.scandir(path) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if not below:
                raise
            problems[below + "/"] = f"the folder cannot be listed: {error.strerror or error}"
            continue
        if below and _holds_results(entries):
            problems[below + "/"] = "a folder of results; its charts are no images to read"
            continue
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                real.append(name)
            elif entry.is_symlink() and os.path.isdir(entry.path):
                linked.append(name)
            elif (suffix := _suffix(entry.name)) in IMAGE_SUFFIXES or _is_dicom(entry):
                images[name] = entry.path
            elif suffix in _NOT_READ:
                problems[name] = _NOT_READ[suffix]
            elif suffix not in _COMPANIONS:
                problems[name] = "neither its name nor its content is that of an image read here"
            else:
                other[suffix or "no suffix"] += 1
    safe = dict(zip([*images, *problems], unique_encodable([*images, *problems])))
    return Scan(
        candidates=tuple(
            sorted(
                (Candidate(safe[name], path) for name, path in images.items()),
                key=lambda item: item.name,
            )
        ),
        skipped=tuple(
            sorted(
                (SkippedImage(safe[name], reason) for name, reason in problems.items()),
                key=lambda item: item.name,
            )
        ),
        other=dict(other),
    )


def _suffix(name: str) -> str:
    lowered = name.lower()
    return ".nii.gz" if lowered.endswith(".nii.gz") else os.path.splitext(lowered)[1]


def _holds_results(entries: list[os.DirEntry[str]]) -> bool:
    """Whether a folder has a run's configuration: it names one of `RUN_SETTINGS`."""
    for entry in entries:
        if entry.name not in _CONFIGURATIONS or not entry.is_file():
            continue
        try:
            with open(entry.path, "rb") as stream:
                content = stream.read(_LARGEST_CONFIGURATION + 1)
            if len(content) > _LARGEST_CONFIGURATION:
                continue
            plain = json.loads(content.decode("utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        settings = plain.get("settings") if isinstance(plain, dict) else None
        kind = settings.get("type") if isinstance(settings, dict) else None
        if isinstance(kind, str) and kind in RUN_SETTINGS:
            return True
    return False


def _is_dicom(entry: os.DirEntry[str]) -> bool:
    """Whether a file is DICOM. Such files often have a number or an identifier as their name."""
    try:
        if not stat.S_ISREG(os.stat(entry.path).st_mode):
            return False
        with open(entry.path, "rb") as stream:
            return is_dicom(stream.read(BEGINNING))
    except OSError:
        return False
