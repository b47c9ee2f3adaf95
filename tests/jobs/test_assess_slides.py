"""What an assessment writes of whole slides, and what it shows on its page."""

import dataclasses
import io
import json
import pathlib
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from examine_jax.images import ImageSet
from examine_jax.images.decoding.header_identity import HeaderIdentity
from examine_jax.images.decoding.tiling import mark
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.header_identities import SourceHeaders
from examine_jax.jobs.assess import page
from examine_jax.jobs.assess import slides as slides_on_page
from examine_jax.jobs.assess.assessment import Assessment
from examine_jax.jobs.assess.page import write_assessment
from examine_jax.jobs.assess.settings import AssessSettings
from examine_jax.jobs.assess.slides import SlidesOnPage, write_slides
from examine_jax.jobs.headers import JobHeaders, PrivacySettings
from examine_jax.scoring import examine
from examine_jax.selection import Random, Selection
from tests.support.quick_charts import quick_charts  # noqa: F401
from tests.support.slides import save_slide, tissue_on_glass

pytest.importorskip("openslide", reason="slides need examine-jax[slides]")

NAMES = (
    "a/b.svs" + mark(256, 0, 256),
    "picture.png",
    "a_b.svs" + mark(256, 256, 256),
    "a/b.svs" + mark(256, 256, 256),
)


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("slides")
    (folder / "a").mkdir()
    save_slide(folder / "a" / "b.svs", tissue_on_glass(), mpp=0.5)
    save_slide(folder / "a_b.svs", tissue_on_glass())
    Image.new("RGB", (64, 64)).save(folder / "picture.png")
    return folder


@pytest.fixture
def assessment() -> Assessment:
    features = np.eye(4, dtype=np.float32)
    selection = Selection(
        indices=np.array([3, 1]),
        covers=np.ones(2, np.int64),
        nearest_chosen=np.array([-1, 3]),
        nearest_distance=np.array([np.inf, 1]),
        representative=np.arange(4),
        distance=np.zeros(4),
        num_usable=4,
        strategy=Random(),
        facts={},
    )
    return Assessment(
        names=NAMES,
        features=features,
        examination=examine(features),
        rank=np.arange(1, 5),
        preprocessing="none",
        images=ImageSet(NAMES, np.zeros((4, 2, 2, 3), np.uint8)),
        selection=selection,
        asked=True,
    )


@pytest.fixture
def plain_chart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Charts that cost nothing, where a test looks at other results."""
    stream = io.BytesIO()
    Image.new("RGB", (2, 2)).save(stream, "PNG")
    monkeypatch.setattr(slides_on_page, "slide_chart", lambda *given: stream.getvalue())


def _objects(file: pathlib.Path) -> list[str]:
    return [one["properties"]["objectType"] for one in json.loads(file.read_text())["features"]]


def test_each_slide_gets_a_folder_a_row_and_a_picture(
    slides: pathlib.Path, assessment: Assessment, tmp_path: pathlib.Path
) -> None:
    shown = write_slides(tmp_path, assessment, slides)
    folders = sorted(one.name for one in (tmp_path / "slides").iterdir())
    assert folders == ["a_b.svs", "a_b.svs~2"]  # of different slides
    assert _objects(tmp_path / "slides/a_b.svs/tiles.geojson") == ["tile", "tile", "annotation"]
    assert _objects(tmp_path / "slides/a_b.svs~2/tiles.geojson") == ["tile"]
    (table,) = shown.tables
    assert [row[:4] for row in table.rows] == [
        ("a/b.svs", "2", "640 x 512", "0.5"),
        ("a_b.svs", "1", "640 x 512", "unknown"),
    ]
    assert all(len(row) == len(table.header) for row in table.rows)
    assert [figure.title for figure in shown.figures.values()] == ["Slide a/b.svs", "Slide a_b.svs"]
    assert (tmp_path / "slides/a_b.svs/overview.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("plain_chart")
def test_names_that_are_hidden_stay_hidden(
    slides: pathlib.Path, assessment: Assessment, tmp_path: pathlib.Path
) -> None:
    hidden = tuple(name.replace("a/b", "image-17") for name in NAMES)
    private = dataclasses.replace(assessment, names=hidden, stored_names=NAMES, asked=False)
    shown = write_slides(tmp_path, private, slides)
    folders = sorted(one.name for one in (tmp_path / "slides").iterdir())
    assert folders == ["a_b.svs", "image-17.svs"]
    assert shown.tables[0].rows[0][0] == "image-17.svs"
    # Without a budget nothing is to label.
    assert _objects(tmp_path / "slides/image-17.svs/tiles.geojson") == ["tile", "tile"]


def test_files_of_an_earlier_run_go_and_others_stay(
    slides: pathlib.Path, assessment: Assessment, tmp_path: pathlib.Path
) -> None:
    for name in ("gone.svs", "kept.svs"):
        own = tmp_path / "slides" / name
        own.mkdir(parents=True)
        (own / "tiles.geojson").write_text("{}")
    (tmp_path / "slides/kept.svs/notes.txt").write_text("mine")
    pictures = dataclasses.replace(assessment, names=("1", "2", "3", "4"), images=assessment.images)
    assert write_slides(tmp_path, pictures, slides) == SlidesOnPage()
    left = sorted(str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*") if one.is_file())
    assert left == ["slides/kept.svs/notes.txt"]


@pytest.mark.usefixtures("plain_chart")
def test_a_slide_that_is_gone_is_said_to_be(
    slides: pathlib.Path, assessment: Assessment, tmp_path: pathlib.Path
) -> None:
    names = tuple(name.replace("a_b", "missing") for name in NAMES)
    shown = write_slides(tmp_path, dataclasses.replace(assessment, names=names), slides)
    assert shown.tables[0].rows[1][:3] == ("missing.svs", "1", "the slide is not there any more")
    assert len(shown.figures) == 1


@pytest.mark.usefixtures("plain_chart")
def test_reasons_and_errors_name_no_patient(
    slides: pathlib.Path,
    assessment: Assessment,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own = HeaderIdentity(patient="AB-47110", identifiers=("AB-47110",))
    headers = JobHeaders({"s": SourceHeaders({"d.dcm": own})}, PrivacySettings())
    private = dataclasses.replace(assessment, headers=headers)

    def damaged(*_: object) -> Iterator[UnreadableImage]:
        yield from [UnreadableImage("cannot read /x/AB-47110/b.svs")] * 2

    monkeypatch.setattr(slides_on_page, "slide_overviews", damaged)
    (table,) = write_slides(tmp_path, private, slides).tables
    assert all(row[2].startswith("cannot read /x/name-") for row in table.rows)

    def fails(*_: object) -> None:
        raise OSError("cannot read /x/AB-47110/b.svs")

    monkeypatch.setattr(page, "stored_images", fails)
    with pytest.raises(OSError, match=r"cannot read /x/name-\w+/b.svs"):
        write_assessment(tmp_path, private, AssessSettings(), source="s", device="cpu")
