import numpy as np

from examine_jax.studies.budget.choices import default_strategy, ways
from examine_jax.studies.budget.results import BudgetResult
from examine_jax.studies.budget.rows import curves, find, gain, gain_text
from examine_jax.studies.budget.settings import BudgetSettings


def result(seed, way, accuracy):
    return BudgetResult(seed, "clean", "colours", way, (10, 20), accuracy, (0, 1), 0.5)


def test_gains_are_taken_seed_by_seed():
    made = curves(
        [
            result(0, "a", (0.5, 0.6)),
            result(0, "random", (0.4, 0.6)),
            result(1, "random", (0.6, 0.5)),
            result(1, "a", (0.5, 0.7)),
            result(2, "a", (0.9, 0.9)),
        ]
    )
    assert [curve.way for curve in made] == ["a", "random"]
    first, random = find(made, "clean", "colours", "a"), find(made, "clean", "colours", "random")
    np.testing.assert_allclose(gain(first, random), [[0.1, 0.0], [-0.1, 0.2]], atol=1e-12)
    assert gain_text(gain(first, random)[:, 1]) == "+0.100 (1 of 2)"
    assert find(made, "artefacts", "colours", "a") is None


def test_the_default_and_random_are_also_judged_without_unusable_images():
    default = default_strategy()
    settings = BudgetSettings(strategies=(default, "random"))
    assert [way.name for way in ways("artefacts", settings)] == [
        default,
        "random",
        f"{default} + usability",
        "random + usability",
        f"{default} + truth",
        "random + truth",
    ]
    assert [way.name for way in ways("clean", settings)][2:] == [
        f"{default} + usability",
        "random + usability",
    ]
    assert [way.name for way in ways("clean", BudgetSettings(strategies=("k_centre",)))] == [
        "k_centre"
    ]
