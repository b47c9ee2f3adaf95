"""Everything that EXAMINE's study depends on but the images; the defaults are the paper's."""

import dataclasses
from typing import Literal

from examine_jax.common.settings import setting
from examine_jax.evaluation.curves import RANDOM, CurveSettings
from examine_jax.evaluation.noise_experiment import ASSESSED_NOISE, CLEAN_SHARE, LEVELS, MIXED_NOISE
from examine_jax.features.preprocessing import PREPROCESSINGS, Preprocessing
from examine_jax.models.architectures import ARCHITECTURES, Architecture
from examine_jax.models.architectures import architecture as named_architecture
from examine_jax.pretraining import method_names, preset_names
from examine_jax.studies.common.checks import check_length, check_seeds
from examine_jax.valuation import LogisticRegression, feature_valuers
from examine_jax.valuation.metrics import METRICS, MetricName


@dataclasses.dataclass(frozen=True)
class SetSizes:
    """Images of the four disjoint sets (section 4.1).

    If there are too few images, or groups do not come out even, all sets are smaller in proportion.

    Attributes:
        pretraining: to train encoders on.
        assessed: to score and to value.
        clean: to which assessed images are added in the experiments on choosing.
        validation: to measure classifiers on.
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
        spread: what delta * m in N(delta, delta * m) is.
        division: how the corrupted images divide over the levels: "even", or a level "drawn" for
            each image.
        training: "clean_then_mixed" (the paper's) or "clean".
        clean_share: the share of the training on clean images.
    """

    levels: tuple[float, ...] = LEVELS
    assessed: float = ASSESSED_NOISE
    pretraining: float = MIXED_NOISE
    spread: Literal["variance", "standard_deviation"] = setting(
        "variance", "The second argument of the noise N(delta, delta * m).", open_in_paper=True
    )
    division: Literal["even", "drawn"] = setting(
        "even", "How the noisy images divide over the levels.", open_in_paper=True
    )
    training: Literal["clean_then_mixed", "clean"] = setting(
        "clean_then_mixed", "The images that encoders are trained on.", open_in_paper=True
    )
    clean_share: float = setting(
        CLEAN_SHARE, "The share of the training on clean images.", open_in_paper=True
    )

    def __post_init__(self) -> None:
        if not self.levels or min(self.levels) <= 0:
            raise ValueError(
                f"levels {self.levels} must be above 0: clean images are those that are not "
                "corrupted"
            )
        if not (0 < self.assessed < 1 and 0 <= self.pretraining <= 1 and 0 < self.clean_share < 1):
            raise ValueError(
                f"shares assessed {self.assessed} and clean_share {self.clean_share} must lie "
                "between 0 and 1, "
                f"pretraining {self.pretraining} may be either"
            )
        for value, known in (
            (self.spread, ("variance", "standard_deviation")),
            (self.division, ("even", "drawn")),
            (self.training, ("clean_then_mixed", "clean")),
        ):
            if value not in known:
                raise ValueError(f"{value!r} is none of {', '.join(known)}")


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """How encoders are trained.

    Attributes:
        methods: the features of the first, the main one, are valued (Fig. 3); all are compared
            (Fig. 2b).
        presets: one for each method (`pretraining.preset_names`).
        architecture: by name.
        network: replaces the named architecture.
        steps: of each training. None: the steps that `minutes` allow, or the preset's.
        minutes: of computing in each training: CPU time on a CPU, wall time elsewhere. The time of
            a step is measured once and kept, so that all seeds train for as many steps.
        batch_size: None: the preset's. There are never more images in a batch than in the training
            set.
    """

    methods: tuple[str, ...] = setting(
        ("mae", "autoencoder", "simclr", "byol"),
        "Self-supervised methods; the first one's features are valued.",
        known=method_names,
        main=True,
    )
    presets: tuple[str, ...] = ("paper", "paper", "examine", "paper")
    architecture: str = setting(
        "examine_paper", "The network of the encoders.", known=ARCHITECTURES, metavar="NAME"
    )
    network: Architecture | None = None
    steps: int | None = setting(
        None, "Steps of each training; replaces the preset's length.", minimum=2, main=True
    )
    minutes: float | None = setting(
        None, "Minutes of computing in each training (CPU time on a CPU).", main=True
    )
    batch_size: int | None = setting(None, "Images in a training step.", minimum=2)

    def __post_init__(self) -> None:
        unknown = [name for name in self.methods if name not in method_names()]
        if unknown or not self.methods:
            raise ValueError(
                f"methods {', '.join(unknown) or '(none)'}: there are {', '.join(method_names())}"
            )
        if len(self.presets) != len(self.methods):
            raise ValueError(
                f"{len(self.presets)} presets for {len(self.methods)} methods; give one each"
            )
        for name, preset in zip(self.methods, self.presets):
            if preset not in preset_names(name):
                raise ValueError(
                    f"{name} has no preset {preset!r}; it has {', '.join(preset_names(name))}"
                )
        check_length(self.steps, self.minutes)

    def chosen(self) -> Architecture:
        """Returns the architecture to train."""
        return self.network or named_architecture(self.architecture)


def _known_valuers() -> tuple[str, ...]:
    names = (*feature_valuers(with_labels=False), *feature_valuers(with_labels=True))
    return tuple(name for name in names if name != RANDOM)


@dataclasses.dataclass(frozen=True)
class ExperimentSettings:
    """Settings of the whole study. Stored folders know this class by its name.

    Attributes:
        sizes, noise, training: which images are split off, corrupted and trained on.
        preprocessing: of features before they are examined, valued and classified; z-scores use the
            features of the clean training images.
        valued_on: the images that define V of valuers that need labels. "validation": the whole
            validation set, on which the curves are measured too. "half": one half of it (groups
            whole); the curves are measured on the other.
        valuers: beside random, which is always there.
        model, metric: V: the model that is fitted, and the figure that says what it is worth.
        permutations: of tmc_shapley, at most; it stops by DataShapley's rule.
        curves: the step and the ends of the curves.
        mislabelled: the share of the assessed images that gets a wrong label; this experiment is
            not the paper's.
        seeds: each is a whole repetition: sets, noise, training, values. The paper has five.
    """

    sizes: SetSizes = dataclasses.field(default_factory=SetSizes)
    noise: NoiseSettings = dataclasses.field(default_factory=NoiseSettings)
    training: TrainingPlan = dataclasses.field(default_factory=TrainingPlan)
    preprocessing: Preprocessing = setting(
        "none", "The preprocessing of the features.", open_in_paper=True
    )
    valued_on: Literal["validation", "half"] = setting(
        "validation",
        "V is defined by the whole validation set, or by the half that no curve is measured on.",
        open_in_paper=True,
    )
    valuers: tuple[str, ...] = setting(
        ("examine", "loo", "tmc_shapley"),
        "Valuers beside random, which is always there.",
        known=_known_valuers,
        main=True,
    )
    model: LogisticRegression = dataclasses.field(default_factory=LogisticRegression)
    metric: MetricName = setting(
        "accuracy", "The figure that says what a fitted model is worth.", open_in_paper=True
    )
    permutations: int = setting(1000, "Permutations of tmc_shapley, at most.", minimum=1)
    curves: CurveSettings = dataclasses.field(default_factory=CurveSettings)
    mislabelled: float = setting(0.1, "The share of labels that are made wrong, to be found.")
    seeds: tuple[int, ...] = setting(
        (0, 1, 2, 3, 4), "Each seed is a whole repetition.", minimum=0, main=True
    )

    def __post_init__(self) -> None:
        known = _known_valuers()
        unknown = [name for name in self.valuers if name not in known]
        if unknown or "examine" not in self.valuers or len(set(self.valuers)) < len(self.valuers):
            raise ValueError(
                f"valuers {', '.join(self.valuers)}: examine and others, once each, out of "
                f"{', '.join(known)}"
            )
        if self.preprocessing not in PREPROCESSINGS:
            raise ValueError(
                f"preprocessing {self.preprocessing!r} is none of {', '.join(PREPROCESSINGS)}"
            )
        if self.valued_on not in ("validation", "half"):
            raise ValueError(f"valued_on {self.valued_on!r} is neither 'validation' nor 'half'")
        if self.metric not in METRICS:
            raise ValueError(f"metric {self.metric!r} is none of {', '.join(METRICS)}")
        if not 0 < self.mislabelled < 0.5 or self.permutations < 1:
            raise ValueError(
                f"mislabelled {self.mislabelled} must lie between 0 and .5, "
                f"permutations {self.permutations} be at least 1"
            )
        check_seeds(self.seeds)


def examine_preset(name: str) -> ExperimentSettings:
    """Returns the settings of a preset.

    Args:
        name: "paper": EXAMINE's sizes and training, for a GPU. "small": for two CPU cores and any
            labelled folder of a few thousand images.

    Raises:
        ValueError: there is no such preset.
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
