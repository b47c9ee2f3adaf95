"""All settings of the detection study; the defaults are the paper's."""

import dataclasses
from typing import Literal

from examine_jax.common.settings import setting
from examine_jax.detection.faster_rcnn import FasterRCNN
from examine_jax.detection.presets import PRESETS, with_fitted_anchors
from examine_jax.detection.recipes import RECIPES, Recipe
from examine_jax.detection.repeat_factors import RepeatFactors
from examine_jax.labelled.boxes.box_set import BoxSet
from examine_jax.pretraining import SGD, AdamW
from examine_jax.studies.common.checks import check_seeds
from examine_jax.training.optimiser import Optimiser


@dataclasses.dataclass(frozen=True)
class DetectionStudySettings:
    """Settings of the whole study. Stored folders know this class by its name.

    Attributes:
        preset: of the detector and of its training: "paper", "released_code" or "small".
        network: replaces the preset's detector, whatever its classes.
        pretrain_optimiser: of the pre-training.
        split_shares: of the training, validation and test images.
        blur_sigma, noise: ranges of the views' blur in pixels, and of their noise as a share of
            the view's mean.
    """

    preset: Literal["small", "paper", "released_code"] = "paper"
    network: FasterRCNN | None = None
    shares: tuple[float, ...] = setting(
        (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1),
        "Shares of the training images that are labelled; the others are pre-trained on.",
        main=True,
    )
    seeds: tuple[int, ...] = setting(
        (0, 1, 2),
        "Each seed is a repetition: split, choice of the labelled images, trainings. The paper has "
        "one.",
        minimum=0,
        main=True,
    )
    split: Literal["seed", "released"] = setting(
        "seed",
        "Images are divided at random, groups whole; or in the order of their first appearance in "
        "the file, as the released code does.",
        main=True,
    )
    split_shares: tuple[float, float, float] = (0.7, 0.1, 0.2)
    findings_only: bool = setting(
        True, "Leave out images without a box, as the paper does.", main=True
    )
    fuse_iou: float = setting(
        0.2, "A reader's box joins others if their IoU is above this.", minimum=0.0, maximum=1.0
    )
    fuse_order: Literal["csv", "released"] = setting(
        "csv",
        "Boxes fuse in the order of the file, or from the last to the first and rounded.",
        open_in_paper=True,
    )
    steps: int | None = setting(
        None,
        "Steps of each fine-tuning, for all shares. If not given: the preset's epochs, so that "
        "small shares train for fewer steps.",
        minimum=1,
        main=True,
    )
    batch_size: int | None = setting(
        None, "Images a step of fine-tuning; the preset's if not given.", minimum=1
    )
    learning_rate: float | None = setting(
        None, "Of fine-tuning; the preset's if not given.", open_in_paper=True
    )
    repeat_threshold: float = setting(
        0.4,
        "In fine-tuning, classes on a smaller share of the images are repeated; 0: none is.",
        minimum=0.0,
        maximum=1.0,
    )
    repeat_whole: bool = setting(
        False,
        "Repeat factors are rounded up (the released code), or drawn anew in each epoch.",
        open_in_paper=True,
    )
    transfer: bool = setting(
        True, "Pre-trained weights reach the detector; in the released code they do not."
    )
    random_row: bool = setting(
        True, "Fine-tune from random weights too, where another start is given."
    )
    pretrain_steps: int | None = setting(
        None, "Steps of each pre-training; replaces the epochs.", minimum=1, main=True
    )
    pretrain_epochs: int = setting(
        100, "Passes over the unlabelled images.", minimum=1, open_in_paper=True
    )
    pretrain_batch: int = setting(
        8, "Images a step of pre-training.", minimum=2, open_in_paper=True
    )
    pretrain_size: int | None = setting(
        None, "Side of the views in pixels; the detector's shorter side if not given.", minimum=8
    )
    pretrain_optimiser: Optimiser = dataclasses.field(
        default_factory=lambda: SGD(momentum=0.9, weight_decay=5e-4)
    )
    pretrain_learning_rate: float = setting(
        1e-3, "The largest rate of pre-training.", open_in_paper=True
    )
    pretrain_schedule: Literal["cosine", "constant"] = setting(
        "cosine",
        "The rate falls as a cosine; the released code makes that schedule and does not use it.",
        open_in_paper=True,
    )
    temperature: float = setting(0.5, "Of SimCLR's loss.", open_in_paper=True)
    projector: tuple[int, ...] = setting(
        (256, 128), "Widths of SimCLR's projector.", minimum=1, open_in_paper=True
    )
    equalise: bool = setting(
        True, "Images are equalised over their own range before pre-training, and only there."
    )
    normalise_views: bool = setting(
        False,
        "Views are scaled as the detector scales its images; if not, they stay in 0 to 1.",
        open_in_paper=True,
    )
    crop: float = setting(
        0.2, "The least share of an image's area in a view.", minimum=0.01, maximum=1.0
    )
    blur_kernel: int = setting(21, "Pixels of the views' blur, odd.", minimum=1)
    blur_sigma: tuple[float, float] = (0.1, 2.0)
    noise: tuple[float, float] = (0.125, 0.25)
    area_pixels: int = setting(
        512, "Small boxes are those below 32 x 32 pixels in an image of this side.", minimum=32
    )
    draws: int = setting(
        0, "Bootstrap draws of the test images for an interval of each row; 0: none.", minimum=0
    )

    def __post_init__(self) -> None:
        check_seeds(self.seeds)
        shares = self.shares
        if (
            not shares
            or not all(0 < share <= 1 for share in shares)
            or list(shares) != sorted(set(shares), reverse=True)
        ):
            raise ValueError(
                f"shares {shares}: give shares of the training images from 1 downwards, each once"
            )
        if self.preset not in PRESETS:
            raise ValueError(f"preset {self.preset!r}: there are {', '.join(PRESETS)}")
        if self.blur_kernel % 2 == 0:
            raise ValueError(f"blur_kernel {self.blur_kernel} must be odd")
        for name in ("pretrain_learning_rate", "temperature"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}")

    def template(self, classes: tuple[str, ...]) -> FasterRCNN:
        """The detector for these classes, before its anchors are fitted."""
        if self.network is not None:
            return dataclasses.replace(self.network, classes=classes)
        return PRESETS[self.preset](classes, 3)

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the detector's input."""
        detector = self.template(("any",))
        return detector.height, detector.width

    @property
    def view_size(self) -> int:
        """Side of the pre-training's views."""
        return self.pretrain_size or min(self.input_size)

    def detector(self, boxes: BoxSet, *, fit_anchors: bool) -> FasterRCNN:
        """The detector for the classes of these boxes.

        Args:
            boxes: in the detector's pixels; of labelled images alone.
            fit_anchors: whether the preset's anchors may give way to sizes from the boxes. Only
                those of "small" do.
        """
        found = self.template(boxes.classes)
        if self.preset != "small" or self.network is not None or not fit_anchors or not len(boxes):
            return found
        return with_fitted_anchors(found, boxes)

    @property
    def recipe(self) -> Recipe:
        """How the detector is trained."""
        recipe = RECIPES[self.preset]
        repeat = None
        if self.repeat_threshold:
            repeat = RepeatFactors(self.repeat_threshold, self.repeat_whole)
        recipe = dataclasses.replace(recipe, repeat=repeat)
        if self.learning_rate is not None:
            recipe = dataclasses.replace(recipe, learning_rate=self.learning_rate)
        return recipe


def detection_preset(name: str) -> DetectionStudySettings:
    """Returns the settings of a preset.

    Args:
        name: "paper": the text, with the released code's numbers where the text has none, pre-
            trained weights in the detector's backbone, and a loss over images. "released_code":
            the deviations of the authors' code that change results: the order of the file splits
            the images, boxes fuse from the last to the first, factors are rounded up, the first
            stage is frozen, and pre-trained weights never reach the detector, so that no
            pre-training is run. "small": for two CPU cores and any boxes: ResNet-18 of width 32
            at 192 x 256 pixels, equal steps for all shares, images without boxes kept, no
            equalisation.

    Raises:
        ValueError: there is no such preset.
    """
    if name == "paper":
        return DetectionStudySettings()
    if name == "released_code":
        return DetectionStudySettings(
            preset="released_code",
            split="released",
            fuse_order="released",
            repeat_whole=True,
            transfer=False,
            random_row=False,
            pretrain_schedule="constant",
        )
    if name == "small":
        return DetectionStudySettings(
            preset="small",
            shares=(1.0, 0.5, 0.2, 0.1),
            findings_only=False,
            steps=600,
            repeat_threshold=0.0,
            pretrain_steps=300,
            pretrain_batch=32,
            pretrain_size=128,
            pretrain_optimiser=AdamW(weight_decay=0.05),
            temperature=0.2,
            equalise=False,
            normalise_views=True,
        )
    raise ValueError(f"no preset is named {name!r}; there are: paper, released_code, small")
