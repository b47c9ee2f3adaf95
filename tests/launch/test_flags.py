"""Flags come from settings: every command's flags, help texts and refusals."""

import dataclasses
import importlib
import json
import os
import pathlib
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Literal

import pytest
from absl import flags
from absl.flags import FlagValues

from examine_jax.common.settings import setting
from examine_jax.studies.examine.settings import examine_preset
from examine_jax.studies.low_resource.settings import low_resource_preset
from launch.device import DeviceFlags
from launch.flags import changed, define, help_text, read
from tests.support.commands import ROOT, run, run_here

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "version_0_1" / "flags.json"
BEFORE: dict[str, dict[str, Any]] = json.loads(GOLDEN.read_text())
COMMANDS = tuple(BEFORE)
STUDIES = ("budget", "byol_tracin", "detection", "examine", "low_resource", "transfer")


FROM_PRESETS = {("reproduce_examine", "seeds"), ("reproduce_low_resource", "keep_groups")}


def _flags_of(command: str) -> dict[str, Any]:
    values = FlagValues()
    importlib.import_module(f"launch.{command}").define_flags(values)
    define(values, DeviceFlags)
    return {name: values[name] for name in values}


def _plain(default: object) -> object:
    return [str(value) for value in default] if isinstance(default, tuple) else default


@pytest.mark.parametrize("preset", ["small", "paper"])
def test_presets_hold_the_defaults_that_were_the_flags(preset: str) -> None:
    assert [str(seed) for seed in examine_preset(preset).seeds] == BEFORE["reproduce_examine"][
        "seeds"
    ]["default"]
    assert (
        low_resource_preset(preset).keep_groups
        is BEFORE["reproduce_low_resource"]["keep_groups"]["default"]
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_the_flags_and_defaults_of_version_0_1(command: str) -> None:
    now = _flags_of(command)
    before = BEFORE[command]
    assert now.keys() >= before.keys()
    for name, flag in before.items():
        if (command, name) not in FROM_PRESETS:
            assert _plain(now[name].default) == flag["default"], name
        if flag["minimum"] is not None:  # the library checked some others
            assert now[name].parser.minimum == flag["minimum"], name
        choices = getattr(now[name].parser, "choices", None) or getattr(now[name], "known", None)
        assert set(flag["choices"] or ()) <= set(choices or ()), name


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_a_screen_and_names_the_main_flags(command: str) -> None:
    code, shown = run_here(command, "--help")
    assert code == 0
    lines = shown.rstrip().splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    assert f"python -m launch.{command.replace('reproduce_', 'reproduce ')} --" in shown
    assert lines[-1] == "All flags: --helpfull"
    code, full = run_here(command, "--helpfull")
    assert code == 0
    for name in _flags_of(command):
        assert f"--{name}=" in full or f"--[no]{name}" in full, name


def test_help_of_a_process_goes_to_stdout_and_its_exit_code_is_0() -> None:
    assert run("score", "--help") == (0, "")


def test_help_of_all_studies_names_them() -> None:
    code, shown = run_here("reproduce", "--help")
    assert code == 0
    assert all(study in shown for study in STUDIES)
    code, printed = run_here("reproduce", "pizza")
    assert code == 1
    assert "'pizza' is no study" in printed


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_by_its_name_is_the_old_command(study: str) -> None:
    assert run_here("reproduce", study, "--help") == run_here(f"reproduce_{study}", "--help")


def test_registries_are_listed() -> None:
    _, shown = run_here("assess", "--helpfull")
    for name in ("adaptive_secular", "dense_svd", "vicreg", "resnet18_narrow", "class_token"):
        assert name in shown


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        (["--steps=many"], "--steps takes a whole number, at least 1; got 'many'"),
        (["--steps=0"], "--steps takes a whole number, at least 1; got '0'"),
        (["--pooling=max"], "--pooling takes one of mean, class_token; got 'max'"),
        (["--center=perhaps"], "--center takes true or false; got 'perhaps'"),
        (["--noise_levels=0,much"], "--noise_levels takes numbers"),
        (["--solver=fast", "--workdir=nowhere/o"], "--solver: unknown solver 'fast'"),
        (["--stepz=1"], "Unknown command line flag 'stepz'"),
        (["assess"], "unknown argument 'assess'"),
        ([], "--workdir=FOLDER is missing"),
    ],
)
def test_a_wrong_value_is_answered_by_one_line_with_the_flags_name(
    given: list[str], answer: str
) -> None:
    code, printed = run_here("assess", *given)
    assert code == 1
    lines = [line for line in printed.splitlines() if not line.startswith("device:")]
    assert len(lines) == 1, printed
    assert lines[0].startswith("examine-assess: ")
    assert answer in lines[0]


@pytest.mark.parametrize("platform", ["cuda", "tpu", "nonsense"])
def test_a_platform_that_is_not_there_is_one_line(platform: str, tmp_path: pathlib.Path) -> None:
    flags = ["--features=f.npy", f"--output={tmp_path / 's.csv'}"]
    ended = subprocess.run(
        [sys.executable, "-m", "launch.score", *flags],
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": platform},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 1
    assert f"JAX_PLATFORMS={platform}: JAX finds no such device" in ended.stderr.splitlines()[-1]
    assert "unset it" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_texts_name_only_flags_that_exist() -> None:
    later = ("detect", "detect_train", "export", "fuse_boxes")
    studies = ("reproduce_budget", "reproduce_detection", "reproduce_transfer")
    commands = (*COMMANDS, *later, *studies)
    known = {flag for command in commands for flag in _flags_of(command)}
    known |= {"help", "helpshort", "helpfull", "verbosity", "flagfile", "name"}  # --name=value
    known |= {"pdeathsig"}  # setpriv's
    unknown = {
        f"{file.name}: --{flag}"
        for folder in ("examine_jax", "launch")
        for file in (ROOT / folder).rglob("*.py")
        for flag in re.findall(r"(?<![\w-])--(?:\[no\])?([a-z]\w+)", file.read_text())
        if flag not in known and flag.removeprefix("no") not in known
    }
    assert unknown == set()


def test_absls_own_flags_still_work() -> None:
    assert run_here("score", "--verbosity", "1", "--nocenter", "--help")[0] == 0


class Red:
    """A value that a registry knows by name."""


@dataclasses.dataclass(frozen=True)
class Sample:
    rate: float = setting(help="A rate.", minimum=0.0, maximum=1.0, main=True)
    steps: int | None = setting(None, "Steps.", minimum=1)
    seeds: tuple[int, ...] = setting((0, 1), "Seeds.")
    names: tuple[str, ...] | None = setting(None, "Names.")
    kind: Literal["a", "b"] = setting("a", "A kind.")
    colour: Any = setting(None, "A colour.", known={"red": Red})
    fast: bool = setting(True, "Fast.")
    unseen: Mapping[str, int] | None = None

    def __post_init__(self) -> None:
        if self.steps == 13:
            raise ValueError("13 steps are refused")


def _sample(*given: str, **kwargs: Any) -> FlagValues:
    values = FlagValues()
    define(values, Sample, **kwargs)
    values(["sample", *given])
    return values


def test_a_dataclass_is_read_from_its_flags() -> None:
    assert read(_sample("--rate=0.5"), Sample) == Sample(0.5)
    given = ("--rate=1", "--steps", "3", "--seeds=4,5", "--names=x,y", "--kind=b", "--nofast")
    assert read(_sample(*given), Sample, unseen={"a": 1}) == Sample(
        1.0, 3, (4, 5), ("x", "y"), "b", None, False, {"a": 1}
    )
    assert isinstance(read(_sample("--rate=0", "--colour=red"), Sample).colour, Red)
    named = read(_sample("--rate=0", "--colour=tests.launch.test_flags:Red"), Sample).colour
    assert type(named).__name__ == "Red"


def test_a_preset_is_changed_by_what_is_given_alone() -> None:
    preset = Sample(0.5, 7, (1, 2, 3), ("z",))
    assert changed(_sample(preset=True), preset) == preset
    assert changed(_sample("--steps=8", "--nofast", preset=True), preset) == dataclasses.replace(
        preset, steps=8, fast=False
    )


def test_flags_may_have_other_names_and_be_some_of_the_fields() -> None:
    values = _sample("--sample_rate=0.5", names={"rate": "sample_rate"}, only=("rate",))
    assert list(values) == ["sample_rate"]
    assert read(values, Sample) == Sample(0.5)
    with pytest.raises(ValueError, match=r"Sample\.unseen has no description"):
        define(FlagValues(), Sample, only=("unseen",))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--rate=2"], "--rate takes a number, at least 0 and at most 1; got '2'"),
        (["--seeds=1,x"], "--seeds takes whole numbers with commas between them; got '1,x'"),
        (["--kind=c"], "--kind takes one of a, b; got 'c'"),
    ],
)
def test_types_and_bounds_are_checked(given: list[str], message: str) -> None:
    with pytest.raises(flags.IllegalFlagValueError, match=message):
        _sample(*given)


def test_a_missing_value_and_the_dataclass_own_checks_are_value_errors() -> None:
    with pytest.raises(ValueError, match="--rate=X is missing"):
        read(_sample(), Sample)
    with pytest.raises(ValueError, match="13 steps are refused"):
        read(_sample("--rate=1", "--steps=13"), Sample)


def test_the_help_text_shows_types_choices_and_defaults() -> None:
    text = help_text(_sample(), "About.", full=True)
    for part in (
        "--rate=X",
        "--steps=N",
        "--seeds=N,N",
        "Default: 0,1.",
        "--kind=a|b",
        "There are: red.",
        "--[no]fast",
    ):
        assert part in text
    short = help_text(_sample(), "About.", full=False)
    assert "--rate" in short
    assert "--steps" not in short
