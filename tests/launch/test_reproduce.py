"""One command for all studies: `reproduce STUDY` is the study's own command."""

import importlib
import pathlib
import subprocess
import sys

import pytest

from examine_jax.studies.registry import STUDIES
from tests.support.commands import ROOT

FOLDERS = pathlib.Path(importlib.import_module("examine_jax.studies").__path__[0])


def reproduce(*arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "launch.reproduce", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    return done.returncode, done.stdout, done.stderr


def test_each_study_folder_is_registered_and_exports_run() -> None:
    folders = {file.parent.name for file in FOLDERS.glob("*/__init__.py")} - {"common"}
    assert folders == set(STUDIES)
    for name in STUDIES:
        assert callable(importlib.import_module(f"examine_jax.studies.{name}").run)


def test_without_a_study_the_studies_are_named_in_one_line() -> None:
    for arguments in ((), ("moco",)):
        code, _, errors = reproduce(*arguments)
        assert code == 1
        assert errors.splitlines() == [errors.strip()]
        assert all(name in errors for name in STUDIES)


def test_help_lists_the_studies_with_what_they_repeat() -> None:
    code, text, _ = reproduce("--help")
    assert code == 0
    assert all(name in text and about in text for name, about in STUDIES.items())


@pytest.mark.parametrize("study", STUDIES)
def test_a_studys_help_and_errors_are_those_of_its_own_command(study: str) -> None:
    code, text, _ = reproduce(study, "--help")
    assert code == 0
    assert "--workdir=FOLDER" in text
    assert len(text.splitlines()) <= 50  # a screen
    code, _, errors = reproduce(study)
    assert code == 1
    assert f"reproduce-{study.replace('_', '-')}: --workdir=FOLDER is missing" in errors
