"""A run's configuration file."""

import json
import pathlib

import pytest

from examine_jax.common.configuration import check_or_write_config


def test_replaceable_keys_may_change_and_are_written(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "run" / "config.json"
    check_or_write_config(file, {"a": 1, "b": {"c": 2}}, replaceable=("b",))
    written = file.stat().st_mtime_ns
    check_or_write_config(file, {"a": 1, "b": {"c": 2}}, replaceable=("b",))
    assert file.stat().st_mtime_ns == written
    check_or_write_config(file, {"a": 1, "b": {"c": 3}}, replaceable=("b",))
    assert json.loads(file.read_text()) == {"a": 1, "b": {"c": 3}}
    with pytest.raises(ValueError, match=r"another run .a: 1 there, 2 here"):
        check_or_write_config(file, {"a": 2, "b": {"c": 4}}, replaceable=("b",))
    with pytest.raises(ValueError, match=r"another run .b\.c: 3 there, 4 here"):
        check_or_write_config(file, {"a": 1, "b": {"c": 4}})
    assert json.loads(file.read_text()) == {"a": 1, "b": {"c": 3}}


def test_a_file_of_an_earlier_version_gets_the_new_key(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "config.json"
    check_or_write_config(file, {"a": 1})
    check_or_write_config(file, {"a": 1, "b": {"c": 2}}, replaceable=("b",))
    assert json.loads(file.read_text()) == {"a": 1, "b": {"c": 2}}


def test_a_file_that_holds_no_run_is_refused(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "config.json"
    for content in ("[1]", "{", '"text"'):
        file.write_text(content)
        with pytest.raises(ValueError, match="another workdir"):
            check_or_write_config(file, {"a": 1, "b": 2}, replaceable=("b",))
