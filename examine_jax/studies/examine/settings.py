"""Everything that the paper's experiments depend on but the images; what the paper leaves open has a name and a default here."""

import dataclasses
from typing import Literal

from examine_jax.evaluation.curves import RANDOM, CurveSettings
from examine_jax.features.preprocessing import PREPROCESSINGS, Preprocessing
from examine_jax.jobs.value.value import LABEL_FREE, SUPERVISED
from examine_jax.models.presets import Architecture
from examine_jax.models.presets import architecture as named_architecture
from examine_jax.pretraining import method_names, preset_names
from examine_jax.valuation.logistic.regression import LogisticRegression
from examine_jax.valuation.metrics import METRICS, MetricName


@dataclasses.dataclass(frozen=True)
class SetSizes:
    """Images of the four disjoint sets. Where there are too few images, or groups do not come out even, the sets are smaller in proportion.

    The paper's (section 4.1): 160,000 to train encoders on, 500 to assess, 100 clean ones to which assessed ones are added, 20,000 to
    measure classifiers on.
    """

    pretraining: int = 160_000
    assessed: int = 500
    clean: int = 100
    validation: int = 20_000

    def __post_init__(self) -> None:
        if min(dataclasses.astuple(self)) < 2:
            raise ValueError(f"every set needs two images at least, got {self}")


@dataclasses.dataclass(frozen=True)
class NoiseSettings:
    """The corruption of the assessed and of the training images.

    Attributes:
        levels: the paper's deltas.
        assessed, pretraining: the shares that are corrupted: 400 of 500 and 60,000 of 160,000.
        spread: NOT IN THE PAPER: what delta * m in N(delta, delta * m) is.
        division: NOT IN THE PAPER: how the corrupted images divide over the levels: "even", or each "drawn".
        training: "clean_then_mixed" (the paper's) or "clean".
        clean_share: NOT IN THE PAPER: of the training, how much is on clean images.
    """

    levels: tuple[float, ...] = (0.1, 0.3, 0.5, 1.0)
    assessed: float = 0.8
    pretraining: float = 0.375
    spread: Literal["variance", "standard_deviation"] = "variance"
    division: Literal["even", "drawn"] = "even"
    training: Literal["clean_then_mixed", "clean"] = "clean_then_mixed"
    clean_share: float = 2 / 3

    def __post_init__(self) -> None:
        if not self.levels or min(self.levels) <= 0:
            raise ValueError(f"levels {self.levels} must be above 0: clean images are those that are not corrupted")
        if not (0 < self.assessed < 1 and 0 <= self.pretraining <= 1 and 0 < self.clean_share < 1):
            raise ValueError(
                f"shares assessed {self.assessed} and clean_share {self.clean_share} must lie between 0 and 1, "
                f"pretraining {self.pretraining} may be either"
            )
        for value, known in ((self.spread, _SPREADS), (self.division, _DIVISIONS), (self.training, _TRAININGS)):
            if value not in known:
                raise ValueError(f"{value!r} is none of {', '.join(known)}")


_SPREADS, _DIVISIONS, _TRAININGS = ("variance", "standard_deviation"), ("even", "drawn"), ("clean_then_mixed", "clean")


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """How encoders are trained.

    Attributes:
        methods: the first is the main one, whose features are valued (Fig. 3); all are compared (Fig. 2b).
        presets: of each method (`pretraining.preset_names`).
        architecture: by name.
        network: in place of the named architecture.
        steps: of each training; None: as many as `minutes` pay for, or as the preset has.
        minutes: of computing that each training may take: the CPU's time on a CPU, the clock's elsewhere. The steps that they pay for
            are measured once and kept, so that all seeds train alike.
        batch_size: None: the preset's, and never more than the images.
    """

    methods: tuple[str, ...] = ("mae", "autoencoder", "simclr", "byol")
    presets: tuple[str, ...] = ("paper", "paper", "examine", "paper")
    architecture: str = "examine_paper"
    network: Architecture | None = None
    steps: int | None = None
    minutes: float | None = None
    batch_size: int | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.methods if name not in method_names()]
        if unknown or not self.methods:
            raise ValueError(f"methods {', '.join(unknown) or '(none)'}: there are {', '.join(method_names())}")
        if len(self.presets) != len(self.methods):
            raise ValueError(f"{len(self.presets)} presets for {len(self.methods)} methods; give one each")
        for name, preset in zip(self.methods, self.presets):
            if preset not in preset_names(name):
                raise ValueError(f"{name} has no preset {preset!r}; it has {', '.join(preset_names(name))}")
        if self.steps is not None and self.minutes is not None:
            raise ValueError("give either steps or minutes of training")
        if self.minutes is not None and self.minutes <= 0:
            raise ValueError(f"minutes of training must be above 0, got {self.minutes}")

    def chosen(self) -> Architecture:
        return self.network or named_architecture(self.architecture)


@dataclasses.dataclass(frozen=True)
class ExperimentSettings:
    """Of the experiments as a whole.

    Attributes:
        sizes, noise, training: what is split off, corrupted and trained.
        preprocessing: NOT IN THE PAPER: of the features before they are examined, valued and classified; z-scores are against the clean
            training images' features.
        valued_on: NOT IN THE PAPER: the set that defines V of the valuers that need labels: "validation", all of it, on which the curves
            are measured too; or "half": one half (groups whole) defines V, the curves are measured on the other.
        valuers: beside random, which is always there (`feature_values.LABEL_FREE` and `SUPERVISED`).
        model, metric: V: what is fitted, and what a fitted model is worth.
        permutations: of tmc_shapley, at most; it stops by DataShapley's rule.
        curves: NOT IN THE PAPER: the curves' step and ends.
        mislabelled: of the assessed images, the share that gets a wrong label in the experiment on wrong labels (not one of the paper's).
        seeds: a whole repetition each: sets, noise, training, values. The paper has five.
    """

    sizes: SetSizes = dataclasses.field(default_factory=SetSizes)
    noise: NoiseSettings = dataclasses.field(default_factory=NoiseSettings)
    training: TrainingPlan = dataclasses.field(default_factory=TrainingPlan)
    preprocessing: Preprocessing = "none"
    valued_on: Literal["validation", "half"] = "validation"
    valuers: tuple[str, ...] = ("examine", "loo", "tmc_shapley")
    model: LogisticRegression = dataclasses.field(default_factory=LogisticRegression)
    metric: MetricName = "accuracy"
    permutations: int = 1000
    curves: CurveSettings = dataclasses.field(default_factory=CurveSettings)
    mislabelled: float = 0.1
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)

    def __post_init__(self) -> None:
        known = [name for name in (*LABEL_FREE, *SUPERVISED) if name != RANDOM]
        unknown = [name for name in self.valuers if name not in known]
        if unknown or "examine" not in self.valuers or len(set(self.valuers)) < len(self.valuers):
            raise ValueError(
                f"valuers {', '.join(self.valuers)}: examine and others, once each, out of {', '.join(known)}"
            )
        if self.preprocessing not in PREPROCESSINGS:
            raise ValueError(f"preprocessing {self.preprocessing!r} is none of {', '.join(PREPROCESSINGS)}")
        if self.valued_on not in ("validation", "half"):
            raise ValueError(f"valued_on {self.valued_on!r} is neither 'validation' nor 'half'")
        if self.metric not in METRICS:
            raise ValueError(f"metric {self.metric!r} is none of {', '.join(METRICS)}")
        if not 0 < self.mislabelled < 0.5 or self.permutations < 1:
            raise ValueError(
                f"mislabelled {self.mislabelled} must lie between 0 and .5, permutations {self.permutations} be at least 1"
            )
        if not self.seeds or min(self.seeds) < 0 or len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds}: give one at least, different ones from 0 up")


def experiment_preset(name: str) -> ExperimentSettings:
    """ "paper": EXAMINE's sizes and training, for a GPU. "small": for two CPU cores and any labelled folder of some thousand images.

    Raises:
        ValueError: neither of these.
    """
    if name == "paper":
        return ExperimentSettings()
    if name == "small":
        return ExperimentSettings(
            sizes=SetSizes(pretraining=2400, assessed=500, clean=100, validation=1000),
            training=TrainingPlan(presets=("small",) * 4, architecture="small", minutes=10.0),
            preprocessing="zscore",
            valued_on="half",
            valuers=(
                "examine",
                "loo",
                "tmc_shapley",
                "banzhaf",
                "knn_shapley",
                "data_oob",
                "leverage",
                "knn_distance",
                "mahalanobis",
                "typicality",
                "prototype_distance",
                "k_centre",
                "prob_cover",
                "facility_location",
            ),
        )
    raise ValueError(f"no preset is named {name!r}; there are: paper, small")
