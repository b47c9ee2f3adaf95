"""Groups by the names of images."""

import pytest

from examine_jax.labelled.name_groups import groups_by_name


def test_slices_tiles_and_frames_belong_to_their_file() -> None:
    names = [
        "p1/v.nii.gz?z=3",
        "p1/v.nii.gz?z=12~2",
        "p1/w.nii?x=0",
        "p2/s.svs?x=512&y=0&w=257",
        "p2/s.svs?x=769&y=0&w=257",
        "scan.dcm[3]",
        "scan.dcm[4]~2",
        "odd[name]?z=.png",
    ]
    assert groups_by_name(names, "file").tolist() == [
        *("p1/v.nii.gz", "p1/v.nii.gz", "p1/w.nii", "p2/s.svs", "p2/s.svs"),
        *("scan.dcm", "scan.dcm", "odd[name]?z=.png"),
    ]
    assert groups_by_name(names, "folder").tolist() == [
        *("p1", "p1", "p1", "p2", "p2"),
        *(".", ".", "."),
    ]
    assert groups_by_name(["a/b/c.png", "a/c.png", "/d/e.png"], "folder").tolist() == [
        *("a/b", "a", "/d"),
    ]


def test_names_that_tell_no_groups_say_so() -> None:
    with pytest.raises(ValueError, match="group_by=folder reads the images' names"):
        groups_by_name(None, "folder")
    with pytest.raises(ValueError, match=r"group_by=folder: all images are of one folder, '\.'"):
        groups_by_name(["a.png", "b.png"], "folder")
    assert groups_by_name(["a.png"], "folder").tolist() == ["."]
