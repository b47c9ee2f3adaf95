"""Keyed hashes equal HMAC's own; their key is private, and lies outside the results."""

import hashlib
import hmac
import os
import pathlib

import pytest

from examine_jax.common.keyed_names import NameKey, default_key_file, read_or_make_key
from examine_jax.common.private_files import create_private, replace_private

SECRET = "5f" * 32


def _key(file: pathlib.Path, mode: int = 0o600, content: str = f"{SECRET}\n") -> pathlib.Path:
    file.write_text(content)
    file.chmod(mode)
    return file


def test_a_token_is_the_hmac_of_its_kind_and_text(tmp_path: pathlib.Path) -> None:
    key = read_or_make_key(_key(tmp_path / "key"))
    digest = hmac.digest(SECRET.encode(), "patient\0Müller".encode(), hashlib.sha256).hex()
    assert key.token("patient", "Müller") == f"patient-{digest[:16]}"
    assert key.token("study", "Müller") != key.token("patient", "Müller").replace(
        "patient", "study"
    )
    assert not key.made
    assert SECRET not in repr(key)


def test_a_text_that_is_not_utf_8_has_a_token() -> None:
    key = NameKey(b"k" * 32, pathlib.Path("key"))
    assert key.token("name", os.fsdecode(b"\xff")) != key.token("name", "\\xff")


def test_the_key_is_made_once_and_for_its_owner_alone(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    first, second = read_or_make_key(), read_or_make_key()
    assert first.made
    assert not second.made
    assert first.secret == second.secret
    assert len(first.secret) == 64
    assert first.file == default_key_file() == tmp_path / "data" / "examine_jax" / "id_key"
    assert first.file.stat().st_mode & 0o777 == 0o600
    assert first.file.parent.stat().st_mode & 0o777 == 0o700
    assert first.folder_of_names == first.file.with_name("id_key.names")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert default_key_file() == pathlib.Path.home() / ".local/share/examine_jax/id_key"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_key_that_others_may_use_is_refused(tmp_path: pathlib.Path, mode: int) -> None:
    file = _key(tmp_path / "key", mode)
    with pytest.raises(ValueError, match=f"run chmod 600 {file}"):
        read_or_make_key(file)


def test_a_named_key_is_made_in_a_folder_that_is_there(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="there is no "):
        read_or_make_key(tmp_path / "none" / "key")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read_or_make_key("~/key").file == tmp_path / "key"


@pytest.mark.parametrize("content", ["", "short\n", " \n" * 40, "k" * 5000])
def test_what_is_no_key_is_refused(tmp_path: pathlib.Path, content: str) -> None:
    with pytest.raises(ValueError, match="bytes instead of 32 to 4096"):
        read_or_make_key(_key(tmp_path / "key", content=content))


def test_a_key_is_no_folder_and_no_pipe(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match="is a folder; name a file by --id_key=FILE"):
        read_or_make_key(tmp_path)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ValueError, match="no plain file"):
        read_or_make_key(tmp_path / "pipe")


def test_a_key_among_the_results_is_refused(tmp_path: pathlib.Path) -> None:
    results = tmp_path / "results"
    (results / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(results)
    for file in (results / "key", results / "deep" / "key", tmp_path / "link" / "key"):
        with pytest.raises(ValueError, match="among the results that it protects"):
            read_or_make_key(file, outside=[results])
        assert not file.exists()
    with pytest.raises(ValueError, match=r"would lie beside .*f\.npy, which it protects"):
        read_or_make_key(results / "key", not_beside=[results / "f.npy"])
    assert read_or_make_key(results / "deep" / "key", not_beside=[results / "f.npy"]).made
    assert read_or_make_key(tmp_path / "results_key", outside=[results]).made


def test_where_no_key_can_be_made_the_message_says_what_to_do(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "examine_jax").write_text("a file in the way")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(OSError, match=r"--id_key=FILE, or keep .* by --keep_ids"):
        read_or_make_key()


def test_a_user_without_a_home_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> pathlib.Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr(pathlib.Path, "home", fail)
    with pytest.raises(ValueError, match=r"you have none: name a file by --id_key=FILE, or"):
        read_or_make_key()


def test_private_files_are_whole_and_of_one_writer(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "new" / "file"
    assert create_private(file, b"first")
    assert not create_private(file, b"second")
    assert file.read_bytes() == b"first"
    file.chmod(0o644)
    replace_private(file, b"third")
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"third", 0o600)
    assert [entry.name for entry in file.parent.iterdir()] == ["file"]
