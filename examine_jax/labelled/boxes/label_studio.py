"""Label Studio: predictions to start drawing from, a JSON list of tasks.

Coordinates are percent of the image's sides. Each region has its score; the score of a prediction
is the mean of its regions'.
"""

import json
import os

from examine_jax.common.atomic_files import write_text
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.labelled.boxes.coco import sizes_to_write

_MODEL = "examine_jax"


def write_label_studio(
    path: str | os.PathLike[str],
    boxes: BoxSet,
    *,
    image_prefix: str = "",
    from_name: str = "label",
    to_name: str = "image",
) -> None:
    """Writes tasks with predictions, to be imported into Label Studio.

    Args:
        path: the JSON file.
        boxes: with the sizes of all images.
        image_prefix: what stands before an image's name, such as "/data/local-files/?d=".
        from_name: the name of the RectangleLabels tag of the project's configuration.
        to_name: the name of its Image tag.

    Raises:
        ValueError: an image's size is not known.
        OSError: the file cannot be written.
    """
    tasks = []
    sizes = sizes_to_write(boxes)
    for image, name in enumerate(boxes.images):
        height, width = sizes[image]
        regions = []
        rows = boxes.of_image(image).tolist()
        for row in rows:
            x_min, y_min, x_max, y_max = boxes.corners[row].tolist()
            region = {
                "id": f"{image}-{row}",
                "type": "rectanglelabels",
                "from_name": from_name,
                "to_name": to_name,
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": {
                    "x": 100 * x_min / width,
                    "y": 100 * y_min / height,
                    "width": 100 * (x_max - x_min) / width,
                    "height": 100 * (y_max - y_min) / height,
                    "rotation": 0,
                    "rectanglelabels": [boxes.classes[int(boxes.label[row])]],
                },
            }
            if boxes.score is not None:
                region["score"] = float(boxes.score[row])
            regions.append(region)
        prediction: dict[str, object] = {"model_version": _MODEL, "result": regions}
        if boxes.score is not None and rows:
            prediction["score"] = float(boxes.score[rows].mean())
        tasks.append({"data": {"image": image_prefix + name}, "predictions": [prediction]})
    write_text(path, json.dumps(tasks, ensure_ascii=False))
