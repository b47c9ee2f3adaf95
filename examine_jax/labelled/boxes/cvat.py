"""CVAT: COCO 1.0 as CVAT imports it, to start drawing from.

COCO has no field for a prediction's score, so that it is an attribute of the box; give the label an
attribute `score` in CVAT to see it. The images' names must be those of the task.
"""

import json
import os

from examine_jax.common.atomic_files import write_text
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.labelled.boxes.coco import coco_document, sizes_to_write


def write_cvat(path: str | os.PathLike[str], boxes: BoxSet) -> None:
    """Writes a COCO file with scores and readers as attributes.

    Raises:
        ValueError: an image's size is not known.
        OSError: the file cannot be written.
    """
    sizes_to_write(boxes)
    write_text(path, json.dumps(coco_document(boxes, attributes=True), ensure_ascii=False))
