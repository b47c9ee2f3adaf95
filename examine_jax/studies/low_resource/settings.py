"""Everything that the low-resource study depends on but the images; what the paper leaves open has a name and a default here."""

import dataclasses
import math

from examine_jax.evaluation.classifier_training import ClassifierTraining, StepDecay
from examine_jax.evaluation.mlp_probe import PAPER_TRAINING
from examine_jax.models.architectures import Architecture
from examine_jax.models.architectures import architecture as named_architecture
from examine_jax.pretraining import method_names, method_preset


@dataclasses.dataclass(frozen=True)
class LowResourceSettings:
    """Of the study as a whole; the defaults are the paper's.

    Attributes:
        methods: what is pre-trained, by name.
        preset: of every method (`pretraining.preset_names`): "paper", "released_code" or "small".
        architecture: by name.
        network: in place of the named architecture.
        batch_sizes: of pre-training, ascending (figure 3).
        table_batch: the one of table 2, and the only one on sets where batches are not compared.
        ablated: names of the sets on which all batch sizes are compared; None: on all.
        steps: of each pre-training; None: as many as `minutes` pay for, or as the preset has.
        minutes: of computing that each pre-training may take: the CPU's time on a CPU, the clock's elsewhere. The steps that they pay for
            are measured once and kept, so that all seeds and sets train alike.
        shares: of the training, validation and test images.
        keep_groups: NOT IN THE PAPER, which splits images at random: whether a group (patient, slide) stays in one part.
        k: neighbours; fewer than there are training images.
        probe: the two-layer probe's training; its learning rate is swept, its batch size is `probe_batch_size`.
        probe_learning_rates: NOT IN THE PAPER: what table 1's are chosen from, by accuracy on the validation images.
        probe_batch_size: NOT IN THE PAPER, whose table 1 has one batch size for both: None takes the pre-training's.
        seeds: a repetition each: split, training, probe. The paper has one.
    """

    methods: tuple[str, ...] = ("dcl", "simclr", "simsiam", "vicreg")
    preset: str = "paper"
    architecture: str = "resnet50"
    network: Architecture | None = None
    batch_sizes: tuple[int, ...] = (16, 32, 64)
    table_batch: int = 64
    ablated: tuple[str, ...] | None = None
    steps: int | None = None
    minutes: float | None = None
    shares: tuple[float, float, float] = (0.7, 0.1, 0.2)
    keep_groups: bool = True
    k: int = 200
    probe: ClassifierTraining = PAPER_TRAINING
    probe_learning_rates: tuple[float, ...] = (0.005, 0.01, 0.1, 0.5)
    probe_batch_size: int | None = None
    seeds: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        unknown = [name for name in self.methods if name not in method_names()]
        if unknown or not self.methods or len(set(self.methods)) < len(self.methods):
            raise ValueError(
                f"methods {', '.join(self.methods) or '(none)'}: give some, once each, of {', '.join(method_names())}"
            )
        if not self.batch_sizes or min(self.batch_sizes) < 2 or list(self.batch_sizes) != sorted(set(self.batch_sizes)):
            raise ValueError(f"batch sizes {self.batch_sizes}: give one at least, ascending, of 2 images or more")
        if self.table_batch not in self.batch_sizes:
            raise ValueError(
                f"table_batch {self.table_batch} is none of the batch sizes {self.batch_sizes}; choose one of them"
            )
        if self.steps is not None and self.minutes is not None:
            raise ValueError("give either steps or minutes of training")
        if (self.minutes is not None and not 0 < self.minutes < math.inf) or (
            self.steps is not None and self.steps < 1
        ):
            raise ValueError(f"training must be above 0, got minutes {self.minutes}, steps {self.steps}")
        rates = self.probe_learning_rates
        if self.k < 1 or not rates or not all(0 < rate < math.inf for rate in rates):
            raise ValueError(f"k {self.k} must be at least 1, and learning rates {self.probe_learning_rates} above 0")
        if self.probe_batch_size is not None and self.probe_batch_size < 2:
            raise ValueError(f"probe_batch_size {self.probe_batch_size} must be at least 2: the probe has a batch norm")
        if not isinstance(self.probe.schedule, StepDecay):
            raise ValueError("the probe's schedule is the StepDecay whose learning rate is swept")
        for name in self.methods:
            method_preset(
                name, self.chosen(), preset=self.preset
            )  # raises where a method lacks it, or the network's kind
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds}: give one at least, different ones from 0 up")

    def chosen(self) -> Architecture:
        return self.network or named_architecture(self.architecture)

    def batches_on(self, set_name: str) -> tuple[int, ...]:
        """The pre-training's batch sizes on a set."""
        return self.batch_sizes if self.ablated is None or set_name in self.ablated else (self.table_batch,)

    def probe_training(self, learning_rate: float, batch_size: int, seed: int) -> ClassifierTraining:
        """One of the sweep."""
        schedule = self.probe.schedule
        assert isinstance(schedule, StepDecay)
        schedule = dataclasses.replace(schedule, learning_rate=learning_rate)
        return dataclasses.replace(self.probe, schedule=schedule, batch_size=batch_size, seed=seed)


def low_resource_preset(name: str) -> LowResourceSettings:
    """ "paper": section 3.1's text. "released_code": losses, heads and crops of the authors' code, which differs from the text. "small":
    for two CPU cores and images of 72 px of any labelled folder: ResNet-18, ten minutes a training, three seeds.

    The released code leaves the backbone in training mode under the probe; no preset copies that.

    Raises:
        ValueError: none of these.
    """
    if name == "paper":
        return LowResourceSettings()
    if name == "released_code":
        return LowResourceSettings(preset="released_code")
    if name == "small":
        return LowResourceSettings(preset="small", architecture="resnet18_imagenet_stem", minutes=10.0, seeds=(0, 1, 2))
    raise ValueError(f"no preset is named {name!r}; there are: paper, released_code, small")
