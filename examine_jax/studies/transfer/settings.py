"""All settings of the transfer study."""

import dataclasses
import math

from examine_jax.common.settings import setting
from examine_jax.evaluation.classifier_training import ClassifierTraining
from examine_jax.models.architectures import ARCHITECTURES, Architecture
from examine_jax.models.architectures import architecture as named_architecture
from examine_jax.models.low_rank import LowRank
from examine_jax.pretraining import method_names, method_preset
from examine_jax.studies.common.checks import check_length, check_seeds
from examine_jax.training.optimiser import AdamW, WarmupCosine

USES = ("frozen", "adapted", "fine_tuned", "adapted_fine_tuned")
"""What is done with an encoder.

"frozen": a linear probe on its features. "adapted": the same, after further training on the pool
without labels. "fine_tuned": all of it is trained on the labels. "adapted_fine_tuned": both.
"""
_DEFAULT_USES = USES[:3]


@dataclasses.dataclass(frozen=True)
class TransferSettings:
    """Settings of the whole study. Stored folders know this class by its name.

    Attributes:
        uses: of each encoder, out of `USES`.
        shares: of the pool's images that have labels, ascending. Each has one label a class at
            least, and a smaller share's labels are among a larger one's.
        method: of every training without labels.
        preset: of the method.
        architecture: of the networks that are trained from scratch, by name.
        network: replaces the named architecture.
        image_size: the side at which images are read. They are resized to each encoder's size.
        encoder_size: the side at which encoders from elsewhere see the images; None: their own.
        steps: of each training without labels. None: those that `minutes` allow, or the method's.
        minutes: of computing in each training without labels: CPU time on a CPU, wall time
            elsewhere. A network's step is timed once, so all seeds train for as many steps.
        batch_size: images a step of training without labels, each in two views; None: the method's.
        source_factor: the training on the source is this many times as long.
        lora_rank: an encoder is adapted by pairs of this rank beside its attention's projections,
            of twice the rank's scale, which leaves its own weights; None: by training all of it.
        layer_decay: of adaptation, as in `PretrainSettings`; None: all layers have one rate.
        tuning_steps: steps of each fine-tuning, whatever the number of labels.
        tuning_batch: images in each of these steps; few labelled images are seen more often.
        tuning_rate: the peak of the learning rate of trained encoders.
        scratch_rate: the peak of the learning rate of networks without any training.
        l2: the penalty of the linear probe, on features that are standardised over the pool.
        test_share: of the images that are held out.
        draws: of the bootstrap, for each interval.
        seeds: each is a repetition: split, labels, trainings.
    """

    uses: tuple[str, ...] = setting(
        _DEFAULT_USES, "What is done with each encoder.", known=lambda: USES, main=True
    )
    shares: tuple[float, ...] = setting(
        (0.01, 0.1, 1.0), "Labelled shares of the pool.", minimum=0, maximum=1, main=True
    )
    method: str = setting(
        "simclr", "The method of all training without labels.", known=method_names, main=True
    )
    preset: str = "small"
    architecture: str = setting(
        "resnet18_narrow", "The network from scratch.", known=ARCHITECTURES, metavar="NAME"
    )
    network: Architecture | None = None
    image_size: int = setting(96, "Images are read at this size.", minimum=8, main=True)
    encoder_size: int | None = setting(
        None, "The size at which given encoders see the images; their own if not given.", minimum=8
    )
    steps: int | None = setting(
        None, "Steps of each training without labels; replaces --minutes.", minimum=1, main=True
    )
    minutes: float | None = setting(
        1.0, "Minutes of computing in each training without labels (CPU time on a CPU).", main=True
    )
    batch_size: int | None = setting(
        None,
        "Images a step of training without labels; the method's if not given. Fewer take less "
        "memory.",
        minimum=2,
    )
    source_factor: float = setting(
        4.0, "The training on --source is this many times as long.", minimum=0
    )
    lora_rank: int | None = setting(
        None, "Adapt by low-rank pairs of this rank; all weights if not given.", minimum=1
    )
    layer_decay: float | None = setting(
        None, "Of adaptation: each layer has this times the learning rate of the next."
    )
    tuning_steps: int = setting(80, "Steps of each fine-tuning.", minimum=1, main=True)
    tuning_batch: int = setting(16, "Images a step of fine-tuning.", minimum=2)
    tuning_rate: float = setting(3e-4, "The learning rate of fine-tuning.")
    scratch_rate: float = setting(1e-3, "The learning rate of supervised training from scratch.")
    l2: float = setting(1.0, "The penalty of the linear probe.")
    test_share: float = setting(0.3, "The share of images that is held out.")
    draws: int = setting(300, "Bootstrap draws of each interval.", minimum=1)
    seeds: tuple[int, ...] = setting((0, 1, 2), "Each seed is a repetition.", minimum=0, main=True)

    def __post_init__(self) -> None:
        unknown = [name for name in self.uses if name not in USES]
        if unknown or not self.uses or len(set(self.uses)) < len(self.uses):
            raise ValueError(
                f"uses {', '.join(self.uses) or '(none)'}: give some, once each, of "
                f"{', '.join(USES)}"
            )
        if (
            not self.shares
            or list(self.shares) != sorted(set(self.shares))
            or not all(0 < share <= 1 for share in self.shares)
        ):
            raise ValueError(
                f"shares {self.shares}: give shares above 0 and at most 1, ascending, each once"
            )
        if not 0 < self.test_share < 1:
            raise ValueError(f"test_share {self.test_share}: give a share of the images, below 1")
        if self.batch_size is not None and self.batch_size < 2:
            raise ValueError(f"batch_size {self.batch_size}: give 2 or more")
        if self.lora_rank is not None and self.lora_rank < 1:
            raise ValueError(f"lora_rank {self.lora_rank}: give 1 or more")
        if self.layer_decay is not None and not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay {self.layer_decay}: give a number above 0, at most 1")
        for name in ("source_factor", "tuning_rate", "scratch_rate", "l2"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} {getattr(self, name)}: give a number above 0")
        if self.tuning_steps < 1 or self.tuning_batch < 2 or self.draws < 1:
            raise ValueError(
                f"tuning_steps {self.tuning_steps} and draws {self.draws} must be at least 1, and "
                f"tuning_batch {self.tuning_batch} at least 2"
            )
        check_length(self.steps, self.minutes)
        check_seeds(self.seeds)
        method_preset(self.method, self.chosen(), preset=self.preset)  # refuses what does not fit

    def chosen(self) -> Architecture:
        """Returns the architecture that is trained from scratch."""
        return self.network or named_architecture(self.architecture)

    def low_rank(self) -> LowRank | None:
        """Returns the adapter that adaptation trains; None: all weights are trained."""
        if self.lora_rank is None:
            return None
        return LowRank(self.lora_rank, 2.0 * self.lora_rank, ("qkv", "out"))

    def tuning(self, seed: int, *, from_scratch: bool) -> ClassifierTraining:
        """Returns the training of a fine-tuning: one epoch, of `tuning_steps` batches."""
        rate = self.scratch_rate if from_scratch else self.tuning_rate
        return ClassifierTraining(
            epochs=1,
            batch_size=self.tuning_batch,
            optimiser=AdamW(),
            schedule=WarmupCosine(rate * 256 / self.tuning_batch, warmup=0.1),
            seed=seed,
        )


def transfer_preset(name: str) -> TransferSettings:
    """Returns the settings of a preset.

    Args:
        name: "small": for two CPU cores; three seeds, a narrow ResNet-18, a minute a training.
            "full": for a GPU; five seeds, a ResNet-50 at 224 px, an hour a training. "smoke": a few
            steps, which show that everything runs and teach nothing.

    Raises:
        ValueError: there is no such preset.
    """
    if name == "small":
        return TransferSettings()
    if name == "full":
        return TransferSettings(
            architecture="resnet50",
            image_size=224,
            minutes=60.0,
            tuning_steps=2000,
            tuning_batch=64,
            draws=1000,
            seeds=(0, 1, 2, 3, 4),
        )
    if name == "smoke":
        return TransferSettings(steps=3, minutes=None, tuning_steps=3, draws=50, seeds=(0,))
    raise ValueError(f"no preset is named {name!r}; there are: full, small, smoke")
