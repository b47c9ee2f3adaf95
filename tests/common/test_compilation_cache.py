"""Compiled programs are kept where nobody else can change them, or not at all."""

import os
import pathlib

import jax
import pytest

from examine_jax.common.compilation_cache import keep_compiled_programs

NAMES = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


@pytest.fixture(autouse=True)
def configuration():
    before = {name: getattr(jax.config, name) for name in NAMES}
    jax.config.update(NAMES[0], None)
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_they_go_to_a_folder_of_the_users_own(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = keep_compiled_programs()
    assert folder is not None
    assert folder.parent == tmp_path / "examine_jax"
    assert jax.__version__ in folder.name
    assert folder.stat().st_mode & 0o777 == 0o700
    assert pathlib.Path(jax.config.jax_compilation_cache_dir) == folder


def test_a_folder_that_others_can_write_to_is_not_used(tmp_path):
    tmp_path.chmod(0o777)
    assert keep_compiled_programs(tmp_path) is None
    assert jax.config.jax_compilation_cache_dir is None


def test_where_no_folder_can_be_made_nothing_is_kept(tmp_path):
    (tmp_path / "file").touch()
    assert keep_compiled_programs(tmp_path / "file" / "cache") is None


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable_is_not_used(tmp_path):
    tmp_path.chmod(0o500)
    assert keep_compiled_programs(tmp_path) is None


def test_a_folder_chosen_before_stays(tmp_path):
    jax.config.update(NAMES[0], str(tmp_path / "theirs"))
    assert keep_compiled_programs(tmp_path / "ours") == tmp_path / "theirs"


def test_where_the_user_has_no_home_nothing_is_kept(monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    pwd = pytest.importorskip("pwd")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # KeyError: an unknown user
    assert keep_compiled_programs() is None
    assert jax.config.jax_compilation_cache_dir is None
