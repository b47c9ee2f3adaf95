"""Files damaged at random: what the readers make of them, under watch.

    python -m benchmarks.quality.mutated_files --files=10000 \
        --output=benchmarks/results/FILE.json

Small files of every format that is read are mutated: bytes flipped, runs set to 0 or 255, cut,
joined, headers exchanged between formats, numbers made huge. Folders of them are read by
`load_folder` and `stream_folder`, arrays one after the other by `load_array`, each in a child
process. The record counts what was read and what was skipped, files on which a decoder crashed or
was ended by a limit, ends of the child itself, errors other than ValueError, and the memory and
time that they took.
"""

import collections
import io
import json
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import app, flags
from PIL import Image

from examine_jax.common.atomic_files import write_text
from examine_jax.reporting.page import package_versions

_FILES = flags.DEFINE_integer("files", 10_000, "Mutated files in all.", lower_bound=100)
_SEED = flags.DEFINE_integer("seed", 0, "Of the mutations.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "A JSON file for the record; printed alone if not given."
)
_KEEP = flags.DEFINE_string("keep", None, "A folder for the files, which are kept.")

# One file in ten is an array.
_ARRAY_SHARE = 10
_FILES_IN_A_FOLDER = 500

# Where a format says what a file is: enough for its header.
_HEADER = 64

# Numbers that overflow what multiplies them.
_HUGE = (0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0x40000000, 0xFFFF, 0x8000, 65500, 100_000, 0)


def picture_seeds() -> dict[str, bytes]:
    """Small whole files of each format that a folder may hold, by name."""
    generator = np.random.default_rng(0)
    grey = generator.integers(0, 256, (33, 40), dtype=np.uint8)
    colour = generator.integers(0, 256, (40, 33, 3), dtype=np.uint8)
    smooth = np.kron(colour[:8, :8], np.ones((6, 6, 1), np.uint8))
    deep = generator.integers(0, 4096, (24, 30), dtype=np.uint16)
    alpha = np.dstack([colour, grey.T[:40, :33]])
    seeds = {
        "grey.png": _saved(grey, "PNG"),
        "colour.png": _saved(colour, "PNG"),
        "alpha.png": _saved(alpha, "PNG"),
        "deep.png": _saved(deep, "PNG"),
        "bits.png": _saved(grey > 99, "PNG"),
        "palette.png": _saved(Image.fromarray(colour).convert("P"), "PNG"),
        "grey.jpg": _saved(grey, "JPEG"),
        "colour.jpg": _saved(smooth, "JPEG", exif=_exif(6)),
        "progressive.jpg": _saved(smooth, "JPEG", progressive=True),
        "cmyk.jpg": _saved(Image.fromarray(smooth).convert("CMYK"), "JPEG"),
        "grey.bmp": _saved(grey, "BMP"),
        "colour.bmp": _saved(colour, "BMP"),
        "lossy.webp": _saved(smooth, "WEBP"),
        "lossless.webp": _saved(alpha, "WEBP", lossless=True),
        "mode1.tif": _saved(grey > 99, "TIFF", compression="group4"),
        "pages.tif": _saved(grey, "TIFF", save_all=True, append_images=[Image.fromarray(grey)] * 3),
    }
    return seeds | _tiffs(grey, colour, deep) | _dicoms()


def _saved(pixels: Any, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(stream, kind, **options)
    return stream.getvalue()


def _exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def _tiffs(grey: np.ndarray, colour: np.ndarray, deep: np.ndarray) -> dict[str, bytes]:
    import tifffile

    kinds: list[tuple[str, np.ndarray, dict[str, Any]]] = [
        ("grey", grey, {}),
        ("colour", colour, {"photometric": "rgb"}),
        ("planar", np.moveaxis(colour, -1, 0), {"photometric": "rgb", "planarconfig": "separate"}),
        ("deep", deep, {}),
        ("float", (deep / 4095).astype(np.float32), {}),
        ("double", deep / 4095, {}),
        ("tiled", np.tile(grey, (2, 2)), {"tile": (32, 32)}),
        ("strips", colour, {"photometric": "rgb", "rowsperstrip": 4}),
    ]
    found: dict[str, bytes] = {}
    for name, pixels, options in kinds:
        for compression in (None, "zlib", "lzw", "packbits"):
            for order in "<>":
                stream = io.BytesIO()
                tifffile.imwrite(
                    stream, pixels, compression=compression, byteorder=order, **options
                )
                found[f"{name}_{compression or 'plain'}_{ord(order)}.tif"] = stream.getvalue()
    stream = io.BytesIO()
    tifffile.imwrite(stream, deep, bigtiff=True)
    return found | {"big.tif": stream.getvalue()}


def _dicoms() -> dict[str, bytes]:
    """The small files that pydicom ships: compressed, several frames, reports, broken ones."""
    try:
        import pydicom
    except ImportError:
        return {}
    shipped = pathlib.Path(pydicom.__file__).parent / "data" / "test_files"
    return {
        f"{path.stem}.dcm": path.read_bytes()
        for path in sorted(shipped.glob("*.dcm"))
        if path.stat().st_size < 40_000
    }


def array_seeds() -> dict[str, bytes]:
    """Small .npy files and .npz archives, by name."""
    generator = np.random.default_rng(1)
    stacks = {
        "bytes": generator.integers(0, 256, (4, 9, 8), dtype=np.uint8),
        "colour": generator.integers(0, 256, (3, 9, 8, 3), dtype=np.uint8),
        "deep": generator.integers(0, 4096, (4, 9, 8), dtype=np.uint16),
        "float": generator.random((4, 9, 8)),
        "swapped": generator.random((4, 9, 8)).astype(">f4"),
        "bool": generator.random((4, 9, 8)) > 0.5,
        "fortran": np.asfortranarray(generator.random((4, 9, 8)).astype(np.float32)),
    }
    found: dict[str, bytes] = {}
    for name, stack in stacks.items():
        stream = io.BytesIO()
        np.save(stream, stack)
        found[f"{name}.npy"] = stream.getvalue()
    for name, save in (("stored", np.savez), ("deflated", np.savez_compressed)):
        stream = io.BytesIO()
        save(stream, train_images=stacks["bytes"], train_labels=np.arange(4))
        found[f"{name}.npz"] = stream.getvalue()
    return found


def mutated(content: bytes, others: list[bytes], generator: np.random.Generator) -> bytes:
    """One to four mutations of a file, some with parts of others."""
    for _ in range(min(generator.geometric(0.7), 4)):
        content = _mutated_once(content or b"\0", others, generator)
    return content


def _mutated_once(content: bytes, others: list[bytes], generator: np.random.Generator) -> bytes:
    changed, length = bytearray(content), len(content)
    other = others[generator.integers(len(others))]
    # Headers are small, and damage there goes furthest.
    most = min(length, 256) if generator.random() < 0.5 else length
    start = int(generator.integers(most))
    run = slice(start, min(length, start + int(generator.integers(1, 65))))
    kind = int(generator.integers(16))
    if kind > 10 or kind <= 1:
        for place in generator.integers(most, size=int(generator.integers(1, 5))):
            changed[place] ^= 1 << int(generator.integers(8))
    elif kind == 2:
        changed[run] = generator.bytes(run.stop - run.start)
    elif kind == 3:
        changed[run] = bytes(run.stop - run.start)
    elif kind == 4:
        changed[run] = b"\xff" * (run.stop - run.start)
    elif kind == 5:
        del changed[start:]
    elif kind == 6:
        del changed[run]
    elif kind == 7:
        changed[run] = changed[run] * int(generator.integers(2, 50))
    elif kind == 8:
        number = _HUGE[generator.integers(len(_HUGE))]
        layout = ("<I", ">I")[generator.integers(2)]
        changed[start : start + 4] = struct.pack(layout, number)
    elif kind == 9:
        size = int(generator.integers(4, _HEADER))
        changed[:size] = other[:size]
    else:
        changed = changed + other if generator.random() < 0.5 else changed[:start] + other[start:]
    return bytes(changed)


def write_files(
    folder: pathlib.Path, seeds: Mapping[str, bytes], count: int, generator: np.random.Generator
) -> None:
    """Writes mutated files, all seeds in turn, under names that say which seed.

    One more is whole: floats up to 255. They say which scale the folder's floats have, so that
    damaged ones between 1 and 2 do not make the folder's scale doubtful, which is refused.
    """
    if any(name.endswith(".tif") for name in seeds):
        scale = np.linspace(0, 255, 256, dtype=np.float32).reshape(16, 16)
        (folder / "whole.tif").write_bytes(_saved(scale, "TIFF"))
    names, contents = list(seeds), list(seeds.values())
    for index in range(count):
        which = index % len(names)
        stem, suffix = names[which].rsplit(".", 1)
        content = mutated(contents[which], contents, generator)
        (folder / f"{index:05}_{stem}.{suffix}").write_bytes(content)


FOLDER = """
import json, sys, time
import numpy as np
from examine_jax.images import load_folder, stream_folder

gaps, last = [0.0], [time.perf_counter()]

def progress(done, total):
    now = time.perf_counter()
    gaps.append(now - last[0])
    last[0] = now

found = {"loaded": 0, "skipped": [], "refused": None, "other_error": None, "streamed": 0}
options = {"image_size": 32, "bits_stored": 16, "intensity_range": None}
try:
    images = load_folder(sys.argv[1], on_progress=progress, **options)
    found |= {"loaded": len(images), "notes": images.notes}
    found["skipped"] = [[item.name, item.reason] for item in images.skipped]
    last[0] = time.perf_counter()
    streamed = stream_folder(sys.argv[1], on_progress=progress, **options)
    for row in range(0, len(streamed), 5):
        last[0] = time.perf_counter()
        try:
            streamed[np.array([row])]
            found["streamed"] += 1
        except ValueError:
            pass
        progress(0, 0)
except ValueError as error:
    found["refused"] = str(error)
except BaseException as error:
    found["other_error"] = f"{type(error).__name__}: {error}"
found["longest_wait_seconds"] = max(gaps)
print(json.dumps(found))
"""

ARRAYS = """
import json, pathlib, sys, time
from examine_jax.images import load_array

found = {"read": 0, "refused": 0, "other_error": [], "longest_wait_seconds": 0.0}
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    started = time.perf_counter()
    try:
        load_array(path, image_size=8)
        found["read"] += 1
    except ValueError:
        found["refused"] += 1
    except BaseException as error:
        found["other_error"].append(f"{path.name}: {type(error).__name__}: {error}")
    seconds = time.perf_counter() - started
    found["longest_wait_seconds"] = max(found["longest_wait_seconds"], seconds)
print(json.dumps(found))
"""


def watched(program: str, folder: pathlib.Path) -> dict[str, Any]:
    """Runs a program on a folder: what it printed, how it ended, and how its memory grew.

    The growth is that of each process from when it was first seen at work to its largest.
    """
    started = time.perf_counter()
    smallest: dict[int, int] = {}
    growth = 0
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        child = subprocess.Popen(
            [sys.executable, "-c", program, str(folder)], stdout=output, stderr=errors
        )
        while child.poll() is None:
            for process in _family(child.pid):
                now, largest = _memory(process)
                if largest:
                    smallest[process] = min(smallest.get(process, largest), now)
                    growth = max(growth, largest - smallest[process])
            time.sleep(0.02)
        output.seek(0)
        errors.seek(0)
        text, trouble = output.read(), errors.read()
    found = {"code": child.returncode, "seconds": round(time.perf_counter() - started, 1)}
    found |= {"growth_bytes": growth, "printed_beside": trouble[-2000:]}
    return found | (json.loads(text.splitlines()[-1]) if child.returncode == 0 else {})


def _family(process: int) -> list[int]:
    """A process and its children."""
    found = [process]
    for task in pathlib.Path(f"/proc/{process}/task").glob("*/children"):
        try:
            found += map(int, task.read_text().split())
        except OSError:
            continue
    return found


def _memory(process: int) -> tuple[int, int]:
    """(bytes held now, the most ever held) of a process; zeros where it has ended."""
    try:
        status = pathlib.Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0, 0
    sizes = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", status, re.MULTILINE))
    return int(sizes.get("VmRSS", 0)) * 1024, int(sizes.get("VmHWM", 0)) * 1024


def kind_of(reason: str) -> str:
    """What a reason says, without the numbers and names in it."""
    if "crashed" in reason or "killed" in reason:
        return "crashed: " + reason
    if "did not end" in reason:
        return "time limit"
    if "needed more than" in reason:
        return "memory limit"
    return "other"


def main(arguments: list[str]) -> None:
    del arguments
    generator = np.random.default_rng(_SEED.value)
    arrays = _FILES.value // _ARRAY_SHARE
    pictures = _FILES.value - arrays
    totals: collections.Counter[str] = collections.Counter()
    endings: collections.Counter[str] = collections.Counter()
    worst = {"longest_wait_seconds": 0.0, "growth_bytes": 0}
    trouble: list[Any] = []
    seeds = picture_seeds()
    with tempfile.TemporaryDirectory() as own:
        root = pathlib.Path(_KEEP.value or own)
        for start in range(0, pictures, _FILES_IN_A_FOLDER):
            folder = root / f"pictures_{start:05}"
            folder.mkdir(parents=True)
            count = min(_FILES_IN_A_FOLDER, pictures - start)
            write_files(folder, seeds, count, generator)
            found = watched(FOLDER, folder)
            _count(found, worst, trouble, folder.name)
            totals["files"] += count
            for key in ("loaded", "streamed"):
                totals[key] += found.get(key, 0)
            for name, reason in found.get("skipped", []):
                totals["skipped"] += 1
                endings[kind_of(reason)] += 1
                if kind_of(reason) != "other":
                    trouble.append([folder.name, name, reason])
            print(folder.name, {k: v for k, v in found.items() if k != "skipped"}, file=sys.stderr)
        folder = root / "arrays"
        folder.mkdir()
        write_files(folder, array_seeds(), arrays, generator)
        found = watched(ARRAYS, folder)
        _count(found, worst, trouble, folder.name)
        print(folder.name, found, file=sys.stderr)
    record = {
        "what": "files damaged at random, read by load_folder, stream_folder and load_array",
        "seed": _SEED.value,
        "kinds_of_pictures": len(seeds),
        "pictures": {**totals, "skipped_by": dict(endings)},
        "arrays": {
            "files": arrays,
            **{key: found.get(key) for key in ("read", "refused", "other_error")},
        },
        **worst,
        "trouble": trouble,
        "versions": package_versions(),
    }
    print(json.dumps(record, indent=1))
    if _OUTPUT.value:
        write_text(pathlib.Path(_OUTPUT.value), json.dumps(record, indent=1) + "\n")


def _count(found: Mapping[str, Any], worst: dict[str, Any], trouble: list[Any], name: str) -> None:
    """Keeps the worst of all runs, and what should not have happened."""
    for key in worst:
        worst[key] = max(worst[key], found.get(key, 0))
    refused = isinstance(found.get("refused"), str)  # A whole folder: no file was read.
    if found["code"] or found.get("other_error") or refused:
        said = {key: found.get(key) for key in ("code", "other_error", "refused")}
        trouble.append([name, {**said, "printed": found["printed_beside"]}])
    elif found["printed_beside"]:
        trouble.append([name, {"printed": found["printed_beside"]}])


if __name__ == "__main__":
    app.run(main)
