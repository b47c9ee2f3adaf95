"""`select`: what it refuses, what it promises of every strategy, and awkward inputs."""

import dataclasses
import inspect
import os
import pathlib
import subprocess
import sys

import jax
import numpy as np
import pytest

import examine_jax
from examine_jax.selection import (
    STRATEGIES,
    Choice,
    FacilityLocation,
    KMeansMedoids,
    Random,
    select,
    strategy_of,
)
from examine_jax.selection.arguments import groups_of, matrix_of
from examine_jax.selection.budget import number_of_images
from tests.support.devices import ENOUGH_THREADS

NAMES = tuple(STRATEGIES)
ON_DEVICES = ("k_means_medoids", "k_centre")
GREEDY = ("facility_location", "max_herding", "prob_cover", "k_centre", "random", "examine")


def _clusters(count: int = 200, width: int = 12, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(10, width))
    rows = centres[random.integers(10, size=count)] + 0.3 * random.normal(size=(count, width))
    return rows.astype(np.float32)


FEATURES = _clusters()


@pytest.mark.parametrize("name", NAMES)
def test_what_every_strategy_promises(name: str) -> None:
    random = np.random.default_rng(1)
    groups = random.integers(30, size=len(FEATURES)).astype(str)
    usable = random.random(len(FEATURES)) < 0.8
    labelled = np.array([5, 17, 60])
    found = select(
        FEATURES,
        20,
        usable=usable,
        groups=groups,
        per_group=1,
        labelled=labelled,
        strategy=dataclasses.replace(STRATEGIES[name](), preprocessing="l2"),
        key=3,
    )
    chosen = found.indices
    assert chosen.dtype == np.int64
    assert len(set(chosen)) == 20
    assert usable[chosen].all()
    assert not set(chosen) & set(labelled)
    # No group twice, the labelled images' groups included.
    assert len({*groups[chosen], *groups[labelled]}) == 20 + len(set(groups[labelled]))
    # Representatives against a plain loop over distances of unit rows.
    unit = FEATURES / np.linalg.norm(FEATURES, axis=1, keepdims=True)
    both = np.concatenate([labelled, chosen])
    distance = np.linalg.norm(unit[:, None] - unit[both][None], axis=2)
    seen = usable.copy()
    seen[labelled] = True
    np.testing.assert_array_equal(found.representative[seen], both[distance.argmin(1)][seen])
    np.testing.assert_allclose(found.distance[seen], distance.min(1)[seen], atol=2e-3)
    assert (found.representative[~seen] == -1).all()
    assert np.isnan(found.distance[~seen]).all()
    counts = [(found.representative[usable] == image).sum() for image in chosen]
    np.testing.assert_array_equal(found.covers, counts)
    for place, nearest in enumerate(found.nearest_chosen):
        earlier = np.concatenate([labelled, chosen[:place]])
        expected = np.linalg.norm(unit[chosen[place]] - unit[earlier], axis=1)
        assert nearest == earlier[expected.argmin()]
        assert found.nearest_distance[place] == pytest.approx(expected.min(), abs=2e-3)


@pytest.mark.parametrize("name", GREEDY)
def test_a_greedy_choice_is_nested_and_goes_on_in_a_second_round(name: str) -> None:
    strategy = STRATEGIES[name]()
    whole = select(FEATURES, 24, strategy=strategy, key=1)
    first = select(FEATURES, 9, strategy=strategy, key=1)
    second = select(FEATURES, 15, strategy=strategy, key=1, labelled=first.indices)
    np.testing.assert_array_equal(whole.indices, [*first.indices, *second.indices])
    mask = np.zeros(len(FEATURES), bool)
    mask[first.indices] = True
    by_mask = select(FEATURES, 15, strategy=strategy, key=1, labelled=mask)
    np.testing.assert_array_equal(by_mask.indices, second.indices)
    assert whole.nearest_chosen[0] == -1
    assert np.isinf(whole.nearest_distance[0])


@pytest.mark.parametrize("name", ["k_means_medoids", "typiclust", "facility_location"])
def test_the_first_k_of_many_cover_nearly_as_well_as_a_choice_of_k(name: str) -> None:
    def cost(indices: np.ndarray) -> float:
        unit = FEATURES / np.linalg.norm(FEATURES, axis=1, keepdims=True)
        distance = np.square(unit[:, None] - unit[indices][None]).sum(axis=2)
        return float(distance.min(axis=1).sum())

    strategy = dataclasses.replace(STRATEGIES[name](), preprocessing="l2")
    many = select(FEATURES, 40, strategy=strategy).indices
    for k in (5, 10, 20):
        assert cost(many[:k]) < 1.3 * cost(select(FEATURES, k, strategy=strategy).indices)
        assert cost(many[:k]) < 0.8 * cost(select(FEATURES, k, strategy=Random()).indices)


@pytest.mark.parametrize("name", NAMES)
def test_the_choice_is_repeatable_and_of_images_in_any_layout(name: str) -> None:
    strategy = STRATEGIES[name]()
    expected = select(FEATURES, 12, strategy=strategy, key=jax.random.key(7)).indices
    for other in (np.asfortranarray(FEATURES), FEATURES.astype(">f4"), FEATURES.astype(np.float64)):
        np.testing.assert_array_equal(select(other, 12, strategy=strategy, key=7).indices, expected)


def test_the_choice_does_not_depend_on_the_number_of_devices(tmp_path: pathlib.Path) -> None:
    np.save(tmp_path / "f.npy", FEATURES)
    code = f"""
import jax, numpy as np
from examine_jax.selection import STRATEGIES, select
assert len(jax.devices()) == 4
features = np.load({str(tmp_path / "f.npy")!r})
for name in {ON_DEVICES!r}:
    found = select(features, 12, strategy=STRATEGIES[name](), labelled=[3])
    print(*found.indices, *found.representative)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        env={
            **os.environ,
            **ENOUGH_THREADS,
            "JAX_PLATFORMS": "cpu",
            "XLA_FLAGS": "--xla_force_host_platform_device_count=4"
            " --xla_backend_optimization_level=0",
        },
    )
    assert done.returncode == 0, done.stderr
    for name, line in zip(ON_DEVICES, done.stdout.splitlines(), strict=True):
        found = select(FEATURES, 12, strategy=STRATEGIES[name](), labelled=[3])
        expected = [*found.indices, *found.representative]
        np.testing.assert_array_equal([int(text) for text in line.split()], expected, name)


@pytest.mark.parametrize(
    ("budget", "number"),
    [(7, 7), (np.int32(7), 7), (0.02, 4), ("2%", 4), ("9", 9), (1e-9, 1), (1.0, 200)],
)
def test_budgets(budget: object, number: int) -> None:
    assert len(select(FEATURES, budget, strategy=Random()).indices) == number


def _with_nan() -> np.ndarray:
    features = FEATURES.copy()
    features[[3, 77], 2] = np.nan, np.inf
    return features


REFUSED = [
    ({"budget": 0}, "budget 0 asks for no image"),
    ({"budget": -3}, "budget -3 asks for no image"),
    ({"budget": 0.0}, "asks for no image"),
    ({"budget": 1.5}, "a share of 150%"),
    ({"budget": "150%"}, "a share of 150%"),
    ({"budget": "many"}, "'many'"),
    ({"budget": True}, "is no number"),
    ({"budget": float("nan")}, "asks for no image"),
    ({"budget": 201}, "budget 201 is above the 200 images"),
    ({"budget": 3, "usable": np.arange(200) < 2}, "budget 3 is above the 2 images"),
    ({"budget": 3, "usable": np.zeros(200, bool)}, "none of the 200 images is usable"),
    ({"budget": 3, "usable": np.ones(7, bool)}, "usable has the shape"),
    ({"budget": 3, "labelled": np.arange(198)}, "budget 3 is above the 2 images"),
    ({"budget": 3, "labelled": [4, 200, -1]}, "not there: 200, -1"),
    ({"budget": 3, "labelled": np.ones(7, bool)}, "labelled is a mask of shape"),
    ({"budget": 3, "groups": np.arange(200) // 100, "per_group": 1}, "budget 3 is above the 2"),
    ({"budget": 3, "per_group": 1}, "give groups too"),
    ({"budget": 3, "groups": np.arange(200), "per_group": 0}, "per_group must be"),
    ({"budget": 3, "groups": np.arange(9), "per_group": 1}, "groups have the shape"),
    ({"budget": 3, "features": _with_nan()}, "features of rows 3, 77 are not finite"),
    ({"budget": 3, "features": FEATURES[0]}, "features have the shape"),
    ({"budget": 3, "features": FEATURES.astype(complex)}, "features have the dtype complex128"),
    ({"budget": 3, "strategy": Random}, r"strategy Random is a class: give a value of it, Random"),
    ({"budget": 3, "groups": [None, *"ab" * 99, None], "per_group": 1}, "rows 0, 199 are missing"),
    ({"budget": 3, "groups": [np.nan, *range(199)], "per_group": 1}, "rows 0 are missing"),
    ({"budget": 3, "groups": np.r_[np.arange(199), np.nan], "per_group": 1}, "rows 199 are"),
    ({"budget": 3, "groups": ["", *"ab" * 99, "a"], "per_group": 1}, "rows 0 are missing"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_refusals(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        select(**{"features": FEATURES, **arguments})
    assert "\n" not in str(caught.value)


MISTYPED = [
    (matrix_of, (FEATURES.astype(str),), "features have the dtype <U"),
    (matrix_of, (FEATURES.astype(object),), "features have the dtype object"),
    (number_of_images, (np.True_, 5), "is no number"),
    (groups_of, (np.arange(5), np.inf, 5, np.array([0])), "per_group must be"),
    (groups_of, (np.arange(5), "2", 5, np.array([0])), "per_group must be"),
]


@pytest.mark.parametrize(("function", "arguments", "message"), MISTYPED)
def test_refusals_of_what_the_types_forbid(function, arguments, message) -> None:  # type: ignore
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(function)(*arguments)


def test_groups_of_numbers_and_texts_and_features_of_bfloat16() -> None:
    groups = [1, "a"] * 100
    found = select(FEATURES, 2, groups=groups, per_group=1, strategy=Random())
    assert len({groups[image] for image in found.indices}) == 2
    assert len(select(jax.numpy.asarray(FEATURES, "bfloat16"), 3, strategy=Random()).indices) == 3


def test_features_of_unusable_images_may_be_anything() -> None:
    found = select(_with_nan(), 5, usable=np.isfinite(_with_nan()).all(1))
    assert not {3, 77} & set(found.indices)
    assert found.covers.sum() == 198


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("features", [np.ones((1, 3)), np.ones((5, 3)), np.zeros((4, 2))])
def test_one_image_and_constant_features(name: str, features: np.ndarray) -> None:
    found = select(features, len(features), strategy=STRATEGIES[name]())
    assert sorted(found.indices) == list(range(len(features)))
    assert (found.distance == 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_two_images_a_huge_one_and_tiny_ones(name: str) -> None:
    strategy = STRATEGIES[name]()
    assert sorted(select(np.array([[1.0, 2], [-3, 4]]), 2, strategy=strategy).indices) == [0, 1]
    huge = np.concatenate([FEATURES[:40].astype(np.float64), np.full((1, 12), 1e300)])
    tiny = FEATURES[:40].astype(np.float64) * 1e-300
    for features in (huge, tiny):
        found = select(features, 8, strategy=strategy)
        assert len(set(found.indices)) == 8
        assert np.isfinite(found.distance).all()


@pytest.mark.parametrize("unit", [3e6, 1e-9, 1e200])
def test_with_zscore_a_columns_unit_does_not_matter(unit: float) -> None:
    strategy = KMeansMedoids()
    assert strategy.preprocessing == "zscore"
    features = FEATURES.astype(np.float64)
    expected = select(features, 8, strategy=strategy).indices
    features[:, 5] *= unit
    np.testing.assert_array_equal(select(features, 8, strategy=strategy).indices, expected)


@pytest.mark.parametrize("preprocessing", ["none", "l2", "zscore"])
def test_one_huge_entry_does_not_make_all_other_images_equal(preprocessing: str) -> None:
    features = _clusters(80).astype(np.float64)
    strategy = KMeansMedoids(preprocessing=preprocessing)
    features[40, 3] = 1e9
    found = select(features, 8, strategy=strategy)
    assert found.facts["duplicates"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_equal_images_count_once_and_a_second_one_comes_last(name: str) -> None:
    doubled = np.concatenate([FEATURES[:30], FEATURES[:30]])
    found = select(doubled, 30, strategy=STRATEGIES[name]())
    assert len(set(found.indices % 30)) == 30
    assert found.facts["duplicates"] == 30
    found = select(doubled, 35, strategy=STRATEGIES[name](), labelled=[40])
    assert len(set(found.indices[:29] % 30)) == 29
    assert 10 not in found.indices[:29]


@pytest.mark.parametrize("name", ["random", "examine"])
def test_images_that_differ_by_rounding_count_once(name: str) -> None:
    noise = 1e-5 * np.random.default_rng(2).normal(size=(30, 12))
    doubled = np.concatenate([FEATURES[:30], FEATURES[:30] + noise])
    found = select(doubled, 30, strategy=STRATEGIES[name]())
    assert len(set(found.indices % 30)) == 30


class Last:
    """A strategy from outside: the last open rows."""

    preprocessing = "none"

    def __init__(self, spoil: str = ""):
        self.spoil = spoil

    def choose(self, pool, budget, key):  # type: ignore[no-untyped-def]
        rows = np.flatnonzero(pool.open)[::-1][:budget]
        if self.spoil == "twice":
            rows[1] = rows[0]
        if self.spoil == "closed":
            rows[0] = pool.labelled[0]
        return Choice(rows[:3] if self.spoil == "few" else rows, {"seen": 1.0})


def test_a_strategy_from_outside() -> None:
    assert isinstance(strategy_of("tests.selection.test_select:Last"), Last)
    found = select(FEATURES, 5, strategy=Last(), labelled=[0])
    assert found.indices.tolist() == [199, 198, 197, 196, 195]
    assert found.facts["seen"] == 1
    assert len(select(FEATURES, 5, strategy=Last("few")).indices) == 5
    with pytest.raises(ValueError, match="twice"):
        select(FEATURES, 5, strategy=Last("twice"))
    with pytest.raises(ValueError, match="not open"):
        select(FEATURES, 5, strategy=Last("closed"), labelled=[0])
    with pytest.raises(ValueError, match="unknown strategy 'best': choose from"):
        strategy_of("best")
    with pytest.raises(ValueError, match="without preprocessing"):
        strategy_of("builtins:dict")


def test_progress_and_the_package_name() -> None:
    seen: list[tuple[int, int]] = []
    found = examine_jax.select(
        FEATURES, 6, strategy=FacilityLocation(), on_progress=lambda *x: seen.append(x)
    )
    assert isinstance(found, examine_jax.Selection)
    assert seen[-1] == (6, 6)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_selection_needs_jax_and_numpy_alone() -> None:
    code = """
import sys, jax
before = set(sys.modules)
import examine_jax
examine_jax.select
heavy = ("flax", "optax", "sklearn", "scipy", "PIL", "tqdm", "absl.flags")
print([name for name in heavy if name in sys.modules and name not in before])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
