"""Everything that BYOL-TracIn's study depends on but the images; the defaults are its poster's."""

import dataclasses
import math
from typing import Literal

from examine_jax.common.settings import setting
from examine_jax.evaluation.classifier_training import ClassifierTraining
from examine_jax.evaluation.fine_tuning import FINE_TUNING
from examine_jax.models.architectures import ARCHITECTURES, Architecture
from examine_jax.models.architectures import architecture as named_architecture
from examine_jax.pretraining.extra_positives import FalseNegatives, TracInPositive
from examine_jax.studies.common.checks import check_length, check_seeds
from examine_jax.training.optimiser import WarmupCosine

PRETRAINED = "_pretrained"
METHODS = (
    "byol",
    "byol_fnc",
    "byol_ft",
    "byol_fs",
    "byol_fs_pretrained",
    "byol_tracin",
    "byol_tracin_pretrained",
    "byol_sup",
)
"""The methods, in the order of the paper's tables.

With `_pretrained`, an encoder that is trained before finds the extra positives.
"""

UNTRAINED = "random initialisation"
COLOURS = "colour statistics, kNN"


@dataclasses.dataclass(frozen=True)
class StudySettings:
    """Settings of the whole study. Stored folders know this class by its name.

    Attributes:
        methods: out of METHODS.
        preset: of the pre-training (`pretraining.preset_names`).
        architecture: the network's name.
        network: replaces the named architecture.
        steps: of each pre-training. None: the steps that `minutes` allow, or the preset's.
        minutes: of computing in a pre-training of plain BYOL, at least: CPU time on a CPU, wall
            time elsewhere. The time of its step is measured once, and all methods and seeds train
            for as many steps.
        batch_size: None: the preset's. A batch never has more images than the set.
        learning_rate: of the pre-training, at a batch of 256; None: the preset's.
        scorer: the folder of the encoder that finds the extra positives of the `_pretrained`
            methods; None: the same seed's plain BYOL, trained first.
        scored: the view whose gradients TracIn compares.
        weight: of the extra positive in the loss.
        extra_views: the views of the extra image that enter the loss.
        false_negatives: the images that byol_fnc attracts.
        concentration: of byol_ft.
        shares: of the training labels, for the semi-supervised fine-tuning.
        tested: the share of the images that is tested on, if a set has no official test images.
        fine_tuning: of the encoder and a linear head, on the shares and on the second set.
        fine_tuning_steps: of each fine-tuning, rounded to whole epochs. None: the epochs of
            `fine_tuning`, so that few labels mean few steps.
        neighbours: of the colour control's vote.
        anchors: images in the gallery.
        seeds: each is a whole repetition: splits, pre-training, fine-tuning.
    """

    methods: tuple[str, ...] = setting(
        METHODS, "Methods, the rows of the tables.", known=lambda: METHODS, main=True
    )
    preset: Literal["paper", "small"] = "paper"
    architecture: str = setting(
        "resnet50", "The network.", known=ARCHITECTURES, metavar="NAME", open_in_paper=True
    )
    network: Architecture | None = None
    steps: int | None = setting(
        None,
        "Steps of each pre-training; replaces the preset's length.",
        minimum=2,
        main=True,
        open_in_paper=True,
    )
    minutes: float | None = setting(
        None,
        "Minutes of computing in BYOL's pre-training (CPU time on a CPU); the other methods take "
        "as many steps.",
        main=True,
        open_in_paper=True,
    )
    batch_size: int | None = setting(
        None, "Images in a training step.", minimum=2, open_in_paper=True
    )
    learning_rate: float | None = setting(
        None, "The learning rate of the pre-training, at a batch of 256.", open_in_paper=True
    )
    scorer: str | None = setting(
        None,
        "The folder of the BYOL encoder that the _pretrained methods use; the seed's own BYOL if "
        "not given.",
        metavar="FOLDER",
        open_in_paper=True,
    )
    scored: Literal["first", "second", "both"] = setting(
        "first", "The views whose gradients TracIn compares.", open_in_paper=True
    )
    weight: float = setting(
        1.0, "The weight of the extra positive in the loss.", minimum=0, open_in_paper=True
    )
    extra_views: Literal["both", "other"] = setting(
        "both", "The views of the extra image that enter the loss.", open_in_paper=True
    )
    false_negatives: FalseNegatives = dataclasses.field(default_factory=FalseNegatives)
    concentration: float = setting(
        2.0, "The concentration of byol_ft's Beta distribution.", open_in_paper=True
    )
    shares: tuple[float, ...] = (0.1, 0.5, 1.0)
    tested: float = 0.2
    fine_tuning: ClassifierTraining = FINE_TUNING
    fine_tuning_steps: int | None = setting(
        None, "Steps of each fine-tuning, rounded to whole epochs.", minimum=1, open_in_paper=True
    )
    neighbours: int = 20
    anchors: int = 4
    seeds: tuple[int, ...] = setting(
        (0, 1, 2), "Each seed is a whole repetition.", minimum=0, main=True
    )

    def __post_init__(self) -> None:
        unknown = [name for name in self.methods if name not in METHODS]
        if unknown or not self.methods or len(set(self.methods)) < len(self.methods):
            raise ValueError(
                f"methods {', '.join(self.methods)}: give different ones out of "
                f"{', '.join(METHODS)}"
            )
        if (
            self.scorer is None
            and any(name.endswith(PRETRAINED) for name in self.methods)
            and "byol" not in self.methods
        ):
            raise ValueError(
                "the _pretrained methods need a scorer: name an encoder's folder, or let byol be "
                "one of the methods"
            )
        if self.preset not in ("paper", "small"):
            raise ValueError(f"preset {self.preset!r} is neither 'paper' nor 'small'")
        check_length(self.steps, self.minutes)
        for text, value in (
            ("learning_rate", self.learning_rate),
            ("concentration", self.concentration),
        ):
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{text} must be above 0, got {value}")
        if self.batch_size is not None and self.batch_size < 2:
            raise ValueError(f"a batch of {self.batch_size} has no other image: give 2 at least")
        if not 0 <= self.weight < math.inf:
            raise ValueError(f"weight of the extra positive must be at least 0, got {self.weight}")
        TracInPositive(self.scored)
        if self.extra_views not in ("both", "other"):
            raise ValueError(f"extra_views must be 'both' or 'other', got {self.extra_views!r}")
        if self.fine_tuning_steps is not None and self.fine_tuning_steps < 1:
            raise ValueError(f"fine_tuning_steps must be at least 1, got {self.fine_tuning_steps}")
        if not self.shares or not all(0 < share <= 1 for share in self.shares):
            raise ValueError(f"shares {self.shares} of the labels must lie above 0 and up to 1")
        if not 0 < self.tested < 1:
            raise ValueError(f"tested {self.tested} must lie between 0 and 1")
        check_seeds(self.seeds)
        if self.neighbours < 1 or self.anchors < 1:
            raise ValueError(
                f"neighbours {self.neighbours} and anchors {self.anchors} must be at least 1"
            )

    def chosen(self) -> Architecture:
        """Returns the architecture to train."""
        return self.network or named_architecture(self.architecture)

    def tuning(self, images: int) -> ClassifierTraining:
        """Returns the fine-tuning on this many labelled images."""
        if self.fine_tuning_steps is None:
            return self.fine_tuning
        an_epoch = max(1, images // self.fine_tuning.batch_size)
        return dataclasses.replace(
            self.fine_tuning, epochs=max(1, round(self.fine_tuning_steps / an_epoch))
        )

    def trained_first(self) -> tuple[str, ...]:
        """Returns the methods with scorers before the methods that need them."""
        return tuple(sorted(self.methods, key=lambda name: name != "byol"))


def byol_tracin_preset(name: str) -> StudySettings:
    """Returns the settings of a preset.

    The learning rates of "small" were tuned on ham10000_112 with the split of seed 0, which its
    seeds leave out. Other seeds split the same images again: results on this data set are
    optimistic, equally for every row.

    Args:
        name: "paper": for a GPU. "small": for two CPU cores and any two labelled folders of a few
            thousand images.

    Raises:
        ValueError: there is no such preset.
    """
    if name == "paper":
        return StudySettings()
    if name == "small":
        return StudySettings(
            preset="small",
            architecture="resnet18_narrow",
            # At least ten, even if other work on the machine slows the step that is timed.
            minutes=11.0,
            learning_rate=4e-3,
            fine_tuning=dataclasses.replace(
                FINE_TUNING, batch_size=32, schedule=WarmupCosine(1e-2)
            ),
            fine_tuning_steps=300,
            seeds=(1, 2, 3),
        )
    raise ValueError(f"no preset is named {name!r}; there are: paper, small")
