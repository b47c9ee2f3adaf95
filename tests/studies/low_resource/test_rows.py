"""Rows of the study's tables: the validation images choose, and a row may be "not learned"."""

import pathlib

import pytest

from examine_jax.studies.low_resource import published
from examine_jax.studies.low_resource.results import RANDOM_INITIALISATION, RunResults
from examine_jax.studies.low_resource.rows import Row, knn_row, probe_row, verdict


def run(seed: int, batch_size: int, probes: list[tuple[float, float | None, float]]) -> RunResults:
    figures = {
        "k": 5,
        "knn": {"accuracy": 0.5 + seed / 10, "weighted_f1": 0.4, "balanced_accuracy": 0.3},
        "probes": [
            {
                "batch_size": batch_size,
                "learning_rate": rate,
                "validation_accuracy": validation,
                "accuracy": None if validation is None else test,
                "weighted_f1": None if validation is None else test,
                "balanced_accuracy": None if validation is None else test,
            }
            for rate, validation, test in probes
        ],
    }
    return RunResults("breast", seed, "dcl", batch_size, figures, {}, pathlib.Path("none.npz"))


def test_the_probe_is_chosen_by_validation_over_all_seeds_never_by_the_test_images() -> None:
    found = [
        run(0, 16, [(0.01, 0.6, 0.99), (0.1, 0.9, 0.5)]),
        run(1, 16, [(0.01, 0.7, 0.99), (0.1, 0.5, 0.7)]),
        run(0, 32, [(0.01, 1.0, 0.1)]),  # not there for seed 1
    ]
    row = probe_row(found, "breast", "dcl")
    assert row is not None
    assert (row.batch_size, row.learning_rate) == (16, 0.1)
    assert row.accuracy == (0.5, 0.7)


def test_a_learning_rate_at_which_a_probe_diverged_is_passed_over() -> None:
    row = probe_row([run(0, 16, [(0.01, 0.6, 0.4), (0.5, None, 0.0)])], "breast", "dcl")
    assert row is not None
    assert row.learning_rate == 0.01
    assert probe_row([run(0, 16, [(0.5, None, 0.0)])], "breast", "dcl") is None


def test_knn_rows_are_of_one_batch_size() -> None:
    row = knn_row([run(0, 16, []), run(1, 16, []), run(0, 32, [])], "breast", "dcl", 16)
    assert row is not None
    assert row.accuracy == (0.5, 0.6)
    assert knn_row([], "breast", "dcl", 16) is None


@pytest.mark.parametrize(
    ("method", "control", "said"),
    [
        ((0.7, 0.72, 0.71), (0.6, 0.61, 0.6), ""),
        ((0.7, 0.5, 0.62), (0.6, 0.61, 0.6), "not learned"),
        ((0.6, 0.6, 0.6), (0.6, 0.6, 0.6), "not learned"),
        ((0.5, 0.5, 0.5), (0.6, 0.6, 0.6), "not learned"),
        ((0.7,), (0.6,), "not judged: one seed"),
    ],
)
def test_what_is_not_two_standard_errors_above_random_initialisation_is_not_learned(
    method: tuple[float, ...], control: tuple[float, ...], said: str
) -> None:
    seeds = tuple(range(len(method)))
    row = Row("breast", "dcl", seeds, method, method, method)
    assert (
        verdict(row, Row("breast", RANDOM_INITIALISATION, seeds, control, control, control)) == said
    )


def test_nothing_is_called_learned_without_random_initialisation_beside_it() -> None:
    row = Row("breast", "dcl", (0, 1), (0.9, 0.9), (0.9, 0.9), (0.9, 0.9))
    assert verdict(row, None) == "not judged: no random initialisation"


def test_the_papers_numbers_are_whole() -> None:
    methods = ("dcl", "simclr", "simsiam", "vicreg")
    every = {(name, method) for name in published.SETS for method in methods}
    assert set(published.KNN) == set(published.BEST_SETTINGS) == every
    assert set(published.PROBE) == every | {(name, published.IMAGENET) for name in published.SETS}
    # "A large difference for the supervised setup, about 0.023, as compared to the top-performing
    # SSL algorithm, about 0.010".
    accuracy, f1 = published.PROBE["pneumonia", published.IMAGENET]
    assert accuracy - f1 == pytest.approx(0.023)
