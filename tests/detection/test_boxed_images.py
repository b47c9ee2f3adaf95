"""Images and boxes are joined by name, in the images' own pixels."""

import json

import numpy as np
import pytest
from PIL import Image

from examine_jax.detection.boxed_images import read_boxed_images
from examine_jax.detection.training import large_enough, pad_boxes

SIZES = {"a.png": (40, 80), "sub/b.png": (64, 64), "c.png": (20, 10)}  # height, width


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    (root / "sub").mkdir()
    for name, (height, width) in SIZES.items():
        Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(root / name)
    return root


def write(path, boxes, images=SIZES):
    """A COCO file with gaps in its ids; boxes are (image, x, y, width, height)."""
    ids = {name: 10 * (place + 1) for place, name in enumerate(images)}
    document = {
        "images": [
            {"id": ids[name], "file_name": name, "height": size[0], "width": size[1]}
            for name, size in images.items()
        ],
        "categories": [{"id": 7, "name": "cell"}, {"id": 3, "name": "clump"}],
        "annotations": [
            {"id": place, "image_id": ids[name], "category_id": 7, "bbox": list(box), "iscrowd": 0}
            for place, (name, *box) in enumerate(boxes)
        ],
    }
    path.write_text(json.dumps(document))
    return path


def test_boxes_follow_their_images_when_these_are_squashed(folder, tmp_path):
    file = write(tmp_path / "b.json", [("sub/b.png", 8, 16, 32, 16), ("a.png", 0, 10, 80, 20)])
    boxed = read_boxed_images(folder, file, image_size=(32, 64))
    assert boxed.boxes.images == boxed.images.names == ("a.png", "c.png", "sub/b.png")
    assert boxed.boxes.classes == ("cell", "clump")
    found = {
        boxed.boxes.images[image]: corners.tolist()
        for image, corners in zip(boxed.scaled_boxes.image, boxed.scaled_boxes.corners)
    }
    assert found == {"a.png": [0, 8, 64, 24], "sub/b.png": [8, 8, 40, 16]}


def test_images_that_the_file_does_not_name_are_left_out_and_listed(folder, tmp_path):
    named = {name: SIZES[name] for name in ("a.png", "c.png")}
    file = write(tmp_path / "b.json", [("a.png", 0, 0, 10, 10)], named)
    boxed = read_boxed_images(folder, file, image_size=(32, 32))
    assert boxed.images.names == ("a.png", "c.png")
    assert boxed.left_out == ("sub/b.png",)
    assert any(row.name == "sub/b.png" and "left out" in row.reason for row in boxed.skipped())
    assert boxed.boxes.counts().tolist() == [1, 0]


def test_images_that_the_file_does_not_name_can_be_negatives(folder, tmp_path):
    file = write(tmp_path / "b.json", [("a.png", 0, 0, 10, 10)], {"a.png": SIZES["a.png"]})
    boxed = read_boxed_images(folder, file, image_size=(32, 32), unnamed="negative")
    assert boxed.boxes.counts().tolist() == [1, 0, 0]


def test_a_file_of_other_images_is_refused(folder, tmp_path):
    file = write(tmp_path / "b.json", [("z.png", 0, 0, 10, 10)], {"z.png": (40, 40)})
    with pytest.raises(ValueError, match="none of its 1 images"):
        read_boxed_images(folder, file, image_size=(32, 32))


def test_a_box_that_becomes_thinner_than_a_pixel_is_a_problem(folder, tmp_path):
    file = write(tmp_path / "b.json", [("a.png", 0, 0, 1, 40), ("a.png", 0, 0, 40, 20)])
    boxes, problems = large_enough(
        read_boxed_images(folder, file, image_size=(32, 32)).scaled_boxes
    )
    assert len(boxes) == 1
    (problem,) = problems
    assert (problem.image, problem.line, problem.kept) == ("a.png", 0, False)
    assert "0.4 pixels thin" in problem.reason


def test_boxes_are_padded_to_rows_of_one_length(folder, tmp_path):
    file = write(tmp_path / "b.json", [("c.png", 0, 0, 5, i + 1) for i in range(9)])
    boxes = read_boxed_images(folder, file, image_size=(32, 32)).boxes
    padded = pad_boxes(boxes)
    assert padded.boxes.shape == (3, 16, 4)
    assert padded.mask.sum(axis=1).tolist() == [0, 9, 0]
    assert padded.boxes[1, :9, 3].tolist() == [*range(1, 10)]
    assert not padded.boxes[~padded.mask].any()
