"""The layouts that there are. A new one is a file beside this one and a line here."""

from collections.abc import Mapping

from examine_jax.labelled.published.breakhis import breast
from examine_jax.labelled.published.chestx_ray14 import read_chestx_ray14
from examine_jax.labelled.published.colorectal_histology import colorectal
from examine_jax.labelled.published.isic_2016 import read_isic_2016
from examine_jax.labelled.published.isic_2019 import read_isic_2019
from examine_jax.labelled.published.layout import FileNameLayout, Layout
from examine_jax.labelled.published.pediatric_pneumonia import pneumonia
from examine_jax.labelled.published.shenzhen import read_shenzhen

LAYOUTS: Mapping[str, Layout] = {
    "isic_2019": read_isic_2019,
    "isic_2016": read_isic_2016,
    "chestx_ray14": read_chestx_ray14,
    "shenzhen": read_shenzhen,
}

FILE_NAME_LAYOUTS: Mapping[str, FileNameLayout] = {
    "breast": breast,
    "pneumonia": pneumonia,
    "colorectal": colorectal,
}
