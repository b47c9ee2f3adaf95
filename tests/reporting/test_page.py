"""The page is self-contained and shows hostile names as text."""

import base64
import dataclasses
import hashlib
import html.parser
import io
import types

import numpy as np
import pytest
from PIL import Image

from examine_jax.evaluation.noise_separation import noise_separation
from examine_jax.reporting import page as reporting
from examine_jax.reporting.headline import decision_headline, ranking_paragraph
from examine_jax.reporting.tables import rank_by_gap
from tests.support.names import HOSTILE_NAMES

_PIXEL = reporting.thumbnail(np.zeros((4, 4, 3), np.uint8))


class _Page(html.parser.HTMLParser):
    """The page's elements, and the text of every <bdi class=name>."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.names, self.text, self._inside = [], [], "", False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "bdi":
            self._inside = True
            self.names.append("")

    def handle_endtag(self, tag):
        if tag == "bdi":
            self._inside = False

    def handle_data(self, data):
        self.text += data
        if self._inside:
            self.names[-1] += data


def _report(names, **changes):
    count = len(names)
    gap = np.linspace(0.1, 1, count)
    pixels = np.random.default_rng(0).integers(0, 256, (count, 12, 12, 3), dtype=np.uint8)
    highest, lowest = reporting.ranked_images(
        names, np.exp(-gap), gap, gap * 1e-7, rank_by_gap(gap), pixels=pixels
    )
    values = {"title": "An assessment", "headline": "A finding.", "summary": {"images": str(count)}}
    return reporting.Report(**{**values, "highest": highest, "lowest": lowest, **changes})


def _decision(names):
    pictured = tuple(reporting.PicturedImage(name, name, names, _PIXEL) for name in names)
    table = reporting.Table(names[6], names, (names,), names[7])
    return reporting.Decision(
        usability=names[6],
        selection=names[6],
        asked=True,
        findings=tuple(reporting.FindingGroup(name, name, 2, pictured) for name in names),
        finding_rows=(names[:5], names[5:10]),
        chosen=pictured,
        coverage=reporting.Illustration(names[6], _PIXEL, names[6], names[6]),
        to_label=table,
        all_images=table,
    )


def test_a_suggestion_is_no_order_to_label():
    asked = reporting.Decision("u", "s", True)
    for decision, title in ((asked, "What to label first"), (None, "What to label")):
        decision = decision or dataclasses.replace(asked, asked=False)
        text = reporting.render_report(_report(["a", "b"], decision=decision))
        assert f"<h2>2. {title}</h2>" in text
        assert "3. EXAMINE" in text


def test_flags_in_sentences_are_code_that_does_not_break():
    decision = reporting.Decision("(--reference_images).", "--budget=2%.", False)
    text = reporting.render_report(_report(["a", "b"], decision=decision, headline="<i> --x=<i>"))
    assert "(<code>--reference_images</code>)." in text
    assert "<code>--budget=2%</code>." in text
    assert "&lt;i&gt; <code>--x</code>=&lt;i&gt;" in text
    assert "code { white-space: nowrap; }" in text


def test_the_page_says_look_and_never_discard():
    text = _Page(reporting.render_report(_report(["a", "b"], decision=_decision(("x",) * 10)))).text
    assert "Nothing is deleted" in text
    assert "can be a rare disease" in text
    for word in ("discard", "delete them", "remove them", "throw"):
        assert word not in text.lower()


def test_a_picture_is_exact_if_it_is_small_and_otherwise_at_most_480_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 1), dtype=np.uint8)
    small = Image.open(io.BytesIO(reporting.picture(pixels)))
    np.testing.assert_array_equal(np.asarray(small)[:, :, 0], pixels[:, :, 0])
    large = Image.open(io.BytesIO(reporting.picture(np.full((1000, 500, 3), 200, np.uint8))))
    assert large.format == "JPEG"
    assert large.size == (240, 480)
    assert not large.getexif()


def test_hostile_names_are_text_everywhere():
    skipped = tuple(
        types.SimpleNamespace(name=name, reason=f"cannot read {name}") for name in HOSTILE_NAMES
    )
    report = _report(
        HOSTILE_NAMES,
        title=HOSTILE_NAMES[6],
        headline=" ".join(HOSTILE_NAMES),
        summary={name: name for name in HOSTILE_NAMES},
        figures=tuple(reporting.Illustration(name, _PIXEL, name, name) for name in HOSTILE_NAMES),
        tables=(reporting.Table("t", HOSTILE_NAMES, (HOSTILE_NAMES,), HOSTILE_NAMES[7]),),
        duplicates=(HOSTILE_NAMES,),
        skipped=skipped,
        warnings=HOSTILE_NAMES,
        settings={name: name for name in HOSTILE_NAMES},
        versions={name: name for name in HOSTILE_NAMES},
        decision=_decision(HOSTILE_NAMES),
        ranking=HOSTILE_NAMES[6],
        privacy=HOSTILE_NAMES[6],
    )
    text = reporting.render_report(report)
    page = _Page(text)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"b", "iframe", "link", "object", "base", "form"}
    assert [tag for tag, _ in page.elements].count("script") == 1
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        if tag == "img":
            assert attributes["src"].startswith("data:image/png;base64,")
            assert "alt" in attributes
    for name in HOSTILE_NAMES:
        assert page.names.count(name) >= 4 - 2 * (name == ""), (
            name
        )  # gallery, ranking, duplicates, skipped
        assert f"cannot read {name}" in page.names
    described = {attributes["alt"] for tag, attributes in page.elements if tag == "img"}
    assert set(HOSTILE_NAMES) <= described


def test_page_neither_needs_nor_allows_outside_resources():
    text = reporting.render_report(_report(["a.png", "b.png"], decision=_decision(("x",) * 10)))
    page = _Page(text)
    policies = [
        attributes["content"]
        for tag, attributes in page.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    assert len(policies) == 1
    script = text.partition("<script>")[2].partition("</script>")[0]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    for rule in (
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
        f"script-src 'sha256-{digest}';",
    ):
        assert rule in policies[0]
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text
    links = [attributes["href"] for _, attributes in page.elements if "href" in attributes]
    targets = {f"#{attributes['id']}" for _, attributes in page.elements if "id" in attributes}
    assert set(links) <= targets


def test_gallery_and_rankings_show_names_scores_and_pictures():
    names = [f"image {index}.png" for index in range(100)]
    page = _Page(reporting.render_report(_report(names)))
    assert page.names[:24] == names[:12] + names[:-13:-1]
    assert page.names[24:64] == names[:20] + names[:-21:-1]
    pictures = [attributes["src"] for tag, attributes in page.elements if tag == "img"]
    assert len(pictures) == 24
    opened = Image.open(io.BytesIO(base64.b64decode(pictures[0].partition(",")[2])))
    assert opened.size == (12, 12)
    assert f"score {np.exp(-0.1):.6g}" in page.text


@pytest.mark.parametrize("count", [1, 2, 3, 39, 41])
def test_no_image_is_at_both_ends(count):
    gap = np.random.default_rng(0).random(count)
    highest, lowest = reporting.ranked_images(
        [str(index) for index in range(count)], gap, gap, gap, rank_by_gap(gap)
    )
    ranks = [image.rank for image in (*highest, *lowest[::-1])]
    assert ranks == sorted(set(ranks))
    assert ranks[0] == 1
    assert ranks[-1] == count
    assert all(
        image.gap == gap[image.index] and image.thumbnail is None for image in (*highest, *lowest)
    )


def test_page_without_pictures_or_extras_is_rendered():
    text = reporting.render_report(reporting.Report("t", "h", {}, (), ()))
    assert "What the score means" not in text
    assert "Files that were skipped" not in text
    assert "Exact duplicates" not in text


def test_long_lists_are_shortened_and_counted():
    skipped = tuple(types.SimpleNamespace(name=f"s{index}", reason="empty") for index in range(250))
    duplicates = tuple((f"d{index}", f"e{index}") for index in range(130))
    page = _Page(
        reporting.render_report(_report(["a", "b"], skipped=skipped, duplicates=duplicates))
    )
    assert "250 files were not read" in page.text
    assert "… and 150 more." in page.text
    assert "What the score means, and what it does not mean" in page.text
    assert "… and 30 more groups." in page.text
    assert "s99" in page.names
    assert "s100" not in page.names


def test_lone_surrogates_do_not_stop_the_page(tmp_path):
    reporting.write_report(tmp_path / "report.html", _report(["bad \udcff", "b"]))
    assert "bad \\udcff" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_noise_level_is_shown_where_known():
    gap = np.array([0.1, 0.2])
    pixels = np.zeros((2, 4, 4, 1), np.uint8)
    highest, lowest = reporting.ranked_images(
        ["a", "b"], gap, gap, gap, np.array([1, 2]), pixels=pixels, level=np.array([0.0, 0.3])
    )
    text = _Page(reporting.render_report(reporting.Report("t", "h", {}, highest, lowest))).text
    assert "clean" in text
    assert "noise δ = 0.3" in text


@pytest.mark.parametrize("shape", [(4, 4, 1), (300, 20, 3), (1, 1, 4), (20, 500, 2)])
def test_thumbnail_fits_its_box(shape):
    image = Image.open(io.BytesIO(reporting.thumbnail(np.full(shape, 200, np.uint8))))
    assert max(image.size) == min(160, max(shape[:2]))
    assert np.asarray(image).max() == 200


def test_versions_include_the_main_libraries():
    versions = reporting.package_versions()
    assert {"python", "jax", "numpy"} <= set(versions)


def test_headline_says_what_to_do():
    text = decision_headline(
        source="the folder scans",
        count=1000,
        to_look_at={"blurred": 8, "blank": 3},
        to_look_at_in_all=10,
        to_label=40,
        num_skipped=1,
        num_duplicate_groups=2,
    )
    assert text.startswith("1,000 images from the folder scans. Look at 10 of them before")
    assert "(8 blurred, 3 blank)" in text
    assert "Label the 40 images" in text
    assert "1 file could not be read" in text
    assert "2 groups of exact duplicates" in text


def test_headline_of_a_clean_set_without_a_budget_asks_for_nothing():
    text = decision_headline(source="x", count=1, to_look_at={}, to_look_at_in_all=0, to_label=0)
    assert text == "1 image from x."


def test_ranking_paragraph_counts_what_stands_out():
    gap = np.random.default_rng(0).normal(1.0, 0.01, 1000)
    gap[:7] = 3.0
    text = ranking_paragraph(encoder="an encoder", gap=gap)
    assert text.startswith("The images were described by an encoder")
    found = int(text.partition(" images stand out")[0].rpartition("; ")[2])
    expected = (gap > np.median(gap) + 3 * 1.4826 * np.median(np.abs(gap - np.median(gap)))).sum()
    assert found == expected


@pytest.mark.parametrize(
    "gap",
    [np.zeros(3), np.array([0.5]), np.array([-1e-7, 0.0, 1.0]), np.array([1.0, 1.0, 1.0, 9.0])],
)
def test_ranking_paragraph_handles_extreme_gaps(gap):
    text = ranking_paragraph(encoder="y", gap=gap)
    assert "nan" not in text
    assert "inf" not in text


def test_ranking_paragraph_reports_the_noise_experiment():
    level = np.repeat([0.0, 0.5, 1.0], 10)
    separation = noise_separation(level + 0.01 * np.arange(30), level)
    text = ranking_paragraph(encoder="y", gap=level, separation=separation)
    assert "AUROC of 1.000" in text
    assert "δ = 1" in text
