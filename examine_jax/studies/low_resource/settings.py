"""All settings of the low-resource study; the defaults are the paper's."""

import dataclasses
import math

from examine_jax.common.settings import setting
from examine_jax.evaluation.classifier_training import ClassifierTraining, StepDecay
from examine_jax.evaluation.mlp_probe import PAPER_TRAINING
from examine_jax.models.architectures import ARCHITECTURES, Architecture
from examine_jax.models.architectures import architecture as named_architecture
from examine_jax.pretraining import method_names, method_preset
from examine_jax.studies.common.checks import check_length, check_seeds


@dataclasses.dataclass(frozen=True)
class LowResourceSettings:
    """Settings of the whole study. Stored folders know this class by its name.

    Attributes:
        methods: to pre-train with.
        preset: of every method (`pretraining.preset_names`): "paper", "released_code" or "small".
        architecture: by name.
        network: replaces the named architecture.
        batch_sizes: of pre-training, ascending (figure 3).
        table_batch: the batch size of table 2, and the only one on sets where batch sizes are not
            compared.
        ablated: names of the sets on which all batch sizes are compared; None: all sets.
        steps: of each pre-training. None: the steps that `minutes` allow, or the preset's.
        minutes: of computing in each pre-training: CPU time on a CPU, wall time elsewhere. The time
            of a step is measured once and kept, so that all seeds and sets train for as many steps.
        shares: of the training, validation and test images.
        keep_groups: whether a group (patient, slide) stays in one part; the paper splits images at
            random.
        k: neighbours; fewer than there are training images.
        probe: the two-layer probe's training, without its learning rate and batch size.
        probe_learning_rates: table 1's are chosen from these by the accuracy on the validation
            images.
        probe_batch_size: None: the pre-training's, as table 1 has one batch size for both.
        seeds: each is a repetition: split, training, probe. The paper has one.
    """

    methods: tuple[str, ...] = setting(
        ("dcl", "simclr", "simsiam", "vicreg"),
        "Methods, the rows of the tables.",
        known=method_names,
        main=True,
    )
    preset: str = "paper"
    architecture: str = setting("resnet50", "The network.", known=ARCHITECTURES, metavar="NAME")
    network: Architecture | None = None
    batch_sizes: tuple[int, ...] = setting((16, 32, 64), "Batch sizes of pre-training.", minimum=2)
    table_batch: int = setting(64, "The batch size of table 2, and of sets not in --ablated.")
    ablated: tuple[str, ...] | None = setting(
        None, "Sets on which all batch sizes are compared; all if not given."
    )
    steps: int | None = setting(
        None, "Steps of each training; replaces the preset's length.", minimum=1, main=True
    )
    minutes: float | None = setting(
        None, "Minutes of computing in each training (CPU time on a CPU).", main=True
    )
    shares: tuple[float, float, float] = (0.7, 0.1, 0.2)
    keep_groups: bool = setting(
        True,
        "Keep groups whole in each part; the paper splits images at random.",
        open_in_paper=True,
    )
    k: int = setting(200, "Neighbours; fewer than training images.", minimum=1)
    probe: ClassifierTraining = PAPER_TRAINING
    probe_learning_rates: tuple[float, ...] = setting(
        (0.005, 0.01, 0.1, 0.5),
        "Learning rates of the probe, chosen from by the validation images.",
        open_in_paper=True,
    )
    probe_batch_size: int | None = setting(
        None,
        "The batch size of the probe; the pre-training's if not given.",
        minimum=2,
        open_in_paper=True,
    )
    seeds: tuple[int, ...] = setting((0,), "Each seed is a repetition.", minimum=0, main=True)

    def __post_init__(self) -> None:
        unknown = [name for name in self.methods if name not in method_names()]
        if unknown or not self.methods or len(set(self.methods)) < len(self.methods):
            raise ValueError(
                f"methods {', '.join(self.methods) or '(none)'}: give some, once each, of "
                f"{', '.join(method_names())}"
            )
        if (
            not self.batch_sizes
            or min(self.batch_sizes) < 2
            or list(self.batch_sizes) != sorted(set(self.batch_sizes))
        ):
            raise ValueError(
                f"batch sizes {self.batch_sizes}: give one at least, ascending, of 2 images or more"
            )
        if self.table_batch not in self.batch_sizes:
            raise ValueError(
                f"table_batch {self.table_batch} is none of the batch sizes {self.batch_sizes}; "
                "choose one of them"
            )
        check_length(self.steps, self.minutes)
        rates = self.probe_learning_rates
        if self.k < 1 or not rates or not all(0 < rate < math.inf for rate in rates):
            raise ValueError(
                f"k {self.k} must be at least 1, and learning rates {self.probe_learning_rates} "
                "above 0"
            )
        if self.probe_batch_size is not None and self.probe_batch_size < 2:
            raise ValueError(
                f"probe_batch_size {self.probe_batch_size} must be at least 2: the probe has a "
                "batch norm"
            )
        if not isinstance(self.probe.schedule, StepDecay):
            raise ValueError("the probe's schedule is the StepDecay whose learning rate is swept")
        for name in self.methods:
            method_preset(
                name, self.chosen(), preset=self.preset
            )  # raises if it does not fit the method or the network
        check_seeds(self.seeds)

    def chosen(self) -> Architecture:
        """Returns the architecture to train."""
        return self.network or named_architecture(self.architecture)

    def batches_on(self, set_name: str) -> tuple[int, ...]:
        """Returns the pre-training's batch sizes on a set."""
        return (
            self.batch_sizes
            if self.ablated is None or set_name in self.ablated
            else (self.table_batch,)
        )

    def probe_training(
        self, learning_rate: float, batch_size: int, seed: int
    ) -> ClassifierTraining:
        """Returns one probe training of the sweep."""
        schedule = self.probe.schedule
        assert isinstance(schedule, StepDecay)
        schedule = dataclasses.replace(schedule, learning_rate=learning_rate)
        return dataclasses.replace(self.probe, schedule=schedule, batch_size=batch_size, seed=seed)


def low_resource_preset(name: str) -> LowResourceSettings:
    """Returns the settings of a preset.

    The released code trains its probe with the backbone in training mode; no preset copies that.

    Args:
        name: "paper": the text of section 3.1. "released_code": losses, heads and crops of the
            authors' code, which differ from the text. "small": for two CPU cores and images of 72
            px of any labelled folder: ResNet-18, ten minutes a training, three seeds.

    Raises:
        ValueError: there is no such preset.
    """
    if name == "paper":
        return LowResourceSettings()
    if name == "released_code":
        return LowResourceSettings(preset="released_code")
    if name == "small":
        return LowResourceSettings(
            preset="small", architecture="resnet18_imagenet_stem", minutes=10.0, seeds=(0, 1, 2)
        )
    raise ValueError(f"no preset is named {name!r}; there are: paper, released_code, small")
