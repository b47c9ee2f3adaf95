"""The settings of EXAMINE's study; the defaults are the paper's values."""

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

    If there are too few images, or groups do not fit these sizes, all sets are smaller in
    proportion.

    Attributes:
        pretraining: images that encoders are trained on.
        assessed: images that are scored and valued.
        clean: images that every classifier is trained on; the experiments on choosing add assessed
            images to them.
        validation: images that classifiers are measured on.
    """

    pretraining: int = 160_000
    assessed: int = 500
    clean: int = 100
    validation: int = 20_000

    def __post_init__(self) -> None:
        if min(dataclasses.astuple(self)) < 2:
            raise ValueError(f"every set needs at least two images, got {self}")


@dataclasses.dataclass(frozen=True)
class NoiseSettings:
    """The corruption of the assessed and of the training images.

    Attributes:
        levels: the noise levels delta of the corrupted images; the defaults are the paper's.
        assessed, pretraining: the shares of these sets that are corrupted. The paper corrupts 400
            of 500 and 60,000 of 160,000 images.
        spread: whether delta * m in N(delta, delta * m) is a variance or a standard deviation.
        division: "even": every level has the same number of corrupted images. "drawn": each image
            draws its level.
        training: "clean_then_mixed" (as in the paper) or "clean".
        clean_share: the share of the training steps that use clean images only.
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
                f"assessed {self.assessed} and clean_share {self.clean_share} must be above 0 and "
                f"below 1; pretraining {self.pretraining} must be from 0 to 1"
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
        methods: the first is the main method, whose features are valued (Fig. 3). All methods are
            compared (Fig. 2b).
        presets: one preset per method (`pretraining.preset_names`).
        architecture: the name of the architecture.
        network: an architecture that replaces the named one.
        steps: steps per training. None: the number that fits into `minutes`, or the preset's.
        minutes: computing time per training: CPU time on a CPU, wall time elsewhere. The time of a
            step is measured once and stored, so that all seeds train for the same number of steps.
        batch_size: images per batch, at most those of the training set. None: the preset's.
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
        """Returns the architecture that is trained."""
        return self.network or named_architecture(self.architecture)


def _known_valuers() -> tuple[str, ...]:
    names = (*feature_valuers(with_labels=False), *feature_valuers(with_labels=True))
    return tuple(name for name in names if name != RANDOM)


@dataclasses.dataclass(frozen=True)
class ExperimentSettings:
    """The settings of the whole study. Stored folders contain this class's name.

    Attributes:
        sizes, noise, training: the sizes of the sets, their noise, and how encoders are trained.
        preprocessing: is applied to features before they are examined, valued and classified.
            Z-scores use the features of the clean training images.
        valued_on: the images that define the utility V of valuers that need labels. "validation":
            the whole validation set; the curves are measured on it too. "half": one half of it (a
            group is in one half); the curves are measured on the other half.
        valuers: the valuers besides random, which is always included.
        model, metric: define V: the model that is fitted, and the metric of the fitted model.
        permutations: the largest number of permutations of tmc_shapley, which stops by
            DataShapley's rule.
        curves: the step and the ends of the curves.
        mislabelled: the share of the assessed images that get a wrong label. The paper does not
            have this experiment.
        seeds: each seed is a full repetition: sets, noise, training, values. The paper has five.
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
                f"valuers {', '.join(self.valuers)}: name examine and others, once each, out of "
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
                f"permutations {self.permutations} must be at least 1"
            )
        check_seeds(self.seeds)


def examine_preset(name: str) -> ExperimentSettings:
    """Returns the settings of a preset.

    Args:
        name: "paper": the paper's sizes and training, for a GPU. "small": for two CPU cores and
            any labelled folder with a few thousand images.

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
