"""URLs on the command line: no secrets in flags, no results at URLs."""

import importlib
import pathlib

import pytest
from absl.flags import FlagValues

from examine_jax.images.remote_access import access_of
from launch.urls import take_urls


def values(command: str, *arguments: str) -> FlagValues:
    found = FlagValues()
    importlib.import_module(f"launch.{command}").define_flags(found)
    found([command, *arguments])
    return found


def test_secrets_leave_the_flags_and_open_the_url() -> None:
    url = "https://me:word@host/set?token=12"
    given = values("embed", f"--images={url}", "--cache=here", "--output=o.npy")
    take_urls(given)
    assert given["images"].value == "https://host/set"
    assert access_of("https://host/set").url == url
    assert access_of("https://host/set").cache is not None


@pytest.mark.parametrize(
    ("command", "argument", "message"),
    [
        ("assess", "--workdir=s3://b/w", "--workdir: results are written to a folder of this"),
        ("embed", "--output=s3://b/o.npy", "--output: results are written to a folder"),
        ("embed", "--cache=s3://b/c", "--cache: results are written"),
        ("embed", "--cache=c", "--cache keeps copies of files at URLs, and there is none"),
    ],
)
def test_urls_and_copies_that_make_no_sense_are_refused(
    command: str, argument: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        take_urls(values(command, argument))


def test_a_list_on_a_disk_may_name_urls(tmp_path: pathlib.Path) -> None:
    (tmp_path / "list.csv").write_text("image\nhttps://host/a.png\n")
    given = values("embed", f"--images={tmp_path}/list.csv", "--cache=here", "--output=o.npy")
    take_urls(given)
    assert access_of(f"{tmp_path}/list.csv").cache is not None


def test_without_urls_flags_stay() -> None:
    given = values("embed", "--images=a", "--output=o.npy")
    take_urls(given)
    assert given["images"].value == "a"
