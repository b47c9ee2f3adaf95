"""The formats of boxes by name: a file a format, and a line here."""

import os
from collections.abc import Callable, Mapping

from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.labelled.boxes.coco import read_coco, write_coco, write_coco_results
from examine_jax.labelled.boxes.csv_boxes import read_csv_boxes, write_csv_boxes
from examine_jax.labelled.boxes.cvat import write_cvat
from examine_jax.labelled.boxes.gathering import SizeOf
from examine_jax.labelled.boxes.label_studio import write_label_studio
from examine_jax.labelled.boxes.problems import Problem
from examine_jax.labelled.boxes.vindr import read_vindr
from examine_jax.labelled.boxes.voc import read_voc, write_voc
from examine_jax.labelled.boxes.yolo import read_yolo, write_yolo

# (path, the sizes of images, the known classes or None) to the boxes and what is wrong.
Read = Callable[
    [str | os.PathLike[str], SizeOf, tuple[str, ...] | None],
    tuple[BoxSet, tuple[Problem, ...]],
]
Write = Callable[[str | os.PathLike[str], BoxSet], None]

READERS: Mapping[str, Read] = {
    "coco": read_coco,
    "csv": read_csv_boxes,
    "vindr": read_vindr,
    "voc": read_voc,
    "yolo": read_yolo,
}
WRITERS: Mapping[str, Write] = {
    "coco": write_coco,
    "coco_results": write_coco_results,
    "csv": write_csv_boxes,
    "cvat": write_cvat,
    "label_studio": write_label_studio,
    "voc": write_voc,
    "yolo": write_yolo,
}
