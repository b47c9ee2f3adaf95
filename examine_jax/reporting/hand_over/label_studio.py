"""Tasks for Label Studio, in the order of labelling."""

import dataclasses
import json
import pathlib
import urllib.parse

from examine_jax.common.atomic_files import write_text
from examine_jax.reporting.hand_over.chosen import ChosenImages

FILE = "label_studio.json"


@dataclasses.dataclass(frozen=True)
class LabelStudio:
    """label_studio.json: a task an image, in Label Studio's basic JSON format.

    The images are local files (`/data/local-files/?d=PATH`). PATH is relative to the folder of the
    images, or to the workdir if the images were written there. Start Label Studio with
    LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and with that folder as
    LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT, add it as local storage, and order the tasks by `order`.

    Source: https://labelstud.io/guide/task_format and https://labelstud.io/guide/storage.
    """

    needs_files: bool = True

    def write(self, workdir: pathlib.Path, chosen: ChosenImages) -> None:
        tasks = []
        for image in chosen.images:
            assert image.file is not None  # needs_files
            below = image.file.relative_to(chosen.root).as_posix()
            tasks.append(
                {
                    "data": {
                        "image": "/data/local-files/?d=" + _quoted(below),
                        "name": image.name,
                        "order": image.order,
                        "index": image.index,
                        "group": image.group,
                        "covers": image.covers,
                        "nearest_chosen": image.nearest_chosen,
                    }
                }
            )
        write_text(workdir / FILE, json.dumps(tasks, indent=1) + "\n")

    def remove(self, workdir: pathlib.Path) -> None:
        (workdir / FILE).unlink(missing_ok=True)


def _quoted(path: str) -> str:
    return urllib.parse.quote(path, errors="surrogateescape")
