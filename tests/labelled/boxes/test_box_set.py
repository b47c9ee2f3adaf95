"""Box sets: what they hold, choosing from them, scaling, and the checks of boxes."""

import numpy as np
import pytest

from examine_jax.labelled.boxes import BoxSet, box_areas, match_images, named_images
from examine_jax.labelled.boxes.checking import check_boxes


def boxes(corners, image=None, label=None, **more) -> BoxSet:  # type: ignore[no-untyped-def]
    corners = np.array(corners, float).reshape(-1, 4)
    zero = np.zeros(len(corners), int)
    fields = {
        "images": ("a/0.png", "a/1.png", "b/2.dicom"),
        "sizes": np.array([[100, 200], [50, 50], [10, 20]]),
        "classes": ("red", "white"),
        "image": zero if image is None else np.array(image, int),
        "label": zero if label is None else np.array(label, int),
        "corners": corners,
    }
    return BoxSet(**{**fields, **more})  # type: ignore[arg-type]


SOME = boxes(
    [[0, 0, 10, 10], [5, 5, 20, 30], [1, 2, 3, 4], [0, 0, 50, 50]],
    [1, 0, 2, 1],
    [0, 1, 1, 1],
    reader=np.array([0, 1, 1, 1]),
    readers=("R8", "R9"),
    readings=np.array([[0, 0], [0, 1], [1, 0], [1, 1], [2, 1]]),
    area=np.array([100.0, 375.0, 4.0, 2500.0]),
)


def test_rows_of_an_image_are_those_of_a_plain_loop() -> None:
    for image in range(3):
        loop = [row for row in range(4) if SOME.image[row] == image]
        assert SOME.of_image(image).tolist() == loop
    assert SOME.counts().tolist() == [1, 2, 1]
    assert boxes([]).of_image(0).tolist() == []


def test_selected_images_come_in_the_order_that_is_asked_for() -> None:
    chosen = SOME.select([2, 1])
    assert chosen.images == ("b/2.dicom", "a/1.png")
    assert chosen.image.tolist() == [0, 1, 1]
    assert np.array_equal(chosen.corners, SOME.corners[[2, 0, 3]])
    assert chosen.readings.tolist() == [[1, 0], [1, 1], [0, 1]]
    assert SOME.select([]).images == ()


def test_classes_are_joined_by_name() -> None:
    other = SOME.with_classes(("blue", "white"))
    assert other.classes == ("blue", "white")
    assert other.label.tolist() == [1, 1, 1]
    assert np.array_equal(other.corners, SOME.corners[1:])


def test_a_readers_boxes_are_on_the_images_that_the_reader_saw() -> None:
    own = SOME.of_reader(0)
    assert own.images == ("a/0.png", "a/1.png")
    assert own.corners.tolist() == [[0, 0, 10, 10]]


def test_scaling_is_by_axis_and_keeps_the_area_per_box() -> None:
    scaled = SOME.scaled_to(512, 256)
    assert scaled.corners[1].tolist() == [5 * 1.28, 5 * 5.12, 20 * 1.28, 30 * 5.12]
    np.testing.assert_allclose(scaled.area, box_areas(scaled))
    with pytest.raises(ValueError, match=r"size of 'a/0.png' is not known"):
        boxes([[0, 0, 1, 1]], sizes=np.full((3, 2), -1)).scaled_to(5, 5)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"image": [7]}, "image must be within 0 .. 2"),
        ({"label": [2]}, "label must be within 0 .. 1"),
        ({"score": np.zeros(2)}, "score"),
        ({"images": ("a", "b", "a")}, "the image 'a' is there twice"),
        ({"sizes": np.zeros((2, 2), int)}, "sizes .* for 3 images"),
    ],
)
def test_a_set_that_contradicts_itself_is_refused(changed: dict, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        boxes([[0, 0, 1, 1]], **changed)


def test_bad_boxes_are_left_out_and_the_rest_is_clipped() -> None:
    bad = [
        [np.nan, 0, 5, 5],
        [0, 0, np.inf, 5],
        [5, 5, 5, 9],
        [9, 5, 5, 9],
        [200, 5, 230, 9],
        [-9, 5, 0, 9],
        [5, 5, 5.0001, 9],
    ]
    good = [[-3, 5, 9, 9], [190, 90, 210, 101], [0, 0, 200, 100], [3, 3, 4, 4], [5, 5, 9, 9]]
    lines = np.arange(12) + 2
    found, problems = check_boxes(boxes(bad + good, line=lines, files=("boxes.csv",)))
    assert found.corners[:3].tolist() == [[0, 5, 9, 9], [190, 90, 200, 100], [0, 0, 200, 100]]
    assert len(found) == 5
    assert [problem.line for problem in problems] == [2, 3, 4, 5, 6, 7, 8, 9]
    assert [problem.kept for problem in problems] == [False] * 7 + [True]
    assert "2 of 12 boxes reach past" in problems[-1].reason
    assert problems[0].skipped().reason.startswith("boxes.csv, line 2: the box nan, 0, 5, 5")


def test_boxes_in_other_pixels_are_refused_with_the_likely_cause() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 1500, (30, 2))
    originals = np.concatenate([low, low + 300], axis=1)
    with pytest.raises(ValueError, match="the originals of these images"):
        check_boxes(boxes(originals, sizes=np.full((3, 2), 512)))
    with pytest.raises(ValueError, match="shares of the image's sides"):
        check_boxes(boxes(originals / 2000))
    with pytest.raises(ValueError, match="height and width may be swapped"):
        check_boxes(boxes([[20, 110, 90, 180]] * 4))
    # One bad box in a small set is a problem of this box alone.
    assert len(check_boxes(boxes([[0, 0, 9, 9], [0, 0, 9, 9], [900, 0, 990, 9]]))[0]) == 2


def test_images_are_found_by_path_name_or_stem() -> None:
    file = boxes(
        [[0, 0, 50, 50]] * 3, [0, 1, 2], images=("x/a/0.png", "1", "2.jpg"), files=("f.csv",)
    )
    names = ("b/2.dicom", "a/0.png", "c/0.png", "a/1.png")
    sizes = np.array([[10, 20], [200, 400], [7, 7], [50, 50]])
    joined, problems = match_images(
        BoxSet(**{**vars(file), "sizes": np.array([[100, 200], [50, 50], [100, 100]])}),
        names,
        sizes,
    )
    assert joined.images == names
    assert joined.image.tolist() == [1, 3, 0]
    assert joined.corners.tolist() == [[0, 0, 100, 100], [0, 0, 50, 50], [0, 0, 10, 5]]
    assert len(problems) == 1
    assert problems[0].kept
    assert problems[0].image == "c/0.png"
    assert named_images(file, names).tolist() == [True, True, False, True]


def test_images_that_are_missing_or_ambiguous_are_problems() -> None:
    file = boxes([[0, 0, 5, 5]] * 4, [0, 1, 2, 2], images=("0.png", "none.png", "1.png"))
    joined, problems = match_images(file, ("a/0.png", "b/0.png", "1.png"), np.full((3, 2), 50))
    assert joined.counts().tolist() == [0, 0, 2]
    reasons = [problem.reason for problem in problems if not problem.kept]
    assert "several images have this name" in reasons[0]
    assert "there is no such image; its boxes (1) are left out" in reasons[1]
    with pytest.raises(ValueError, match="none of its 3 images is among"):
        match_images(file, ("q.png",), np.full((1, 2), 50))


def test_ids_with_dots_are_no_suffixes() -> None:
    file = boxes([[0, 0, 5, 5]], images=("1.2.840.1", "1.2.840.2", "x"))
    joined, _ = match_images(file, ("t/1.2.840.2.dcm", "t/1.2.840.1.dcm"), np.full((2, 2), 50))
    assert joined.image.tolist() == [1]


def test_sizes_in_the_wrong_order_are_refused() -> None:
    with pytest.raises(ValueError, match="EXIF tag"):
        match_images(boxes([[0, 0, 5, 5]]), ("0.png",), np.array([[200, 100]]))
