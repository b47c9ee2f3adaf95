"""Tiles of whole slides a second, beside openslide alone; and the memory of a very large slide.

    python -m benchmarks.speed.slide_tiles --slide=SLIDE.svs --output=benchmarks/results/FILE.json

The region of the slide is repeated 3 x 3 times and stored as a pyramid of JPEG tiles, of which all
tiles are read. openslide alone reads each by `read_region` in one process. Times are CPU seconds of
all processes together, which other load on the machine hardly affects; tiles a second by the clock
are given beside them. Then a slide of 100,000 x 80,000 pixels is read, a tenth of it tissue.
"""

import io
import json
import os
import pathlib
import tempfile
import time
from collections.abc import Callable, Iterator

import numpy as np
import openslide
import psutil
import tifffile
from absl import app, flags
from PIL import Image

from examine_jax.common.atomic_files import write_text
from examine_jax.images import load_images
from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.parallel import Budget, available_cores
from examine_jax.images.decoding.slide import slide_tiles
from examine_jax.images.decoding.tiling import SlideTile, Tiling
from examine_jax.quality import describe
from examine_jax.reporting.page import package_versions

_SLIDE = flags.DEFINE_string("slide", None, "A slide of which the finest level fits into memory.")
_OUTPUT = flags.DEFINE_string(
    "output", None, "A JSON file for the record; printed alone if not given."
)
_LARGE = flags.DEFINE_bool("large", True, "Read the very large slide too.")

_ROUNDS, _TILE, _REPEATED = 3, 256, 3
_TILING = Tiling(mpp=None, tile=_TILE, tissue=0.0)
_SIZES = (_TILE, 224, 64)

Tiles = list[list[int]]


def main(arguments: list[str]) -> None:
    del arguments
    if _SLIDE.value is None:
        raise app.UsageError("--slide=SLIDE.svs is missing")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "repeated.svs"
        _write_repeated(_SLIDE.value, path)
        tiles, _ = slide_tiles(str(path), _TILING, Budget(10**8))
        record = {
            "what": f"{len(tiles)} tiles of {_TILE} pixels of {os.path.basename(_SLIDE.value)}, "
            f"repeated {_REPEATED} x {_REPEATED} times, JPEG tiles of 256 pixels",
            "sizes": {str(size): _compared(path, tiles, size) for size in _SIZES},
            "described": _described(path, tiles),
            "cores": available_cores(),
            "load_at_the_end": os.getloadavg()[0],
            "versions": {
                **package_versions(),
                "openslide": openslide.__library_version__,
                "openslide-python": openslide.__version__,
            },
        }
        if _LARGE.value:
            record["large"] = _large(pathlib.Path(folder) / "large.svs")
    print(json.dumps(record, indent=1))
    if _OUTPUT.value:
        write_text(pathlib.Path(_OUTPUT.value), json.dumps(record, indent=1) + "\n")


def _write_repeated(slide: str, path: pathlib.Path) -> None:
    with openslide.OpenSlide(slide) as opened:
        region = np.asarray(opened.read_region((0, 0), 0, opened.dimensions))[..., :3]
    pixels = np.tile(region, (_REPEATED, _REPEATED, 1))
    with tifffile.TiffWriter(path) as writer:
        for level in range(4):
            writer.write(
                pixels[:: 4**level, :: 4**level],
                subfiletype=int(level > 0),
                photometric="rgb",
                tile=(256, 256),
                compression="jpeg",
            )


def _compared(path: pathlib.Path, tiles: Tiles, size: int) -> dict[str, object]:
    """CPU milliseconds a tile, the median of some rounds in turn."""

    def alone(resize: bool) -> None:
        with openslide.OpenSlide(path) as opened:
            for x, y, width in tiles:
                image = opened.read_region((x, y), 0, (width, width))
                if resize:
                    image = image.convert("RGB").resize((size, size), Image.Resampling.LANCZOS)
                np.asarray(image)

    def in_this_process() -> None:
        decoder = ImageDecoder(size, 3, None, 10**8, 2**30, Budget(10**8), tiling=_TILING)
        for x, y, width in tiles:
            decoder.frames(SlideTile(str(path), "", x, y, width, _TILE))

    jobs: dict[str, Callable[[], object]] = {
        "openslide": lambda: alone(False),
        "openslide_and_pillow": lambda: alone(size != _TILE),
        "in_one_process": in_this_process,
        "load_images": lambda: load_images(path, image_size=size, tiling=_TILING),
    }
    load_images(path, image_size=size, tiling=_TILING)  # starts the workers
    cpu: dict[str, list[float]] = {name: [] for name in jobs}
    clock: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(_ROUNDS):
        for name, job in jobs.items():
            seconds, passed = _timed(job)
            cpu[name].append(1e3 * seconds / len(tiles))
            clock[name].append(len(tiles) / passed)
    middle = {name: float(np.median(values)) for name, values in cpu.items()}
    cores = available_cores()
    return {
        "cpu_milliseconds_a_tile": middle,
        "rounds": cpu,
        "tiles_a_second_by_the_clock": clock,
        # Tiles for a CPU second, ours over openslide's.
        "in_one_process_over_openslide": middle["openslide"] / middle["in_one_process"],
        "in_one_process_over_openslide_and_pillow": middle["openslide_and_pillow"]
        / middle["in_one_process"],
        # What all cores do together in a second, over openslide's one process on an idle machine.
        "load_images_on_all_cores_over_openslide": cores
        * middle["openslide"]
        / middle["load_images"],
        "load_images_on_all_cores_over_openslide_and_pillow": cores
        * middle["openslide_and_pillow"]
        / middle["load_images"],
    }


def _described(path: pathlib.Path, tiles: Tiles) -> dict[str, float]:
    """With what the main job measures of each tile."""
    seconds, _ = _timed(
        lambda: load_images(path, image_size=224, tiling=_TILING, describe=describe)
    )
    return {"cpu_milliseconds_a_tile": 1e3 * seconds / len(tiles)}


def _timed(job: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds of this process and its workers, and seconds by the clock."""
    begin, before = time.perf_counter(), _cpu_seconds()
    job()
    return _cpu_seconds() - before, time.perf_counter() - begin


def _cpu_seconds() -> float:
    """Of this process and its workers. A worker that ended in between is not counted."""
    times = [one.cpu_times() for one in (psutil.Process(), *psutil.Process().children())]
    return sum(one.user + one.system for one in times)


def _large(path: pathlib.Path) -> dict[str, object]:
    """Reads a slide of 100,000 x 80,000 pixels; the peak memory of each process."""
    width, height = 100_000, 80_000
    _write_large(path, width, height)
    tiling = Tiling(mpp=None, tile=1024, tissue=0.5)
    passed = time.perf_counter()
    images = load_images(path, image_size=64, tiling=tiling)
    workers = psutil.Process().children()
    return {
        "pixels": [width, height],
        "tiles": len(images),
        "seconds_by_the_clock": time.perf_counter() - passed,
        "peak_mib_of_workers": [_peak_mib(one.pid) for one in workers],
        "peak_mib": _peak_mib(os.getpid()),
    }


def _write_large(path: pathlib.Path, width: int, height: int) -> None:
    """Tissue in a tenth of the columns, from two encoded tiles a level."""
    stain = np.array((200, 90, 160)) + np.random.default_rng(0).integers(-20, 20, (1024, 1024, 3))
    columns, rows = -(-width // 1024), -(-height // 1024)

    def tiles(side: int) -> Iterator[bytes]:
        encoded = []
        for pixels in (np.full((side, side, 3), 240), stain[:side, :side]):
            stream = io.BytesIO()
            Image.fromarray(pixels.astype(np.uint8)).save(stream, "JPEG", quality=80, subsampling=0)
            encoded.append(stream.getvalue())
        for _ in range(rows):
            for column in range(columns):
                yield encoded[int(0.4 * columns <= column < 0.5 * columns)]

    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for level in range(4):
            side = 1024 // 4**level
            writer.write(
                tiles(side),
                shape=(-(-height // 4**level), -(-width // 4**level), 3),
                dtype=np.uint8,
                subfiletype=int(level > 0),
                photometric="ycbcr",
                subsampling=(1, 1),
                tile=(side, side),
                compression="jpeg",
            )


def _peak_mib(process: int) -> float:
    """The largest resident memory of a process so far."""
    status = pathlib.Path(f"/proc/{process}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    app.run(main)
