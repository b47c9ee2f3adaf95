"""A page's rows of settings: what the paper leaves open is marked, also inside other settings."""

import dataclasses

from examine_jax.common.settings import setting
from examine_jax.studies.common.setting_rows import in_words, setting_rows
from examine_jax.studies.low_resource.settings import low_resource_preset


@dataclasses.dataclass(frozen=True)
class Inner:
    spread: str = setting("variance", "The second argument.", open_in_paper=True)
    levels: tuple[float, ...] = (0.1, 1.0)


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner = dataclasses.field(default_factory=Inner)
    model: Inner = dataclasses.field(default_factory=Inner)
    seeds: tuple[int, ...] = (0, 1)
    step: int = setting(10, "The step.", open_in_paper=True)


def test_open_choices_come_first_with_their_explanation() -> None:
    assert list(setting_rows(Outer(), whole_open={"model": "All of it"}).items()) == [
        ("not in the paper: inner.spread", "variance (The second argument)"),
        ("not in the paper: model", "spread variance, levels 0.1 1 (All of it)"),
        ("not in the paper: step", "10 (The step)"),
        ("inner", "spread variance, levels 0.1 1"),
        ("seeds", "0 1"),
    ]


def test_words_have_no_brackets() -> None:
    assert in_words({"type": "A", "b": [1, 2.5], "c": None}) == "b 1 2.5, c None"


def test_every_field_of_a_study_has_a_row() -> None:
    settings = low_resource_preset("paper")
    rows = setting_rows(settings)
    for field in dataclasses.fields(settings):
        assert field.name in rows or f"not in the paper: {field.name}" in rows
    assert "not in the paper: keep_groups" in rows
