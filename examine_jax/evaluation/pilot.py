"""What a pilot of labelled images says of the rest: which strategy, which encoder, how many more.

Everything here is cross-validated within the pilot: part of its images play the pool from which
others are chosen, the rest tests. So a pilot that was chosen one-sidedly judges one-sidedly.

The splits of a cross-validation share most images, so their results go together. Intervals allow
for it: the variance of a mean over n splits is (1/n + 1/(folds - 1)) times that of one split, not
1/n times. The intervals of several comparisons hold together: each is as wide as Bonferroni's
correction asks for.

Source: C. Nadeau and Y. Bengio, "Inference for the generalization error", Machine Learning 52,
2003.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import jax
import numpy as np

from examine_jax.common.shapes import Float, Int, Num, Shaped
from examine_jax.evaluation.metrics import balanced_accuracy
from examine_jax.features.preprocessing import FeatureStatistics, preprocess
from examine_jax.labelled.splits import stratified_split
from examine_jax.selection import (
    FacilityLocation,
    KMeansMedoids,
    Random,
    Strategy,
    TypiClust,
    select,
)

RANDOM = "random"
_EXPONENTS = np.linspace(0.1, 2, 39)


@dataclasses.dataclass(frozen=True)
class PilotSettings:
    """How a pilot is evaluated.

    Attributes:
        folds: of a cross-validation.
        repeats: cross-validations, each with folds of its own.
        budgets: how many budgets are tried, from two images a class to the whole pool, each a
            constant factor above the last.
        draws: bootstrap draws of the learning curve's interval.
        confidence: of the intervals.
        l2: the penalty of the logistic regression.
        seed: of folds, choices and draws.
    """

    folds: int = 5
    repeats: int = 3
    budgets: int = 5
    draws: int = 500
    confidence: float = 0.95
    l2: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.folds < 2 or self.repeats < 1 or self.budgets < 3 or self.draws < 1:
            raise ValueError(
                "folds must be at least 2, repeats and draws at least 1, and budgets at least 3"
            )
        if not 0 < self.confidence < 1 or not self.l2 > 0:
            raise ValueError("confidence must be between 0 and 1, and l2 above 0")


@dataclasses.dataclass(frozen=True)
class Compared:
    """The mean difference of balanced accuracy to another, over splits and budgets.

    Attributes:
        mean: of the differences.
        low, high: the interval. Those of all comparisons of a kind hold together.
    """

    mean: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True, eq=False)
class LearningCurve:
    """Balanced accuracy against the number of labels: limit - drop * labels^-exponent.

    Attributes:
        labels: [M] numbers of labels: those tried, the pilot's, and more.
        accuracy: [M] of the fitted curve.
        low, high: [M] the interval, from curves fitted to bootstrap draws of the splits, widened
            since splits share images. It is that of the curve, not of the next training.
        num_tried: how many of these numbers were tried; the curve goes on beyond them.
        limit, drop, exponent: of the curve; the limit is at most 1.
    """

    labels: Int[np.ndarray, " m"]
    accuracy: Float[np.ndarray, " m"]
    low: Float[np.ndarray, " m"]
    high: Float[np.ndarray, " m"]
    num_tried: int
    limit: float
    drop: float
    exponent: float

    def labels_for(self, accuracy: float) -> float:
        """How many labels reach a balanced accuracy on the curve; infinite beyond its limit."""
        if accuracy >= self.limit:
            return float("inf")
        return float((self.drop / (self.limit - accuracy)) ** (1 / self.exponent))


@dataclasses.dataclass(frozen=True, eq=False)
class PilotResult:
    """What a pilot says.

    Attributes:
        encoders, strategies: names, in the order of the arrays.
        budgets: [B] numbers of chosen images.
        accuracy: [encoders, strategies, B, splits] balanced accuracy on the split's test images.
        encoder, strategy: those with the greatest mean over budgets and splits.
        against_random: of each strategy, with the best encoder, how much better it is than random.
        against_best: of each encoder, with the best strategy, how much worse it is than the best.
        curve: of the best encoder and strategy.
        classes: the labels' names.
        num_labelled: images of the pilot.
    """

    encoders: tuple[str, ...]
    strategies: tuple[str, ...]
    budgets: Int[np.ndarray, " budgets"]
    accuracy: Float[np.ndarray, "encoders strategies budgets splits"]
    encoder: str
    strategy: str
    against_random: Mapping[str, Compared]
    against_best: Mapping[str, Compared]
    curve: LearningCurve
    classes: tuple[str, ...]
    num_labelled: int


def default_strategies() -> dict[str, Strategy]:
    """The strategies that a pilot compares, by name."""
    return {
        RANDOM: Random(),
        "facility_location": FacilityLocation(),
        "k_means_medoids": KMeansMedoids(),
        "typiclust": TypiClust(),
    }


def evaluate_pilot(
    features: Mapping[str, Num[np.ndarray, "_ _"]],
    labels: Shaped[np.ndarray, " labels"] | Sequence[str],
    *,
    groups: Shaped[np.ndarray, " groups"] | None = None,
    strategies: Mapping[str, Strategy] | None = None,
    settings: PilotSettings | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> PilotResult:
    """Says which strategy and encoder would have served a pilot, and what more labels would buy.

    Args:
        features: of the pilot's N images alone, by the encoder's name.
        labels: [N] the class of each image, texts or numbers.
        groups: [N] patients or slides, which are kept within a fold; None: each image alone.
        strategies: by name, "random" among them. None: `default_strategies()`.
        settings: how it is evaluated; None: the defaults.
        on_progress: is told (done, total) splits.

    Returns:
        What the pilot says.

    Raises:
        ValueError: no features; features and labels of different lengths; a single class; a class
            with fewer images (or groups) than folds; "random" is not among the strategies; too few
            images for the budgets; features that `select` refuses.
    """
    settings = settings or PilotSettings()
    strategies = default_strategies() if strategies is None else dict(strategies)
    if RANDOM not in strategies:
        raise ValueError(f"strategies must hold {RANDOM!r}, with which the others are compared")
    if not features:
        raise ValueError("give the features of at least one encoder")
    names, codes = np.unique(np.asarray(labels), return_inverse=True)
    for name, rows in features.items():
        if len(rows) != len(codes):
            raise ValueError(
                f"encoder {name} has features of {len(rows)} images, the pilot has {len(codes)} "
                "labels: give the pilot's rows alone"
            )
    if len(names) < 2:
        raise ValueError(f"the pilot holds {len(names)} class: label images of at least two")
    splits = _splits(codes.astype(np.int32), groups, settings)
    budgets = _budgets(len(names), min(len(train) for train, _ in splits), settings.budgets)
    shape = (len(features), len(strategies), len(budgets), len(splits))
    accuracy = np.empty(shape)
    for place, (train, test) in enumerate(splits):
        for encoder, rows in enumerate(features.values()):
            for number, strategy in enumerate(strategies.values()):
                accuracy[encoder, number, :, place] = _accuracies(
                    np.asarray(rows), codes, train, test, budgets, strategy, settings, place
                )
        if on_progress is not None:
            on_progress(place + 1, len(splits))
    mean = accuracy.mean(axis=(2, 3))
    best_encoder, best_strategy = np.unravel_index(int(mean.argmax()), mean.shape)
    every_encoder, every_strategy = tuple(features), tuple(strategies)
    plain = accuracy[best_encoder, every_strategy.index(RANDOM)]
    best = accuracy[best_encoder, best_strategy]
    return PilotResult(
        every_encoder,
        every_strategy,
        budgets,
        accuracy,
        every_encoder[best_encoder],
        every_strategy[best_strategy],
        {
            name: _compared(accuracy[best_encoder, number] - plain, len(strategies) - 1, settings)
            for number, name in enumerate(every_strategy)
            if name != RANDOM
        },
        {
            name: _compared(accuracy[number, best_strategy] - best, len(features) - 1, settings)
            for number, name in enumerate(every_encoder)
        },
        learning_curve(budgets, best, len(codes), settings),
        tuple(map(str, names)),
        len(codes),
    )


def check_pilot(
    labels: Shaped[np.ndarray, " labels"],
    groups: Shaped[np.ndarray, " groups"] | None = None,
    settings: PilotSettings | None = None,
) -> None:
    """Refuses labels that `evaluate_pilot` would refuse whatever the features are.

    Args:
        labels: the class of each image.
        groups: as in `evaluate_pilot`.
        settings: as in `evaluate_pilot`.

    Raises:
        ValueError: as `evaluate_pilot`; the message names the class.
    """
    settings = settings or PilotSettings()
    splits = _splits(labels, groups, settings)
    _budgets(len(np.unique(labels)), min(len(train) for train, _ in splits), settings.budgets)


def learning_curve(
    labels: Int[np.ndarray, " budgets"],
    accuracy: Float[np.ndarray, "budgets splits"],
    num_labelled: int,
    settings: PilotSettings | None = None,
) -> LearningCurve:
    """Fits limit - drop * labels^-exponent to balanced accuracies by least squares.

    Args:
        labels: numbers of labels, at least three.
        accuracy: at each number, in each split.
        num_labelled: the pilot's size; the curve is given up to 8 times as many labels.
        settings: of the bootstrap; None: the defaults.

    Source: power laws of learning curves: Figueroa et al., Predicting sample size required for
        classification performance, 2012.
    """
    settings = settings or PilotSettings()
    more = [round(num_labelled * factor) for factor in (1, 1.5, 2, 4, 8)]
    shown = np.array([*labels.tolist(), *(count for count in more if count > labels[-1])])
    fitted = _fit(labels, accuracy.mean(axis=1))
    random = np.random.default_rng(settings.seed)
    curves = np.empty((settings.draws, len(shown)))
    for draw in range(settings.draws):
        some = random.integers(accuracy.shape[1], size=accuracy.shape[1])
        curves[draw] = _values(shown, *_fit(labels, accuracy[:, some].mean(axis=1)))
    tail = (1 - settings.confidence) / 2
    middle = _values(shown, *fitted)
    apart = np.quantile(curves, [tail, 1 - tail], axis=0) - middle
    widened = middle + apart * np.sqrt(accuracy.shape[1] * _variance_share(accuracy, settings))
    low, high = np.clip(widened, 0, 1)
    return LearningCurve(shown, middle, low, high, len(labels), *fitted)


def _fit(
    labels: Int[np.ndarray, " budgets"], accuracy: Float[np.ndarray, " budgets"]
) -> tuple[float, float, float]:
    """(limit, drop, exponent) with the least squared error; limit at most 1, drop at least 0."""
    best = (np.inf, (0.0, 0.0, 1.0))
    for exponent in _EXPONENTS:
        falls = np.asarray(labels, float) ** -exponent
        centred = falls - falls.mean()
        drop = max(-float(centred @ accuracy) / float(centred @ centred), 0.0)
        limit = float(accuracy.mean()) + drop * float(falls.mean())
        if limit > 1:  # the best line through 1
            limit = 1.0
            drop = max(float(falls @ (1 - accuracy)) / float(falls @ falls), 0.0)
        error = float(np.square(limit - drop * falls - accuracy).sum())
        if error < best[0]:
            best = (error, (limit, drop, float(exponent)))
    return best[1]


def _values(
    labels: Int[np.ndarray, " m"], limit: float, drop: float, exponent: float
) -> Float[np.ndarray, " m"]:
    return limit - drop * np.asarray(labels, float) ** -exponent


def _splits(
    codes: Shaped[np.ndarray, " n"],
    groups: Shaped[np.ndarray, " n"] | None,
    settings: PilotSettings,
) -> list[tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]]:
    found = []
    for repeat in range(settings.repeats):
        parts = stratified_split(
            codes, groups, shares=(1.0,) * settings.folds, seed=settings.seed + repeat
        )
        for test in parts:
            found.append((np.setdiff1d(np.arange(len(codes)), test), test))
    return found


def _budgets(num_classes: int, most: int, count: int) -> Int[np.ndarray, " budgets"]:
    least = min(2 * num_classes, most)
    found = np.unique(np.rint(np.geomspace(least, most, count)).astype(np.int64))
    if len(found) < 3:
        raise ValueError(
            f"{most} images of {num_classes} classes are left to choose from: too few for a "
            "learning curve; label more, or merge classes"
        )
    return found


def _accuracies(
    features: Num[np.ndarray, "n d"],
    codes: Int[np.ndarray, " n"],
    train: Int[np.ndarray, " train"],
    test: Int[np.ndarray, " test"],
    budgets: Int[np.ndarray, " budgets"],
    strategy: Strategy,
    settings: PilotSettings,
    split: int,
) -> Float[np.ndarray, " budgets"]:
    """Of the first so many images that a strategy chooses."""
    from sklearn.linear_model import LogisticRegression

    own = features[train].astype(np.float64)
    scaled = preprocess(features.astype(np.float64), "zscore", FeatureStatistics.of(own))
    key = jax.random.fold_in(jax.random.key(settings.seed), split)
    # The first k of a choice are a choice of k, as they are for who stops early.
    order = train[select(features[train], int(budgets[-1]), strategy=strategy, key=key).indices]
    found = np.empty(len(budgets))
    for place, budget in enumerate(budgets.tolist()):
        some = order[:budget]
        if len(np.unique(codes[some])) < 2:
            predicted = np.full(len(test), codes[some[0]])
        else:
            model = LogisticRegression(C=1 / settings.l2, max_iter=1000)
            predicted = model.fit(scaled[some], codes[some]).predict(scaled[test])
        found[place] = balanced_accuracy(codes[test], predicted, int(codes.max()) + 1)
    return found


def _compared(
    differences: Float[np.ndarray, "budgets splits"], comparisons: int, settings: PilotSettings
) -> Compared:
    """The mean over splits, with a t interval of the corrected variance."""
    from scipy.special import stdtrit

    each = differences.mean(axis=0)
    tail = (1 - settings.confidence) / 2 / max(comparisons, 1)
    error = np.sqrt(_variance_share(differences, settings) * each.var(ddof=1))
    reach = float(stdtrit(len(each) - 1, 1 - tail) * error)
    mean = float(each.mean())
    return Compared(mean, mean - reach, mean + reach)


def _variance_share(values: Float[np.ndarray, "budgets splits"], settings: PilotSettings) -> float:
    """The variance of a mean over splits, as a share of that of one split."""
    return 1 / values.shape[1] + 1 / (settings.folds - 1)
