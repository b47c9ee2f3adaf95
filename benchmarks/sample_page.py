"""The README's picture: the main job's page of the sample, in a browser.

python -m benchmarks.sample_page --workdir=OUT, after `python -m launch.assess --workdir=OUT
--budget=18`. Needs playwright and chromium.
"""

import argparse
import io
import pathlib
import shutil

from PIL import Image

PICTURE = pathlib.Path(__file__).parent / "results" / "sample_page.png"
_WIDTH = 1000


def main() -> None:
    """Writes the picture: the page from its top to the first 12 images to label."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workdir", required=True, type=pathlib.Path)
    workdir = parser.parse_args().workdir
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": _WIDTH, "height": 800})
        page.goto((workdir / "report.html").resolve().as_uri())
        end = page.locator("#label .gallery li").nth(11).bounding_box()
        assert end is not None
        height = end["y"] + end["height"] + 16
        shown = page.screenshot(
            full_page=True, clip={"x": 0, "y": 0, "width": _WIDTH, "height": height}
        )
        browser.close()
    with Image.open(io.BytesIO(shown)) as picture:
        colours = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
        colours.save(PICTURE, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
