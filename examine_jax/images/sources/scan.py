"""Finds the image files below a folder by name, and DICOM files by content.

Decodes nothing and opens only plain files.
"""

import collections
import dataclasses
import json
import os
import stat
import types
from collections.abc import Mapping

from examine_jax.images.decoding.dicom_content import BEGINNING, is_dicom
from examine_jax.images.decoding.file_part import Place
from examine_jax.images.decoding.slide_content import is_slide_file
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
        ".nii",
        ".nii.gz",
    }
)

# Of whole slides, which are cut into tiles.
SLIDE_SUFFIXES = frozenset({".svs", ".ndpi", ".scn", ".mrxs", ".bif", ".svslide"})

# Of pictures, and of slides too.
TIFF_SUFFIXES = frozenset({".tif", ".tiff", ".btf"})

_MAY_BE_SLIDES = TIFF_SUFFIXES | {".dcm", ".dicom", ".ima"}

# Of files that list images.
LIST_SUFFIXES = (".txt", ".csv")

CONFIGURATIONS = ("config.json", "pretraining.json")  # as check_or_write_config names them
# The classes of settings that they name. Other programs have a "settings" of some "type" too.
RUN_SETTINGS = frozenset(
    {
        "AssessSettings",
        "DetectionStudySettings",
        "PretrainSettings",
        "LowResourceSettings",
        "BudgetSettings",
        "TransferSettings",
        "StudySettings",
        "ExperimentSettings",
    }
)
LARGEST_CONFIGURATION = 2**20  # bytes; a run's has a few thousand

# Medical and other image files that a user may expect to be read: they are listed as skipped, with
# advice.
_NOT_READ = {
    suffix: reason
    for suffixes, reason in (
        (
            (".mha", ".mhd", ".nrrd", ".mgz", ".mnc"),
            "a volume; save it as NIfTI (.nii.gz)",
        ),
        (
            (".czi", ".isyntax"),
            "a whole slide of a format that openslide does not read; save it as a pyramidal TIFF",
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
            "an archive beside images; to read it, name the .zip, .tar or .tar.gz file itself",
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
        place: where its bytes are.
    """

    name: str
    place: Place


@dataclasses.dataclass(frozen=True)
class Scan:
    """The files below a folder, of a list or in an archive, in code point order of their names.

    Attributes:
        candidates: files that look like images.
        skipped: files and folders that are not read, with the reason.
        other: suffix -> number of texts, tables, programs and files without a suffix, which are no
            images.
        notes: what a user should know of how they were found, one line each.
        slides: whole slides, whose tiles are images.
        held: keeps open what the places lead to, as long as it is referenced; None: nothing needs
            to be.
    """

    candidates: tuple[Candidate, ...]
    skipped: tuple[SkippedImage, ...]
    other: dict[str, int]
    notes: tuple[str, ...] = ()
    held: object = None
    slides: tuple[Candidate, ...] = ()


def scan_folder(folder: str | os.PathLike[str]) -> Scan:
    """Lists the image files below a folder.

    Names that begin with a dot, and what macOS adds to archives (__MACOSX), are ignored. A DICOM
    file may have any name. Every other file is either listed as skipped or counted as `other`.
    DICOM files of whole slides, and TIFFs with smaller levels, are slides.

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
    """Refuses a workdir in which a run's results would mix with its images.

    Args:
        workdir: receives a run's results. It may lie below the folder, where `scan_folder` leaves
            it out.
        *images: folders and lists of images, and other sources, which are not looked at.

    Raises:
        ValueError: the workdir is one of the folders, and its charts would be read as images; or a
            list lies in it, where a table of results may have its name.
    """
    for source in images:
        if source is None or not os.path.isdir(workdir):
            continue
        if os.path.isfile(source) and os.fspath(source).lower().endswith(LIST_SUFFIXES):
            if os.path.samefile(os.path.dirname(os.path.abspath(source)), workdir):
                raise ValueError(
                    f"the list {shown(source)} lies in the workdir, where results may replace it; "
                    "name another workdir"
                )
            continue
        if not os.path.isdir(source):
            continue
        if os.path.samefile(source, workdir):
            raise ValueError(
                f"the workdir {shown(workdir)} is the folder of the images, and its charts would "
                "be read as images; name another workdir"
            )


def _scan(folder: str | os.PathLike[str]) -> Scan:
    root = os.fspath(folder)
    images: dict[str, Place] = {}  # Raw name below the root -> path.
    slides: dict[str, Place] = {}  # Raw name below the root -> path.
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
        present = {entry.name for entry in entries}
        for entry in entries:
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            if f"{entry.name}.mrxs" in present and entry.is_dir():
                continue  # The parts of that slide.
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                real.append(name)
            elif entry.is_symlink() and os.path.isdir(entry.path):
                linked.append(name)
            elif (suffix := suffix_of(entry.name)) in IMAGE_SUFFIXES or _is_dicom(entry):
                (slides if is_slide(entry.path) else images)[name] = entry.path
            elif suffix in SLIDE_SUFFIXES:
                slides[name] = entry.path
            elif problem := problem_of(suffix):
                problems[name] = problem
            else:
                other[suffix or "no suffix"] += 1
    return sorted_scan(images, problems, other, slides=slides)


def sorted_scan(
    images: Mapping[str, Place],
    problems: Mapping[str, str],
    other: Mapping[str, int],
    notes: tuple[str, ...] = (),
    held: object = None,
    slides: Mapping[str, Place] = types.MappingProxyType({}),
) -> Scan:
    """A scan of places, of problems and of slides by their raw names, which all differ."""
    raw = [*images, *problems, *slides]
    safe = dict(zip(raw, unique_encodable(raw)))
    candidates = (Candidate(safe[name], place) for name, place in images.items())
    skipped = (SkippedImage(safe[name], reason) for name, reason in problems.items())
    return Scan(
        candidates=tuple(sorted(candidates, key=lambda item: item.name)),
        skipped=tuple(sorted(skipped, key=lambda item: item.name)),
        other=dict(other),
        notes=notes,
        held=held,
        slides=tuple(
            sorted(
                (Candidate(safe[name], place) for name, place in slides.items()),
                key=lambda item: item.name,
            )
        ),
    )


def suffix_of(name: str) -> str:
    """The ending of a file's name that says what it holds, in lower case."""
    lowered = name.lower()
    return ".nii.gz" if lowered.endswith(".nii.gz") else os.path.splitext(lowered)[1]


def is_slide(path: str) -> bool:
    """Whether a file is a whole slide by its name, or by its content where the name allows it.

    Pictures of other formats are not opened.
    """
    suffix = suffix_of(path)
    if suffix in SLIDE_SUFFIXES:
        return True
    return suffix not in IMAGE_SUFFIXES - _MAY_BE_SLIDES and is_slide_file(path)


def not_read(suffix: str) -> str | None:
    """Why files with the suffix of another format are not read; None: it is no such suffix."""
    return _NOT_READ.get(suffix)


def problem_of(suffix: str) -> str | None:
    """Why files with this suffix are not read, unless they are DICOM; None: they hold no image.

    Files without an image's suffix that hold none either are counted, not listed.
    """
    if suffix in _COMPANIONS:
        return None
    return _NOT_READ.get(suffix, "neither its name nor its content is that of an image read here")


def _holds_results(entries: list[os.DirEntry[str]]) -> bool:
    """Whether a folder has a run's configuration: it names one of `RUN_SETTINGS`."""
    for entry in entries:
        if entry.name not in CONFIGURATIONS or not entry.is_file():
            continue
        try:
            with open(entry.path, "rb") as stream:
                content = stream.read(LARGEST_CONFIGURATION + 1)
        except OSError:
            continue
        if is_configuration(content):
            return True
    return False


def is_configuration(content: bytes) -> bool:
    """Whether a file's bytes are a run's configuration: they name one of `RUN_SETTINGS`."""
    if len(content) > LARGEST_CONFIGURATION:
        return False
    try:
        plain = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return False
    settings = plain.get("settings") if isinstance(plain, dict) else None
    kind = settings.get("type") if isinstance(settings, dict) else None
    return isinstance(kind, str) and kind in RUN_SETTINGS


def _is_dicom(entry: os.DirEntry[str]) -> bool:
    """Whether a file is DICOM. Such files often have a number or an identifier as their name."""
    try:
        if not stat.S_ISREG(os.stat(entry.path).st_mode):
            return False
        with open(entry.path, "rb") as stream:
            return is_dicom(stream.read(BEGINNING))
    except OSError:
        return False
