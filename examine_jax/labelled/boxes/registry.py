"""The formats of boxes by name: a file a format, and a line here."""

import os
from collections.abc import Callable, Mapping

from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.labelled.boxes.coco import read_coco, write_coco, write_coco_results
from examine_jax.labelled.boxes.csv_boxes import read_csv_boxes, write_csv_boxes
from examine_jax.labelled.boxes.gathering import SizeOf
from examine_jax.labelled.boxes.problems import Problem

# (path, the sizes of images, the known classes or None) to the boxes and what is wrong.
Read = Callable[
    [str | os.PathLike[str], SizeOf, tuple[str, ...] | None],
    tuple[BoxSet, tuple[Problem, ...]],
]
Write = Callable[[str | os.PathLike[str], BoxSet], None]

READERS: Mapping[str, Read] = {
    "coco": read_coco,
    "csv": read_csv_boxes,
}
WRITERS: Mapping[str, Write] = {
    "coco": write_coco,
    "coco_results": write_coco_results,
    "csv": write_csv_boxes,
}
