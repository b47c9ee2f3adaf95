"""What a detector is trained on, and how."""

import dataclasses
import os
from typing import Literal

from examine_jax.common.settings import setting
from examine_jax.detection.augmentation import BoxAugmentation
from examine_jax.detection.faster_rcnn import FasterRCNN
from examine_jax.detection.presets import PRESETS, with_fitted_anchors
from examine_jax.detection.recipes import RECIPES, Recipe
from examine_jax.detection.repeat_factors import RepeatFactors
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.labelled.boxes.registry import READERS
from examine_jax.labelled.header_groups import GroupBy


@dataclasses.dataclass(frozen=True)
class DetectTrainSettings:
    """Images, boxes and the training; None: the preset's value."""

    images: str | os.PathLike[str] = setting(
        help="A folder, list or archive of images; DICOM too.", metavar="PATH", main=True
    )
    boxes: str | os.PathLike[str] = setting(
        help="COCO .json, a .csv file, or a folder of Pascal VOC or YOLO files.",
        metavar="PATH",
        main=True,
    )
    workdir: str | os.PathLike[str] = setting(
        help="Results go here; the detector into its folder detector.", metavar="FOLDER", main=True
    )
    encoder: str | os.PathLike[str] | None = setting(
        None,
        "A trained ResNet to start from: of launch.pretrain, transformers, timm or torchvision.",
        metavar="FOLDER",
        main=True,
    )
    init: str | os.PathLike[str] | None = setting(
        None,
        "A torchvision fasterrcnn_resnet50_fpn state to start from.",
        metavar="FILE.safetensors",
        main=True,
    )
    preset: Literal["small", "paper", "released_code"] = setting(
        "small", "The detector and its training.", main=True
    )
    steps: int | None = setting(
        None,
        "Training steps; the schedule is scaled to them. If not given: the preset's epochs.",
        minimum=1,
        main=True,
    )
    batch_size: int | None = setting(None, "Images a step.", minimum=1, main=True)
    image_size: tuple[int, ...] | None = setting(
        None,
        "Images are squashed to this size; boxes follow. One number: a square.",
        metavar="HEIGHT,WIDTH",
        minimum=32,
        main=True,
    )
    learning_rate: float | None = setting(None, "The largest learning rate.", main=True)
    seed: int = setting(0, "Of all random numbers.", minimum=0, main=True)
    validation_boxes: str | os.PathLike[str] | None = setting(
        None,
        "Boxes to measure by while training, on images of the same folder.",
        metavar="PATH",
        main=True,
    )
    group_by: GroupBy | None = setting(
        None,
        "With --validation_boxes: refuse validation images of a patient, study or series (by DICOM "
        "headers), folder or file that has training images.",
    )
    validate_every: int | None = setting(
        None, "Steps between two measurements. If not given: a tenth of the steps.", minimum=1
    )
    unnamed: Literal["left_out", "negative"] = setting(
        "left_out",
        "Images that the file of boxes does not name: not used, or taken as without a box.",
        main=True,
    )
    format: str | None = setting(
        None,
        "Of the boxes. If not given: by the file's name and content.",
        known=READERS,
        metavar="NAME",
    )
    channels: Literal["1", "3"] = setting("3", "1: grey, 3: colour.")
    anchors: Literal["boxes", "preset"] | None = setting(
        None, "Anchor sizes by the training boxes (small's default) or by the preset."
    )
    flip_horizontal: float | None = setting(
        None, "How often left and right are swapped.", minimum=0, maximum=1
    )
    flip_vertical: float | None = setting(
        None, "How often top and bottom are swapped.", minimum=0, maximum=1
    )
    scale: tuple[float, float] | None = setting(
        None, "Images are enlarged by a random factor of this range.", metavar="LOW,HIGH"
    )
    repeat_threshold: float | None = setting(
        None,
        "Classes on a smaller share of the images are repeated (LVIS); 0: none is.",
        minimum=0,
        maximum=1,
    )
    frozen_stages: int | None = setting(
        None, "The stem and so many stages of the encoder stay as they are.", minimum=0
    )
    batch_norm: Literal["batch", "running", "frozen"] | None = setting(
        None, "By the batch's statistics, by the encoder's, or with its scales too."
    )
    dtype: Literal["float32", "bfloat16"] = setting(
        "float32", "Of the computation; parameters are always float32."
    )
    intensity_range: tuple[float, float] | None = setting(
        None,
        "Black and white of grey DICOM values, rescaled. If not given: by their windows.",
        metavar="LOW,HIGH",
    )
    dicom_window: int = setting(1, "Which of a DICOM file's windows.", minimum=1)
    tensorboard: bool = setting(False, "Write event files too (needs tensorboardX).")

    def __post_init__(self) -> None:
        if self.encoder is not None and self.init is not None:
            raise ValueError(
                "--encoder and --init both say what the detector starts from: give one of them"
            )
        size = self.image_size or (32,)
        if len(size) > 2 or any(side < 32 or side % 32 for side in size):
            raise ValueError(
                f"--image_size={','.join(map(str, size))}: give height,width in multiples of 32"
            )
        if self.scale is not None and len(self.scale) != 2:
            raise ValueError("--scale takes two factors with a comma between them")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise ValueError(f"--learning_rate must be positive, got {self.learning_rate}")
        if self.group_by is not None and self.validation_boxes is None:
            raise ValueError("--group_by needs --validation_boxes=PATH")
        if self.validate_every is not None and self.validation_boxes is None:
            raise ValueError("--validate_every needs --validation_boxes=PATH")

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the network's input."""
        if self.image_size is not None:
            return self.image_size[0], self.image_size[-1]
        preset = PRESETS[self.preset](("any",), int(self.channels))
        return preset.height, preset.width

    @property
    def recipe(self) -> Recipe:
        """The training, with what is given here in place of the preset's values."""
        recipe = RECIPES[self.preset]
        changes: dict[str, object] = {}
        if self.learning_rate is not None:
            changes["learning_rate"] = self.learning_rate
        if self.repeat_threshold is not None:
            whole = recipe.repeat is not None and recipe.repeat.whole
            changes["repeat"] = (
                RepeatFactors(self.repeat_threshold, whole) if self.repeat_threshold else None
            )
        return dataclasses.replace(recipe, **changes)  # type: ignore[arg-type]

    def detector(self, boxes: BoxSet) -> FasterRCNN:
        """The network for these training boxes, which are in its pixels.

        Raises:
            ValueError: its settings do not fit one another.
        """
        height, width = self.input_size
        detector = PRESETS[self.preset](boxes.classes, int(self.channels))
        encoder = dataclasses.replace(detector.encoder, dtype=self.dtype)
        changes: dict[str, object] = {"height": height, "width": width, "encoder": encoder}
        by_boxes = self.preset == "small" if self.anchors is None else self.anchors == "boxes"
        if self.init is not None and self.anchors is None:
            by_boxes = False  # its proposals were trained with torchvision's anchors
        for field in ("frozen_stages", "batch_norm"):
            if getattr(self, field) is not None:
                changes[field] = getattr(self, field)
        changes["augmentation"] = self._augmentation(detector.augmentation)
        detector = dataclasses.replace(detector, **changes)  # type: ignore[arg-type]
        return with_fitted_anchors(detector, boxes) if by_boxes else detector

    def _augmentation(self, preset: BoxAugmentation) -> BoxAugmentation:
        changes = {
            name: getattr(self, name)
            for name in ("flip_horizontal", "flip_vertical", "scale")
            if getattr(self, name) is not None
        }
        return dataclasses.replace(preset, **changes)
