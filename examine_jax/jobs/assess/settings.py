"""The settings of the main job."""

import dataclasses
import os
from typing import Literal

from examine_jax.common.settings import setting
from examine_jax.features.preprocessing import PREPROCESSINGS, Preprocessing
from examine_jax.images import GaussianCorruption
from examine_jax.labelled.header_groups import GroupBy
from examine_jax.models.architectures import ARCHITECTURES
from examine_jax.pretraining import PretrainSettings, method_names
from examine_jax.scoring import Solver
from examine_jax.scoring.registry import SOLVERS
from examine_jax.selection import STRATEGIES, Strategy
from examine_jax.selection.budget import number_of_images


@dataclasses.dataclass(frozen=True)
class AssessSettings:
    """Everything that an assessment depends on, apart from the images.

    Z-scores use the statistics of the clean training images where the encoder's folder has them,
    otherwise those of the assessed images. An encoder that has seen the noise no longer finds it
    unusual: with `noise_training="clean_then_mixed"`, z-scored features separate the noise less.

    Attributes:
        training: the training settings. None: the architecture's recipe.
        noise: corrupts the assessed images, as the paper's proof of concept does (section 4.1).
            None: images as they are.
    """

    method: str = setting(
        "mae",
        "The method that trains the encoder, with its preset `small`.",
        known=method_names,
        metavar="NAME",
        main=True,
    )
    architecture: str = setting(
        "small", "The encoder's architecture.", known=ARCHITECTURES, metavar="NAME", main=True
    )
    training: PretrainSettings | None = None
    image_size: int | None = setting(
        None,
        "Images are resized to this side. If not given: the architecture's.",
        minimum=1,
        main=True,
    )
    channels: int | None = setting(
        None, "1: grey, 3: colour. If not given: the architecture's.", minimum=1
    )
    preprocessing: Preprocessing | None = setting(
        None, "Of features before scoring. If not given: zscore for images, none for --features."
    )
    pooling: Literal["mean", "class_token"] | None = setting(
        None, "How tokens become features. If not given: the architecture's."
    )
    center: bool = setting(False, "Subtract the features' mean before scoring.")
    solver: Solver | None = setting(
        None,
        "The scorer's solver. If not given: the fastest exact one.",
        known=SOLVERS,
        metavar="NAME",
    )
    noise: GaussianCorruption | None = None
    noise_training: Literal["clean", "clean_then_mixed"] = setting(
        "clean",
        "With --noise_levels: train on clean images, or then also on corrupted ones, as the paper.",
    )
    seed: int = setting(0, "Of all random numbers.", minimum=0, main=True)

    def __post_init__(self) -> None:
        if self.preprocessing is not None and self.preprocessing not in PREPROCESSINGS:
            raise ValueError(
                f"preprocessing {self.preprocessing!r} is none of {', '.join(PREPROCESSINGS)}"
            )
        if self.noise_training not in ("clean", "clean_then_mixed"):
            raise ValueError(
                f"noise_training must be 'clean' or 'clean_then_mixed', got {self.noise_training!r}"
            )


@dataclasses.dataclass(frozen=True)
class DecisionSettings:
    """How many images to label and how they are chosen, and what is known of the images.

    Nothing is trained again if these change from one run in a workdir to the next.
    """

    budget: str | None = setting(
        None,
        "How many images to label: a number, or a share of the usable images as 2%.",
        metavar="K",
        main=True,
    )
    strategy: Strategy | None = setting(
        None,
        "How the images to label are chosen. If not given: the best in our benchmark.",
        known=STRATEGIES,
        metavar="NAME",
    )
    labelled: str | os.PathLike[str] | None = setting(
        None,
        "A CSV file of images that are labelled already: the choice goes on where they stop.",
        metavar="FILE",
    )
    groups: str | os.PathLike[str] | None = setting(
        None, "A CSV file with each image's group (patient, slide).", metavar="FILE"
    )
    group_by: GroupBy | None = setting(
        None,
        "In place of --groups: images of one patient, study or series by their DICOM headers, of "
        "one folder, or of one slide, volume or file.",
    )
    per_group: int | None = setting(
        None,
        "Label at most so many images of one group, labelled ones included.",
        minimum=1,
        metavar="M",
    )
    pilot: str | os.PathLike[str] | None = setting(
        None,
        "A CSV file with labels of some images: says which strategy would have served, and what "
        "more labels would buy. These images count as labelled if --labelled is not given.",
        metavar="FILE",
    )
    reference_images: str | os.PathLike[str] | None = setting(
        None,
        "At least 10 clean images: whether an image is usable is judged by these.",
        metavar="PATH",
    )

    image_column: str = setting(
        "image", "The header of the names' column in these tables.", metavar="NAME"
    )
    group_column: str = setting("group", "The header of the groups' column.", metavar="NAME")
    label_column: str = setting(
        "label",
        "The header of the labels' column. If --labelled has it, rows without a label are ignored.",
        metavar="NAME",
    )

    def __post_init__(self) -> None:
        if self.budget is not None:
            number_of_images(self.budget, usable=1)  # refuses what is wrong for any set
        if self.groups is not None and self.group_by is not None:
            raise ValueError("--groups and --group_by both say the groups: leave one of them out")
        if self.per_group is not None and self.groups is None and self.group_by is None:
            raise ValueError(
                "--per_group limits the images of a group: give --groups=FILE or --group_by too"
            )


ASSESS_DEFAULTS = AssessSettings()
DECISION_DEFAULTS = DecisionSettings()
