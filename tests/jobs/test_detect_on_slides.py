"""Detection on whole slides: tiles are searched, and the file has the slide's boxes."""

import json
import pathlib
from typing import Any

import numpy as np
import pytest

from examine_jax.detection.boxed_images import read_boxed_images
from examine_jax.detection.training import Detector
from examine_jax.images.decoding.tiling import Tiling
from examine_jax.jobs.detect import detect
from examine_jax.jobs.detect.detect import DetectSettings, detect_boxes
from examine_jax.jobs.detect.page import _warnings
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.labelled.boxes.reading import read_boxes
from tests.support.slides import save_slide, tissue_on_glass
from tests.support.tiny_detector import HEIGHT, TINY, WIDTH

pytest.importorskip("openslide", reason="slides need examine-jax[slides]")


def test_boxes_on_tiles_are_written_in_pixels_of_the_slide(
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "images").mkdir()
    save_slide(tmp_path / "images" / "s.svs", tissue_on_glass())

    def one_box(detector: Any, pixels: Any, names: tuple[str, ...], **settings: Any) -> BoxSet:
        count = len(names)
        assert pixels.shape == (count, HEIGHT, WIDTH, 3)
        corners = np.tile([0.0, 0, WIDTH / 2, HEIGHT / 4], (count, 1))
        return BoxSet(
            names,
            np.tile([HEIGHT, WIDTH], (count, 1)),
            TINY.classes,
            np.arange(count),
            np.zeros(count, int),
            corners,
            np.full(count, 0.5),
        )

    monkeypatch.setattr(detect, "load_detector", lambda folder: Detector(TINY, {}, {}, {}))
    monkeypatch.setattr(detect, "predict_together", one_box)
    output, tiling = tmp_path / "p.csv", Tiling(overlap=128)
    settings = DetectSettings(tmp_path / "images", tmp_path, output)
    found = detect_boxes(settings, tiling=tiling)
    note = "s.svs does not state how many micrometres a pixel has"
    assert f"images: {note}" in capsys.readouterr().err
    assert _warnings(found)[0].startswith(note)
    assert _warnings(found)[1].startswith("The images are tiles of slides. The file has the 9 ")
    assert len(found.images) == 9  # tiles of 256 pixels, one every 128, in columns 128 to 512
    assert len(found.whole) == len(found.predictions) == 9
    written, _ = read_boxes(output, format="csv")
    assert written.images == ("s.svs",)
    # Each tile's left half is its neighbour's right half: all boxes differ.
    assert written.corners[0].tolist() == [128, 0, 256, 64]
    assert sorted(map(tuple, written.corners.tolist()))[-1] == (384, 256, 512, 320)
    # Ids of a COCO data set name slides too.
    truth = {
        "images": [{"id": 7, "file_name": "s.svs", "width": 640, "height": 512}],
        "categories": [{"id": 3 + row, "name": name} for row, name in enumerate(TINY.classes)],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [300, 10, 20, 20]}],
    }
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    output = tmp_path / "p.json"
    truth_file = tmp_path / "truth.json"
    settings = DetectSettings(tmp_path / "images", tmp_path, output, boxes=truth_file)
    detect_boxes(settings, tiling=tiling, progress=False)
    results = json.loads(output.read_text())
    assert {(one["image_id"], one["category_id"]) for one in results} == {(7, 3)}
    assert sorted(one["bbox"] for one in results)[-1] == [384, 256, 128, 64]
    assert len(results) == 9


def test_boxes_of_a_slide_train_on_its_tiles(tmp_path: pathlib.Path) -> None:
    (tmp_path / "images").mkdir()
    save_slide(tmp_path / "images" / "s.svs", tissue_on_glass(), mpp=0.5)
    (tmp_path / "b.csv").write_text(
        "image,class,x_min,y_min,x_max,y_max\ns.svs,cell,300,10,320,30\n"
    )
    boxed = read_boxed_images(tmp_path / "images", tmp_path / "b.csv", image_size=(64, 64))
    assert boxed.images.names == ("s.svs?x=256&y=0&w=256", "s.svs?x=256&y=256&w=256")
    assert boxed.boxes.corners.tolist() == [[44, 10, 64, 30]]
    assert boxed.boxes.counts().tolist() == [1, 0]  # the other tile is a negative
    assert boxed.scaled_boxes.corners.tolist() == [[11, 2.5, 16, 7.5]]
