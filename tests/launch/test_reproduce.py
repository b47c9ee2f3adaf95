"""One command for all studies: `reproduce STUDY` is the study's own command."""

import importlib
import pathlib

import pytest

from examine_jax.studies.registry import STUDIES
from tests.support.commands import run, run_here

FOLDERS = pathlib.Path(importlib.import_module("examine_jax.studies").__path__[0])


def test_each_study_folder_is_registered_and_exports_run() -> None:
    folders = {file.parent.name for file in FOLDERS.glob("*/__init__.py")} - {"common"}
    assert folders == set(STUDIES)
    for name in STUDIES:
        assert callable(importlib.import_module(f"examine_jax.studies.{name}").run)


def test_without_a_study_the_studies_are_named_in_one_line() -> None:
    for reproduce, arguments in ((run, ()), (run_here, ("moco",))):
        code, errors = reproduce("reproduce", *arguments)
        assert code == 1
        assert errors.splitlines() == [errors.strip()]
        assert all(name in errors for name in STUDIES)


def test_help_lists_the_studies_with_what_they_repeat() -> None:
    code, text = run_here("reproduce", "--help")
    assert code == 0
    assert all(name in text and about in text for name, about in STUDIES.items())


@pytest.mark.parametrize("study", STUDIES)
def test_a_studys_help_and_errors_are_those_of_its_own_command(study: str) -> None:
    code, text = run_here("reproduce", study, "--help")
    assert code == 0
    assert "--workdir=FOLDER" in text
    assert len(text.splitlines()) <= 50  # a screen
    code, errors = run_here("reproduce", study)
    assert code == 1
    assert f"reproduce-{study.replace('_', '-')}: --workdir=FOLDER is missing" in errors
