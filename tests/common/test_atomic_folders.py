"""Folders are written whole or not at all, and what killed processes left is removed."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from examine_jax.common import atomic_folders
from examine_jax.common.atomic_folders import writing_folder

WRITES = """
import pathlib, sys, time
from examine_jax.common.atomic_folders import writing_folder
with writing_folder(sys.argv[1]) as hidden:
    (hidden / "half").write_text("half")
    print("in", flush=True)
    time.sleep(60)
"""


def _write(folder: pathlib.Path, text: str) -> None:
    with writing_folder(folder) as hidden:
        (hidden / "file").write_text(text)


def _names(folder: pathlib.Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


@pytest.fixture
def other_process(tmp_path):
    """A process that writes tmp_path / "out" and does not end."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITES, tmp_path / "out"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"in\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_folder_is_made_and_replaced(tmp_path):
    for text in ("first", "second"):
        _write(tmp_path / "new" / "out", text)
        assert (tmp_path / "new" / "out" / "file").read_text() == text
        assert _names(tmp_path / "new") == ["out"]
    (tmp_path / "new" / "out" / "file").unlink()
    _write(tmp_path / "new" / "out", "into an empty one")
    assert _names(tmp_path / "new" / "out") == ["file"]
    assert (tmp_path / "new" / "out").stat().st_mode & 0o777 == 0o755


def test_an_error_leaves_what_was_there(tmp_path):
    _write(tmp_path / "out", "first")

    def fail() -> None:
        with writing_folder(tmp_path / "out") as hidden:
            (hidden / "file").write_text("second")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (tmp_path / "out" / "file").read_text() == "first"
    assert _names(tmp_path) == ["out"]


def test_a_rename_that_fails_puts_the_old_one_back(tmp_path, monkeypatch):
    _write(tmp_path / "out", "first")
    rename = pathlib.Path.rename

    def once(path: pathlib.Path, target: pathlib.Path) -> pathlib.Path:
        if (path / "second").exists():
            raise OSError("no")
        return rename(path, target)

    monkeypatch.setattr(pathlib.Path, "rename", once)
    with pytest.raises(OSError, match="no"), writing_folder(tmp_path / "out") as hidden:
        (hidden / "second").write_text("second")
    assert (tmp_path / "out" / "file").read_text() == "first"
    assert _names(tmp_path) == ["out"]


def test_only_what_a_killed_process_left_of_the_same_folder_is_removed(tmp_path, other_process):
    (tmp_path / ".hidden-of-the-user").mkdir()
    assert len(_names(tmp_path)) == 2
    _write(tmp_path / "out", "while the other one lives")
    assert len(_names(tmp_path)) == 3
    os.kill(other_process.pid, signal.SIGKILL)
    other_process.wait()
    for another in ("ou", "out-of-it"):
        _write(tmp_path / another, "another folder")
    assert len(_names(tmp_path)) == 5
    _write(tmp_path / "out", "later")
    assert _names(tmp_path) == [".hidden-of-the-user", "ou", "out", "out-of-it"]


def test_without_locks_nothing_is_removed(tmp_path, monkeypatch):
    left = tmp_path / f"{atomic_folders._prefix(tmp_path / 'out')}left"
    left.mkdir()
    monkeypatch.setitem(sys.modules, "fcntl", None)
    _write(tmp_path / "out", "text")
    assert left.exists()
    monkeypatch.undo()
    _write(tmp_path / "out", "text")
    assert _names(tmp_path) == ["out"]


def test_a_link_leads_to_the_folder_that_is_replaced(tmp_path):
    _write(tmp_path / "real", "first")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    _write(tmp_path / "link", "second")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "file").read_text() == "second"


def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path):
    _write(tmp_path / ("n" * 255), "text")
    assert len(_names(tmp_path)) == 1
