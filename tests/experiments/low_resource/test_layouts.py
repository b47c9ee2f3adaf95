"""The study's sets in their authors' folders."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from examine_jax.experiments.low_resource.layouts import LAYOUTS, breast, colorectal, pneumonia, read_official

SLIDE = "BreaKHis_v1/histology_slides/breast/benign/SOB/adenosis/SOB_B_A_14-22549AB"


@pytest.mark.parametrize(
    ("read", "name", "told"),
    [
        (breast, f"{SLIDE}/400X/SOB_B_A-14-22549AB-400-001.png", ("benign", "14-22549AB")),
        (breast, "400X/SOB_M_DC-14-2523-400-012.png", ("malignant", "14-2523")),
        (breast, f"{SLIDE}/100X/SOB_B_A-14-22549AB-100-001.png", None),
        (pneumonia, "chest_xray/train/PNEUMONIA/person1_bacteria_1.jpeg", ("pneumonia", "person 1")),
        (pneumonia, "chest_xray/test/PNEUMONIA/person1_virus_6.jpeg", ("pneumonia", "person 1")),
        (pneumonia, "chest_xray/train/NORMAL/IM-0115-0001.jpeg", ("normal", "IM-0115")),
        (pneumonia, "chest_xray/test/NORMAL/NORMAL2-IM-0381-0001.jpeg", ("normal", "NORMAL2-IM-0381")),
        (pneumonia, "chest_xray/readme.png", None),
        (colorectal, "Kather_texture_2016_image_tiles_5000/01_TUMOR/10009_CRC-Prim.tif", ("01_TUMOR", None)),
        (colorectal, "larger/CRC-Prim.tif", None),
    ],
)
def test_class_and_group_are_those_of_the_name(read: object, name: str, told: tuple[str, str | None] | None) -> None:
    found = read(name)  # type: ignore[operator]
    if told is None:
        assert found is None
    else:
        assert found == (told[0], told[1] or name)


def test_a_folder_of_another_layout_is_refused(tmp_path: pathlib.Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    for layout in LAYOUTS:
        with pytest.raises(ValueError, match="0 of 1 images in the"):
            read_official(str(tmp_path), layout, image_size=8, channels=3)
