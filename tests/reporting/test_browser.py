"""The page in a real browser: tables sort and filter, pictures open large, names stay text."""

import pathlib
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from examine_jax.reporting import page as reporting
from examine_jax.reporting.tables import rank_by_gap
from tests.support.names import HOSTILE_NAMES

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    with playwright.sync_playwright() as started:
        if found is None and not pathlib.Path(started.chromium.executable_path).exists():
            pytest.skip(
                "no browser: install chromium (Debian's package, or `playwright install chromium`)"
            )
        opened = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield opened
        opened.close()


def _report(names: tuple[str, ...]) -> reporting.Report:
    count = len(names)
    gap = np.linspace(0.5, 20, count)
    pixels = np.random.default_rng(0).integers(0, 256, (count, 12, 12, 3), dtype=np.uint8)
    highest, lowest = reporting.ranked_images(
        names, np.exp(-gap), gap, gap * 1e-7, rank_by_gap(gap), pixels=pixels, pictured=3
    )
    pictured = tuple(
        reporting.PicturedImage(name, str(place), (name,), reporting.picture(pixels[place]))
        for place, name in enumerate(names)
    )
    rows = tuple((name, f"{(7 * place) % count}", "") for place, name in enumerate(names))
    decision = reporting.Decision(
        usability="Look.",
        selection="Label.",
        asked=True,
        findings=(reporting.FindingGroup("blurred", "It is.", count, pictured[:2]),),
        finding_rows=(
            ("blurred", "2", "1%", "left out", "3", "why"),
            ("blank", "11", "2%", "stay", "-1e3", "why"),
        ),
        chosen=pictured,
        to_label=reporting.Table("All", ("image", "covers", "group"), rows),
    )
    return reporting.Report(
        "t", "h", {}, highest, lowest, decision=decision, privacy=reporting.PATIENTS_PIXELS
    )


@pytest.fixture(scope="module")
def shown(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The page of images with hostile names, opened from a file."""
    file = tmp_path_factory.mktemp("page") / "report.html"
    reporting.write_report(file, _report(HOSTILE_NAMES))
    tab = browser.new_page()
    tab.problems, tab.requested = [], []
    tab.on("console", lambda message: tab.problems.append(message.text))
    tab.on("pageerror", lambda error: tab.problems.append(str(error)))
    tab.on("dialog", lambda dialog: tab.problems.append("an alert"))
    tab.on("request", lambda request: tab.requested.append(request.url))
    tab.goto(file.as_uri())
    yield tab
    tab.close()


def test_names_stay_text_and_nothing_is_requested(shown: Any) -> None:
    assert shown.problems == []
    assert [url for url in shown.requested if not url.startswith("data:")] == [shown.url]
    assert shown.locator("script").count() == 1
    assert shown.locator("main b, main script").count() == 0
    texts = shown.locator("#label table th bdi").all_text_contents()
    assert sorted(texts) == sorted(HOSTILE_NAMES)


def _column(shown: Any, column: int) -> list[str]:
    cells = shown.locator(f"#label table tbody tr > :nth-child({column})").all_text_contents()
    return [cell.strip() for cell in cells]


def test_a_table_sorts_by_a_column_as_numbers_and_back(shown: Any) -> None:
    button = shown.locator("#label table button", has_text="covers")
    button.focus()
    shown.keyboard.press("Enter")
    values = [int(cell) for cell in _column(shown, 2)]
    assert values == sorted(values)
    assert shown.locator("#label th[aria-sort]").get_attribute("aria-sort") == "ascending"
    shown.keyboard.press("Enter")
    assert [int(cell) for cell in _column(shown, 2)] == values[::-1]
    shown.locator("#look table button", has_text="threshold").click()
    first = shown.locator("#look table tbody tr").first.text_content()
    assert "-1e3" in first


def test_a_table_is_filtered_by_words(shown: Any) -> None:
    field = shown.locator("#label input[type=search]")
    field.fill("script ALERT")
    visible = shown.locator("#label table tbody tr:visible")
    assert visible.count() == 1
    assert "<script>" in visible.text_content()
    assert shown.locator("#label output").text_content() == f"1 of {len(HOSTILE_NAMES)} rows"
    field.fill("")
    assert visible.count() == len(HOSTILE_NAMES)
    # A table of two rows needs no filter.
    assert shown.locator("#look input").count() == 0


def test_pictures_open_large_by_keyboard_and_focus_comes_back(shown: Any) -> None:
    zoom = shown.locator("#label .zoom")
    assert zoom.count() == len(HOSTILE_NAMES)
    zoom.nth(6).focus()
    shown.keyboard.press("Enter")
    dialog = shown.locator("dialog")
    assert dialog.is_visible()
    assert HOSTILE_NAMES[6] in dialog.locator("p").first.text_content()
    small = zoom.nth(6).locator("img").bounding_box()["width"]
    assert dialog.locator("img").bounding_box()["width"] > 2 * small
    shown.keyboard.press("ArrowRight")
    assert HOSTILE_NAMES[7] in dialog.locator("p").first.text_content()
    assert shown.locator("dialog img").count() == 1
    shown.keyboard.press("Escape")
    assert dialog.is_hidden()
    assert zoom.nth(7).evaluate("element => element === document.activeElement")
    assert shown.problems == []


def test_the_page_fits_a_telephone(shown: Any) -> None:
    shown.set_viewport_size({"width": 360, "height": 740})
    width = shown.evaluate("document.documentElement.scrollWidth")
    shown.set_viewport_size({"width": 1280, "height": 720})
    assert width <= 360


def test_without_scripts_the_page_shows_the_same(browser: Any, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "report.html"
    reporting.write_report(file, _report(("a.png", "b.png", "c.png")))
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(file.as_uri())
    assert tab.locator("#label img").count() == 3
    assert tab.locator("#label table tbody tr").count() == 3
    assert tab.locator("input, dialog").count() == 0
    context.close()
