"""Sets in their authors' folders whose file names tell class and group."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from examine_jax.labelled.published.breakhis import breast
from examine_jax.labelled.published.colorectal_histology import colorectal
from examine_jax.labelled.published.file_names import read_authors_folder
from examine_jax.labelled.published.pediatric_pneumonia import pneumonia
from examine_jax.labelled.published.registry import FILE_NAME_LAYOUTS
from examine_jax.studies.low_resource.set_description import describe

SLIDE = "BreaKHis_v1/histology_slides/breast/benign/SOB/adenosis/SOB_B_A_14-22549AB"


@pytest.mark.parametrize(
    ("read", "name", "expected"),
    [
        (breast, f"{SLIDE}/400X/SOB_B_A-14-22549AB-400-001.png", ("benign", "14-22549AB")),
        (breast, "400X/SOB_M_DC-14-2523-400-012.png", ("malignant", "14-2523")),
        (breast, f"{SLIDE}/100X/SOB_B_A-14-22549AB-100-001.png", None),
        (
            pneumonia,
            "chest_xray/train/PNEUMONIA/person1_bacteria_1.jpeg",
            ("pneumonia", "person 1"),
        ),
        (pneumonia, "chest_xray/test/PNEUMONIA/person1_virus_6.jpeg", ("pneumonia", "person 1")),
        (pneumonia, "chest_xray/train/NORMAL/IM-0115-0001.jpeg", ("normal", "IM-0115")),
        (
            pneumonia,
            "chest_xray/test/NORMAL/NORMAL2-IM-0381-0001.jpeg",
            ("normal", "NORMAL2-IM-0381"),
        ),
        (
            pneumonia,
            "chest_xray/train/NORMAL/NORMAL-1049278-0001.jpeg",
            ("normal", "patient 1049278"),
        ),
        (
            pneumonia,
            "chest_xray/train/PNEUMONIA/BACTERIA-1135262-0002.jpeg",
            ("pneumonia", "patient 1135262"),
        ),
        (
            pneumonia,
            "chest_xray/test/PNEUMONIA/VIRUS-1135262-0001.jpeg",
            ("pneumonia", "patient 1135262"),
        ),
        (pneumonia, "chest_xray/train/NORMAL/a.jpeg", ("normal", None)),
        (pneumonia, "chest_xray/readme.png", None),
        (
            colorectal,
            "Kather_texture_2016_image_tiles_5000/01_TUMOR/10009_CRC-Prim.tif",
            ("01_TUMOR", None),
        ),
        (colorectal, "larger/CRC-Prim.tif", None),
    ],
)
def test_class_and_group_are_those_of_the_name(
    read: object, name: str, expected: tuple[str, str | None] | None
) -> None:
    assert read(name) == expected  # type: ignore[operator]


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        (["NORMAL-7-0001", "NORMAL-7-0002", "NORMAL-8-0001"], 3),
        (["NORMAL-7-0001", "other", "another"], 4),  # what is not known is its own
        (["x", "y", "z"], None),
    ],
)
def test_groups_are_known_where_a_name_tells_one(
    tmp_path: pathlib.Path, names: list[str], groups: int | None
) -> None:
    virus = "v" if groups is None else "VIRUS-9-0001"
    for name in (*(f"NORMAL/{name}.png" for name in names), f"PNEUMONIA/{virus}.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name)
    assert (
        describe(read_authors_folder(str(tmp_path), "pneumonia", image_size=8, channels=3)).groups
        == groups
    )


def test_a_folder_of_another_layout_is_refused(tmp_path: pathlib.Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    for layout in FILE_NAME_LAYOUTS:
        with pytest.raises(ValueError, match="0 of 1 images in the"):
            read_authors_folder(str(tmp_path), layout, image_size=8, channels=3)
