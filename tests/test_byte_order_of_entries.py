"""Every entry takes arrays in either byte order, and gives the same result for both."""

import pathlib
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import examine_jax as ej
from examine_jax.evaluation.classifier_training import ClassifierTraining
from examine_jax.evaluation.control_features import raw_pixels
from examine_jax.evaluation.feature_rank import feature_deviation, rank_me
from examine_jax.evaluation.linear_probe import LinearProbe
from examine_jax.evaluation.metrics import classification_metrics
from examine_jax.evaluation.mlp_probe import two_layer_probe
from examine_jax.evaluation.noise_separation import noise_separation
from examine_jax.features.feature_chunks import open_features
from examine_jax.features.neighbours import knn_scores, nearest_neighbours
from examine_jax.features.preprocessing import preprocess
from examine_jax.influence.last_layer import (
    LayerPass,
    last_layer_self_influence,
    last_layer_tracin,
)
from examine_jax.jobs.assess.assess import assess_features
from examine_jax.jobs.assess.settings import AssessSettings
from examine_jax.jobs.score import ScoreSettings, score_features
from examine_jax.jobs.value.value import ValueFiles, value_files
from examine_jax.labelled.labelled_rows import LabelledRows
from examine_jax.training.devices import data_mesh, place_batch
from examine_jax.valuation import ValueSettings, fit_logistic, value_features
from examine_jax.valuation.registry import VALUERS
from examine_jax.valuation.valuers.entry import ValidationSet, ValuerOptions

_GENERATOR = np.random.default_rng(0)
# Sixteenths: they are exact in float16.
FEATURES = np.round(_GENERATOR.normal(size=(36, 6)) * 16) / 16
OTHERS = np.round(_GENERATOR.normal(size=(24, 6)) * 16) / 16
LABELS, OTHER_LABELS = np.arange(36) % 3, np.arange(24) % 3
GROUPS = np.arange(36) // 3
OPTIONS = ValuerOptions(permutations=4, truncate=False, sets=8, bags=30)


class Order:
    """Arrays of one float and one integer type, in one byte order."""

    def __init__(self, order: str, floats: str, integers: str, folder: pathlib.Path):
        self.floats, self.integers = np.dtype(order + floats), np.dtype(order + integers)
        self.folder = folder

    def number(self, values: Any) -> np.ndarray:
        return np.asarray(values).astype(self.floats)

    def whole(self, values: Any) -> np.ndarray:
        return np.asarray(values).astype(self.integers)

    def file(self, name: str, values: np.ndarray) -> str:
        path = self.folder / name
        np.save(path, values)
        return str(path)


def _valuer(name: str) -> Callable[[Order], Any]:
    def value(given: Order) -> Any:
        entry = VALUERS[name]
        validation = ValidationSet(given.number(OTHERS), given.whole(OTHER_LABELS))
        valuer = entry.make(OPTIONS, validation if entry.needs == "validation" else None)
        labels = given.whole(LABELS) if entry.needs_labels else None
        return valuer.value(given.number(FEATURES), labels, jax.random.key(0)).values

    return value


def _value_features(given: Order) -> Any:
    settings = ValueSettings(valuers=("examine", "loo", "knn_shapley"))
    rows = LabelledRows(given.number(FEATURES), given.whole(LABELS), given.whole(GROUPS))
    validation = LabelledRows(given.number(OTHERS), given.whole(OTHER_LABELS))
    found = value_features(rows, given.folder, settings, validation=validation)
    return {name: valuation.values for name, valuation in found.valuations.items()}


def _value_files(given: Order) -> Any:
    files = ValueFiles(
        workdir=given.folder / "work",
        features=given.file("features.npy", given.number(FEATURES)),
        labels=given.file("labels.npy", given.whole(LABELS)),
    )
    settings = ValueSettings(valuers=("examine", "loo", "knn_shapley"))
    found = value_files(files, settings).values
    return {name: valuation.values for name, valuation in found.valuations.items()}


def _layer(given: Order) -> Any:
    train = [LayerPass(given.number(FEATURES), given.number(FEATURES[:, :3]), 0.1)]
    test = [LayerPass(given.number(OTHERS), given.number(OTHERS[:, :3]), 0.1)]
    influences = last_layer_tracin(train, test, bias=True)
    return influences.matrix(), last_layer_self_influence(train, bias=True)


def _assess(given: Order) -> Any:
    path = given.file("features.npy", given.number(FEATURES))
    found = assess_features(path, given.folder / "work", AssessSettings(), progress=False)
    return found.features, found.examination.gap, found.rank


def _score(given: Order) -> Any:
    path = given.file("features.npy", given.number(FEATURES))
    output = given.folder / "scores.csv"
    found = score_features(ScoreSettings(features=path, output=output), progress=False)
    return found.gap, np.array(output.read_text().split(","))


def _probe(given: Order) -> Any:
    probe = LinearProbe().fit(given.number(FEATURES), given.whole(LABELS), num_classes=3)
    return probe.scores(given.number(OTHERS))


def _two_layers(given: Order) -> Any:
    training = ClassifierTraining(epochs=1, batch_size=12)
    found = two_layer_probe(
        given.number(FEATURES), given.whole(LABELS), num_classes=3, training=training
    )
    return found.scores(given.number(OTHERS))


ENTRIES: dict[str, Callable[[Order], Any]] = {
    **{
        f"valuer {name}": _valuer(name)
        for name, entry in VALUERS.items()
        if entry.needs != "images"
    },
    "value_features": _value_features,
    "value --features": _value_files,
    "assess --features": _assess,
    "score --features": _score,
    "examine": lambda given: ej.examine(given.number(FEATURES)).gap,
    "examine_groups": lambda given: (
        ej.examine_groups(given.number(FEATURES), given.whole(GROUPS), num_groups=12).gap
    ),
    "summary": lambda given: ej.SpectralSummary.of(given.number(FEATURES)).scatter,
    "fit_logistic": lambda given: fit_logistic(given.number(FEATURES), given.whole(LABELS)).weights,
    "last_layer_tracin": _layer,
    "nearest_neighbours": lambda given: nearest_neighbours(
        given.number(FEATURES), given.number(OTHERS), k=3
    ),
    "knn_scores": lambda given: knn_scores(
        given.number(FEATURES), given.whole(LABELS), given.number(OTHERS), k=3, num_classes=3
    ),
    "preprocess": lambda given: [
        preprocess(given.number(FEATURES), kind) for kind in ("none", "l2", "zscore")
    ],
    "open_features": lambda given: np.concatenate(
        list(open_features(given.file("features.npy", given.number(FEATURES))))
    ),
    "rank_me": lambda given: rank_me(given.number(FEATURES)),
    "feature_deviation": lambda given: feature_deviation(given.number(FEATURES)),
    "linear probe": _probe,
    "two_layer_probe": _two_layers,
    "classification_metrics": lambda given: classification_metrics(
        given.whole(LABELS), given.number(np.abs(FEATURES[:, :3]))
    ),
    "noise_separation": lambda given: (
        noise_separation(given.number(FEATURES[:, 0]), given.number(LABELS)).auroc
    ),
    "training batch": lambda given: place_batch(data_mesh(36), given.whole(LABELS), 36),
    "raw_pixels": lambda given: raw_pixels(
        given.number((np.abs(FEATURES) / 4).reshape(36, 2, 3, 1))
    ),
}


@pytest.mark.parametrize(
    ("floats", "integers"), [("f2", "i2"), ("f4", "i4"), ("f8", "i8")], ids="/".join
)
@pytest.mark.parametrize("entry", ENTRIES)
def test_both_byte_orders_give_one_result(
    entry: str, floats: str, integers: str, tmp_path: pathlib.Path
) -> None:
    results = []
    for order in "<>":
        (tmp_path / order).mkdir()
        found = ENTRIES[entry](Order(order, floats, integers, tmp_path / order))
        results.append([np.asarray(leaf) for leaf in jax.tree.leaves(found)])
    assert results[0]
    for one, other in zip(*results, strict=True):
        assert one.dtype.isnative
        assert other.dtype.isnative
        np.testing.assert_array_equal(one, other)
