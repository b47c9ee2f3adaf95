"""The images to label as files in one folder, named by their order.

The table to_label_pictures.csv beside the folder says which of its files were written, and of which
images. These alone are replaced or removed. All others are the user's, such as annotations that a
tool saves as 0001.txt beside 0001.png. The table is not in the folder, for names of images may
identify patients.
"""

import dataclasses
import hashlib
import io
import pathlib

import numpy as np
from PIL import Image

from examine_jax.common.atomic_files import write_bytes
from examine_jax.common.csv_lines import csv_rows
from examine_jax.common.shapes import UInt8
from examine_jax.reporting.hand_over.chosen import ChosenImage, ChosenImages
from examine_jax.reporting.tables import write_table

FOLDER = "to_label"
TABLE = "to_label_pictures.csv"
_HEADER = ("file", "image", "index", "sha256")
_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class _Picture:
    """A file of the folder.

    Attributes:
        file: its name.
        image, index: of the image, as in scores.csv.
        sha256: of the content; "": it is not known, for the run that wrote it was killed.
    """

    file: str
    image: str
    index: str
    sha256: str = ""

    @property
    def numbered(self) -> tuple[str, str, str]:
        """The number, and the image that has it."""
        return _number(self.file), self.image, self.index


def check_pictures(workdir: pathlib.Path, chosen: ChosenImages, *, asked: bool) -> None:
    """Refuses another choice where the folder holds files of the user that belong to the old one.

    Such a file, 0001.txt, would lie beside a picture 0001.png of another image.

    Args:
        workdir: an existing folder.
        chosen: the images that are to be labelled now.
        asked: whether pictures of them are to be written.

    Raises:
        ValueError: there are such files; the table is not as it was written.
        OSError: a file cannot be read.
    """
    before, after = _written(workdir), _numbered(chosen)
    if not before and not asked:
        return
    changing = {number for number, *_ in {one.numbered for one in before} ^ after}
    theirs = [name for name in _of_the_user(workdir, before) if _number(name) in changing]
    if theirs:
        shown = ", ".join(theirs[:_SHOWN]) + (", ..." if len(theirs) > _SHOWN else "")
        raise ValueError(
            f"{workdir / FOLDER} holds files that may belong to pictures of another choice "
            f"({shown}): move the folder away, with {TABLE}, or name another workdir"
        )


def write_pictures(
    workdir: pathlib.Path,
    chosen: ChosenImages,
    *,
    keep_originals: bool = False,
    shown: bool = True,
) -> ChosenImages:
    """Writes to_label/0001.png and so on: the images at full size, without metadata.

    File names and metadata may identify patients, so neither is kept; to_label_pictures.csv says
    which image is which.

    Args:
        workdir: an existing folder. Pictures that an earlier run wrote there are replaced; a
            picture of the same image that was changed since stays as it is.
        chosen: the images; `check_pictures` has passed them.
        keep_originals: copy the images' own files instead, unchanged and with their metadata. An
            image without a file of its own is written as PNG.
        shown: whether browsers have to show the images: one whose own file they do not show is
            written as PNG too.

    Returns:
        The images with these files, which lie in `workdir`.

    Raises:
        ValueError: the user's own file has the name of a picture.
        OSError: a file cannot be read or written.
    """
    folder = workdir / FOLDER
    plan: list[tuple[ChosenImage, str, bool]] = []  # image, file, whether its own is copied
    for number, image in zip(_numbers(chosen), chosen.images, strict=True):
        copied = keep_originals and image.file is not None
        if copied and image.file is not None:
            plan.append((image, number + image.file.suffix.lower(), True))
        if not copied or (shown and not image.shown):
            plan.append((image, f"{number}.png", False))
    before = _written(workdir)
    theirs = set(_of_the_user(workdir, before))
    listed = {one.file for one in before}
    taken = [file for _, file, _ in plan if file in theirs and file not in listed]
    if taken:
        raise ValueError(
            f"{folder / taken[0]} is no picture of an earlier run and would be overwritten: move it"
        )
    after = [_Picture(file, _as_text(image.name), str(image.index)) for image, file, _ in plan]
    folder.mkdir(exist_ok=True)
    _remove(folder, [one for one in before if one.file not in theirs])
    kept = {one.file: one for one in before if one.file in theirs}
    # First without digests: whatever a killed run leaves is known to be its own.
    _write_table(workdir, [kept.get(one.file, one) for one in after])
    files: dict[int, pathlib.Path] = {}
    done = []
    for (image, file, copied), one in zip(plan, after, strict=True):
        files[image.order] = folder / file
        if file in kept:
            done.append(kept[file])
            continue
        if copied and image.file is not None:
            content = image.file.read_bytes()
        else:
            content = _png(chosen.pixels(image))
        write_bytes(folder / file, content)
        done.append(dataclasses.replace(one, sha256=hashlib.sha256(content).hexdigest()))
    _write_table(workdir, done)
    return ChosenImages(
        tuple(
            dataclasses.replace(
                image,
                file=files[image.order],
                shown=image.shown or files[image.order].suffix == ".png",
            )
            for image in chosen.images
        ),
        chosen.pixels,
        workdir,
    )


def remove_pictures(workdir: pathlib.Path, chosen: ChosenImages | None) -> None:
    """Removes pictures of an earlier run that do not have the number of their image any more.

    Without a choice nothing is removed where the user's files lie beside the pictures.

    Args:
        workdir: an existing folder.
        chosen: the images that are to be labelled now; None: there are none.

    Raises:
        ValueError: the table is not as it was written.
        OSError: a file cannot be read or removed.
    """
    before = _written(workdir)
    theirs = _of_the_user(workdir, before)
    if not before or (chosen is None and theirs):
        return
    after = set() if chosen is None else _numbered(chosen)
    stays = [one for one in before if one.numbered in after]
    _remove(
        workdir / FOLDER,
        [one for one in before if one.numbered not in after and one.file not in theirs],
    )
    if stays:
        _write_table(workdir, stays)
    else:
        (workdir / TABLE).unlink(missing_ok=True)


def _numbers(chosen: ChosenImages) -> list[str]:
    digits = max(4, len(str(len(chosen.images))))
    return [f"{image.order:0{digits}}" for image in chosen.images]


def _numbered(chosen: ChosenImages) -> set[tuple[str, str, str]]:
    return {
        (number, _as_text(image.name), str(image.index))
        for number, image in zip(_numbers(chosen), chosen.images, strict=True)
    }


def _number(file: str) -> str:
    """0001 of 0001.png, 0001.ome.tiff and 0001."""
    return file.partition(".")[0]


def _as_text(name: str) -> str:
    """A name as a table holds it."""
    return name.encode("utf-8", errors="backslashreplace").decode("utf-8")


def _written(workdir: pathlib.Path) -> list[_Picture]:
    """The pictures that the table lists."""
    table = workdir / TABLE
    if not table.exists():
        return []
    found = [
        _Picture(*(cells[column] for column in _HEADER))
        for _, cells in csv_rows(table, dict.fromkeys(_HEADER))
    ]
    for one in found:
        if pathlib.PurePath(one.file).name != one.file or not _number(one.file).isdecimal():
            raise ValueError(f"{table} lists {one.file!r}, which is no picture: remove the table")
    return found


def _of_the_user(workdir: pathlib.Path, written: list[_Picture]) -> list[str]:
    """The names in the folder that no run wrote, and pictures that were changed since."""
    folder = workdir / FOLDER
    if not folder.is_dir():
        return []
    digests = {one.file: one.sha256 for one in written}
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.name not in digests or not _is_unchanged(path, digests[path.name])
    )


def _is_unchanged(path: pathlib.Path, sha256: str) -> bool:
    if not path.is_file():
        return False
    return not sha256 or hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _remove(folder: pathlib.Path, pictures: list[_Picture]) -> None:
    for one in pictures:
        (folder / one.file).unlink(missing_ok=True)


def _write_table(workdir: pathlib.Path, pictures: list[_Picture]) -> None:
    write_table(workdir / TABLE, _HEADER, map(dataclasses.astuple, pictures))


def _png(pixels: UInt8[np.ndarray, "h w c"]) -> bytes:
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    stream = io.BytesIO()
    image.save(stream, format="PNG")
    return stream.getvalue()
