"""All settings of the budget study."""

import dataclasses
import math

from examine_jax.common.registry import lookup
from examine_jax.common.settings import setting
from examine_jax.images.artefacts import MIDDLE, SUITED
from examine_jax.models.architectures import ARCHITECTURES, Architecture
from examine_jax.models.architectures import architecture as named_architecture
from examine_jax.pretraining import method_names, method_preset
from examine_jax.selection.registry import STRATEGIES
from examine_jax.studies.common.checks import check_length, check_seeds

COLOURS = "colours"
"""The control's name: colour statistics in place of an encoder's features."""


def encoder_names() -> tuple[str, ...]:
    """Returns the methods that can be trained, and the control."""
    return (*method_names(), COLOURS)


@dataclasses.dataclass(frozen=True)
class BudgetSettings:
    """Settings of the whole study. Stored folders know this class by its name.

    Attributes:
        encoders: methods that are trained on each pool, without labels; and the control "colours".
        strategies: names of the selection's registry; None: all.
        budgets: labels as shares of the pool, ascending.
        least_per_class: a budget has this many labels a class at least, on average.
        nested: the first k of the largest budget are the choice of k; otherwise each budget is
            chosen anew.
        artefacts: which kinds are made (`artefacts.SUITED`).
        artefact_share: of the pool's images that are spoilt in the second half of the study; 0:
            there is no second half.
        strength: of each artefact.
        test_share: of the images that are held out.
        regularisation: C of scikit-learn's logistic regression, on features that are standardised
            over the pool.
        image_size: the side at which images are read, spoilt and described. They are resized to the
            encoder's size only then, as blur and noise would vanish otherwise.
        preset: of the methods.
        architecture: by name.
        network: replaces the named architecture.
        steps: of each training. None: the steps that `minutes` allow, or the preset's.
        minutes: of computing in each training: CPU time on a CPU, wall time elsewhere. The time of
            a step is measured once and kept, so that all trainings have as many steps.
        seeds: each is a repetition: split, artefacts, training, random choices.
    """

    encoders: tuple[str, ...] = setting(
        ("simclr", COLOURS),
        "Methods to train, and the control.",
        known=encoder_names,
        main=True,
    )
    strategies: tuple[str, ...] | None = setting(
        None, "Ways to choose; all if not given.", known=STRATEGIES, metavar="NAME,NAME", main=True
    )
    budgets: tuple[float, ...] = setting(
        (0.01, 0.02, 0.05, 0.1), "Labels, as shares of the pool.", main=True
    )
    least_per_class: int = setting(3, "Labels a class, at least, on average.", minimum=1)
    nested: bool = setting(
        False, "The first k of the largest budget are the choice of k.", main=True
    )
    artefacts: str = setting(
        "any", "What the pictures are; their artefacts follow.", known=SUITED, main=True
    )
    artefact_share: float = setting(
        0.2, "Of the pool's images that are spoilt; 0: none.", minimum=0.0, maximum=1.0, main=True
    )
    strength: float = setting(MIDDLE, "Of each artefact.", minimum=0.0, maximum=1.0)
    test_share: float = setting(0.3, "Of the images that are held out.")
    regularisation: float = setting(1.0, "C of the logistic regression.")
    image_size: int = setting(96, "Images are read and spoilt at this size.", minimum=8, main=True)
    preset: str = "small"
    architecture: str = setting("small", "The network.", known=ARCHITECTURES, metavar="NAME")
    network: Architecture | None = None
    steps: int | None = setting(
        None, "Steps of each training; replaces --minutes.", minimum=1, main=True
    )
    minutes: float | None = setting(
        5.0, "Minutes of computing in each training (CPU time on a CPU).", main=True
    )
    seeds: tuple[int, ...] = setting(
        tuple(range(10)), "Each seed is a repetition.", minimum=0, main=True
    )

    def __post_init__(self) -> None:
        unknown = [name for name in self.encoders if name not in encoder_names()]
        if unknown or not self.encoders or len(set(self.encoders)) < len(self.encoders):
            raise ValueError(
                f"encoders {', '.join(self.encoders) or '(none)'}: give some, once each, of "
                f"{', '.join(encoder_names())}"
            )
        for name in self.strategies or ():
            lookup(name, STRATEGIES, "strategy")
        if not self.strategy_names() or len(set(self.strategy_names())) < len(
            self.strategy_names()
        ):
            raise ValueError(f"strategies {self.strategies}: give each once, one at least")
        if (
            not self.budgets
            or list(self.budgets) != sorted(set(self.budgets))
            or not all(0 < share < 1 for share in self.budgets)
        ):
            raise ValueError(
                f"budgets {self.budgets}: give shares above 0 and below 1, ascending, each once"
            )
        if self.artefacts not in SUITED:
            raise ValueError(f"artefacts {self.artefacts!r}: choose from {', '.join(SUITED)}")
        for name, value, least in (
            ("artefact_share", self.artefact_share, -1e-9),
            ("test_share", self.test_share, 0.0),
        ):
            if not least < value < 1:
                raise ValueError(f"{name} {value}: give a share of the images, below 1")
        if not 0 < self.strength <= 1:
            raise ValueError(f"strength {self.strength}: give a number above 0, at most 1")
        if not 0 < self.regularisation < math.inf:
            raise ValueError(f"regularisation {self.regularisation}: give a number above 0")
        check_length(self.steps, self.minutes)
        check_seeds(self.seeds)
        for name in self.methods():
            method_preset(name, self.chosen(), preset=self.preset)  # refuses what does not fit

    def methods(self) -> tuple[str, ...]:
        """Returns the encoders that are trained."""
        return tuple(name for name in self.encoders if name != COLOURS)

    def strategy_names(self) -> tuple[str, ...]:
        """Returns the names of the strategies that are compared."""
        return tuple(STRATEGIES) if self.strategies is None else self.strategies

    def chosen(self) -> Architecture:
        """Returns the architecture to train."""
        return self.network or named_architecture(self.architecture)


def budget_preset(name: str) -> BudgetSettings:
    """Returns the settings of a preset.

    Args:
        name: "full": ten seeds, five minutes a training. "small": three seeds, one minute a
            training, for two CPU cores.

    Raises:
        ValueError: there is no such preset.
    """
    if name == "full":
        return BudgetSettings()
    if name == "small":
        return BudgetSettings(minutes=1.0, seeds=(0, 1, 2))
    raise ValueError(f"no preset is named {name!r}; there are: full, small")
