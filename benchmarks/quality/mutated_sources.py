"""Archives, lists, volumes, slides and DICOM series damaged at random: what becomes of them.

    python -m benchmarks.quality.mutated_sources --sources=2000 \
        --output=benchmarks/results/FILE.json

As mutated_files.py, for what is named as a source itself. Each damaged file is loaded, and streamed
in part, in a child process under watch. Of a series, the headers of some slices are damaged. The
record counts what was read, refused with a ValueError, and what should not happen: other errors,
crashes and limits reached, images that are streamed otherwise than loaded, text on the terminal.
"""

import io
import json
import pathlib
import sys
import tarfile
import tempfile
import zipfile
from typing import Any

import numpy as np
from absl import app, flags

from benchmarks.quality.mutated_files import kind_of, mutated, picture_seeds, watched
from examine_jax.common.atomic_files import write_text
from examine_jax.reporting.page import package_versions

_SOURCES = flags.DEFINE_integer("sources", 2000, "Damaged sources in all.", lower_bound=50)
_SLIDE = flags.DEFINE_string("slide", None, "A small slide (.svs), cut off after 200,000 bytes.")

_AT_ONCE = 200


def source_seeds(slide: bytes | None = None) -> dict[str, bytes]:
    """Small whole sources of each kind, by name."""
    pictures = picture_seeds()
    content = {name: pictures[name] for name in ("grey.png", "colour.bmp", "grey_plain_60.tif")}
    content["a/IM1"] = pictures.get("MR_small.dcm", b"")
    names = "\n".join(content)
    return {
        "stored.zip": _zip(content, zipfile.ZIP_STORED),
        "deflated.zip": _zip(content, zipfile.ZIP_DEFLATED),
        "plain.tar": _tar(content, "w"),
        "packed.tar.gz": _tar(content, "w:gz"),
        "list.txt": names.encode(),
        "list.csv": f"image,patient\n{names.replace(chr(10), ',1' + chr(10))},1\n".encode(),
        "pyramid.tif": _pyramid(),
        **_volumes(),
        **({} if slide is None else {"slide.svs": slide}),
    }


def _zip(content: dict[str, bytes], kind: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return stream.getvalue()


def _tar(content: dict[str, bytes], mode: Any) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def _volumes() -> dict[str, bytes]:
    import gzip

    import nibabel

    generator = np.random.default_rng(2)
    found = {}
    for name, values in (
        ("short", generator.integers(-99, 999, (9, 8, 7), dtype=np.int16)),
        ("float", generator.random((7, 9, 8), np.float32)),
    ):
        plain = nibabel.Nifti1Image(values, np.diag([1.0, 2, 3, 1])).to_bytes()
        found |= {f"{name}.nii": plain, f"{name}.nii.gz": gzip.compress(plain)}
    second = nibabel.Nifti2Image(generator.random((7, 9, 8), np.float32), np.eye(4)).to_bytes()
    return found | {"second.nii": second}


def _pyramid() -> bytes:
    import tifffile

    generator = np.random.default_rng(3)
    pixels = generator.integers(0, 200, (256, 256, 3), dtype=np.uint8)
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream, bigtiff=False) as file:
        for step in (1, 2):
            file.write(
                pixels[::step, ::step], tile=(64, 64), photometric="rgb", subfiletype=step > 1
            )
    return stream.getvalue()


def write_sources(
    folder: pathlib.Path, seeds: dict[str, bytes], count: int, generator: np.random.Generator
) -> None:
    """Writes damaged sources, all kinds in turn, and damaged series, each in a folder."""
    whole = source_seeds()
    with zipfile.ZipFile(io.BytesIO(whole["stored.zip"])) as archive:
        archive.extractall(folder)  # what the lists name
    kinds, contents = [*seeds, "series"], list(seeds.values())
    for index in range(count):
        kind = kinds[index % len(kinds)]
        if kind == "series":
            _write_series(folder / f"{index:05}_series", generator)
            continue
        content = mutated(seeds[kind], contents, generator)
        (folder / f"{index:05}_{kind}").write_bytes(content)


def _write_series(folder: pathlib.Path, generator: np.random.Generator) -> None:
    from tests.support.dicom_series import volume, write_series

    order = generator.permutation(6)
    write_series(folder, volume(6, 12, 10, seed=int(generator.integers(99))), order)
    paths = sorted(folder.iterdir())
    others = [path.read_bytes() for path in paths]
    for path in generator.choice(len(paths), int(generator.integers(1, 4)), replace=False):
        content = paths[path].read_bytes()
        head, rest = content[132:900], content[900:]
        changed = mutated(head, others, generator)
        paths[path].write_bytes(content[:132] + changed + rest)


PROGRAM = """
import json, pathlib, sys, time
import numpy as np
from examine_jax.images import load_images, stream_images
from examine_jax.images.decoding.slicing import Slicing

found = {"read": 0, "refused": 0, "images": 0, "skipped": [], "wrong": [], "other_error": []}
found["longest_wait_seconds"] = 0.0
for path in sorted(pathlib.Path(sys.argv[1]).glob("[0-9]*_*")):
    started = time.perf_counter()
    plane = "coronal" if int(path.name[:5]) % 3 == 0 and path.is_dir() else None
    options = {"image_size": 12, "bits_stored": 16, "slicing": Slicing(plane)}
    try:
        images = load_images(path, **options)
        found["read"] += 1
        found["images"] += len(images)
        found["skipped"] += [[f"{path.name}/{one.name}", one.reason] for one in images.skipped]
        streamed = stream_images(path, **options)
        pixels = dict(zip(images.names, images.pixels))
        for row in range(0, len(streamed), 5):
            try:
                own = streamed[np.array([row])][0]
            except ValueError:
                continue
            name = streamed.names[row]
            if name in pixels and not np.array_equal(own, pixels[name]) and "tif" not in name:
                found["wrong"].append(f"{path.name}/{name}")
    except ValueError as error:
        found["refused"] += 1
        if chr(10) in str(error):
            found["wrong"].append(f"{path.name}: {error}")
    except BaseException as error:
        found["other_error"].append(f"{path.name}: {type(error).__name__}: {error}")
    seconds = time.perf_counter() - started
    found["longest_wait_seconds"] = max(found["longest_wait_seconds"], seconds)
print(json.dumps(found))
"""


def main(arguments: list[str]) -> None:
    del arguments
    generator = np.random.default_rng(flags.FLAGS["seed"].value)
    slide = None
    if _SLIDE.value:
        slide = pathlib.Path(_SLIDE.value).read_bytes()[:200_000]
    seeds = source_seeds(slide)
    totals = {"sources": 0, "read": 0, "refused": 0, "images": 0, "skipped": 0}
    worst = {"longest_wait_seconds": 0.0, "growth_bytes": 0}
    trouble: list[Any] = []
    with tempfile.TemporaryDirectory() as own:
        for start in range(0, _SOURCES.value, _AT_ONCE):
            folder = pathlib.Path(own) / f"sources_{start:05}"
            folder.mkdir()
            count = min(_AT_ONCE, _SOURCES.value - start)
            write_sources(folder, seeds, count, generator)
            found = watched(PROGRAM, folder)
            totals["sources"] += count
            for key in ("read", "refused", "images"):
                totals[key] += found.get(key, 0)
            for key in worst:
                worst[key] = max(worst[key], found.get(key, 0))
            totals["skipped"] += len(found.get("skipped", []))
            trouble += [
                [name, reason]
                for name, reason in found.get("skipped", [])
                if kind_of(reason) != "other"
            ]
            trouble += found.get("wrong", []) + found.get("other_error", [])
            if found["code"] or found["printed_beside"]:
                trouble.append([folder.name, found["code"], found["printed_beside"]])
            print(folder.name, totals, file=sys.stderr)
    record = {
        "what": "archives, lists, volumes, slides and series damaged at random, read twice",
        "seed": flags.FLAGS["seed"].value,
        "kinds": len(seeds) + 1,
        **totals,
        **worst,
        "trouble": trouble,
        "versions": package_versions(),
    }
    print(json.dumps(record, indent=1))
    if flags.FLAGS["output"].value:
        write_text(pathlib.Path(flags.FLAGS["output"].value), json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
