"""The page gives the reason of every finding of every image."""

from types import MappingProxyType

import numpy as np

from examine_jax.jobs.assess.assessment import Assessment
from examine_jax.jobs.assess.looking import _ALSO, finding_groups, finding_rows
from examine_jax.quality import FINDINGS, Findings, find
from examine_jax.quality.description import DESCRIPTORS
from examine_jax.quality.measures import MEASURES
from examine_jax.scoring import examine

GROUPS = ["a"] * 80 + ["b"] * 60


def _of(found):
    count = len(found.usable)
    features = np.eye(count, dtype=np.float32)
    return Assessment(
        names=tuple(f"{i}.png" for i in range(count)),
        features=features,
        examination=examine(features),
        rank=np.arange(1, count + 1),
        preprocessing="none",
        findings=found,
    )


def _assessment():
    """Two kinds of images with descriptions that are numbers alone, some of them odd."""
    random = np.random.default_rng(0)
    described = np.abs(random.normal(1, 0.1, (140, len(DESCRIPTORS))))
    described[80:] *= 1.5
    described[random.integers(140, size=40), random.integers(len(DESCRIPTORS), size=40)] += 2
    features = random.normal(size=(140, 6))
    features[[5, 100]] += 30
    return _of(find(described, features=features, groups=GROUPS))


def _shown(assessment):
    """The lines of each shown image, by (finding, image)."""
    groups = finding_groups(assessment, lambda index: np.zeros((2, 2, 1), np.uint8))
    return {(group.title, image.name): image.lines for group in groups for image in group.images}


def test_a_finding_is_a_value_at_the_limit_or_above():
    found = _assessment().findings
    by = {name: [one.name for one in MEASURES if one.finding == name] for name in FINDINGS}
    by["unlike_others"] = ["unlike_others", "unlike_layout", "unlike_features"]
    del by["duplicate"]
    seen = set()
    for row, findings in enumerate(found.findings):
        for name, measures in by.items():
            above = [found.values[one][row] >= found.limits[one][row] for one in measures]
            assert any(above) == (name in findings)
            seen |= {name} & set(findings)
    assert len(seen) > 3
    assert set(found.limits) == set(found.values)
    assert any(len(np.unique(limits)) > 1 for limits in found.limits.values())


def test_every_picture_has_its_reason_with_its_own_threshold():
    assessment = _assessment()
    shown = _shown(assessment)
    assert shown
    for (finding, name), lines in shown.items():
        reasons = [line for line in lines if "threshold" in line]
        assert reasons, (finding, name)
        for line in reasons:
            measure, _, numbers = line.partition(", threshold ")
            measure, _, value = measure.rpartition(" ")
            limits = assessment.findings.limits[measure.replace(" ", "_")]
            assert numbers == f"{limits[int(name.split('.')[0])]:.3g}"
            assert float(value) >= float(numbers) * (1 - 1e-2) - 1e-9


def test_another_layout_alone_is_a_reason_and_kinds_have_their_own_thresholds():
    names = ("unlike_others", "unlike_layout")
    found = Findings(
        usable=np.ones(3, bool),
        outlier=np.array([0.0, 2.0, 1.0]),
        findings=((), ("unlike_others",), ("unlike_others",)),
        values=MappingProxyType({names[0]: np.zeros(3), names[1]: np.array([0.0, 5.0, 3.0])}),
        thresholds=MappingProxyType(dict.fromkeys(names, (4.0, "distance"))),
        limits=MappingProxyType(
            {names[0]: np.full(3, np.inf), names[1]: np.array([4.0, 4.0, 2.5])}
        ),
        duplicates_of=np.full(3, -1),
    )
    assessment = _of(found)
    assert _shown(assessment) == {
        ("unlike others", "1.png"): ("unlike layout 5, threshold 4", "outlier value 2"),
        ("unlike others", "2.png"): ("unlike layout 3, threshold 2.5", "outlier value 1"),
    }
    ((*_, threshold, _),) = finding_rows(assessment)
    assert threshold == "unlike layout from 2.5 to 4, by the kind of image"


def test_every_finding_has_a_sentence():
    assert set(_ALSO) == set(FINDINGS)
