import json
import os
import pathlib
import re
import tempfile

import pytest

import examine_jax
from examine_jax.images.sources.scan import RUN_SETTINGS, check_workdir, scan_folder


def touch(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(result):
    return [candidate.name for candidate in result.candidates]


def test_images_are_found_at_any_depth_in_the_order_of_their_names(tmp_path):
    for name in [
        "b.PNG",
        "a/z.jpeg",
        "a/b/c/deep.tif",
        "a.b/x.bmp",
        "Z.webp",
        "notes.txt",
        "data.csv",
        "c.csv",
        "README",
    ]:
        touch(tmp_path / name)
    result = scan_folder(tmp_path)
    assert names(result) == ["Z.webp", "a.b/x.bmp", "a/b/c/deep.tif", "a/z.jpeg", "b.PNG"]
    assert [os.path.relpath(candidate.place, tmp_path) for candidate in result.candidates] == names(
        result
    )
    assert result.skipped == ()
    assert result.other == {".txt": 1, ".csv": 2, "no suffix": 1}


def test_hidden_files_and_folders_are_passed_over(tmp_path):
    for name in [".hidden.png", ".cache/a.png", "__MACOSX/._a.png", "seen.png"]:
        touch(tmp_path / name)
    result = scan_folder(tmp_path)
    assert names(result) == ["seen.png"]
    assert result.skipped == ()
    assert result.other == {}


def test_a_link_that_loops_is_reported_and_the_walk_ends(tmp_path):
    touch(tmp_path / "a/b/one.png")
    (tmp_path / "a/b/up").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "self").symlink_to(".", target_is_directory=True)
    result = scan_folder(tmp_path)
    assert names(result) == ["a/b/one.png"]
    assert [item.name for item in result.skipped] == ["a/b/up/", "self/"]
    assert "read already, as 'a'" in result.skipped[0].reason
    assert "the whole folder" in result.skipped[1].reason


def test_a_linked_folder_is_read_once_under_its_own_name_where_it_has_one(tmp_path):
    touch(tmp_path / "outside/far.png")
    touch(tmp_path / "images/z/near.png")
    (tmp_path / "images/a").symlink_to(tmp_path / "images/z", target_is_directory=True)
    (tmp_path / "images/b").symlink_to(tmp_path / "outside", target_is_directory=True)
    (tmp_path / "images/c").symlink_to(tmp_path / "outside", target_is_directory=True)
    (tmp_path / "images/linked.png").symlink_to(tmp_path / "outside/far.png")
    result = scan_folder(tmp_path / "images")
    assert names(result) == ["b/far.png", "linked.png", "z/near.png"]
    assert [item.name for item in result.skipped] == ["a/", "c/"]


def test_dicom_is_found_by_content_too_and_formats_not_read_are_reported(tmp_path):
    dicom = bytes(128) + b"DICM" + bytes(8)
    for name in ["scan.dcm", "1.2.840.113619.2", "IM0001"]:
        touch(tmp_path / name, dicom)
    touch(tmp_path / "brain.mha")
    touch(tmp_path / "slide.czi")
    touch(tmp_path / "slide.svs")
    touch(tmp_path / "parts.mrxs")
    touch(tmp_path / "parts/Data0000.dat")
    touch(tmp_path / "moving.gif")
    touch(tmp_path / "LICENSE")
    os.mkfifo(tmp_path / "12345")
    result = scan_folder(tmp_path)
    reasons = {item.name: item.reason for item in result.skipped}
    assert names(result) == ["1.2.840.113619.2", "IM0001", "scan.dcm"]
    assert "volume" in reasons["brain.mha"]
    assert "a whole slide of a format" in reasons["slide.czi"]
    assert [slide.name for slide in result.slides] == ["parts.mrxs", "slide.svs"]
    assert "save it as PNG" in reasons["moving.gif"]
    assert len(reasons) == 3
    assert result.other == {"no suffix": 2}


def test_what_is_not_read_is_listed_or_counted(tmp_path):
    for name in [
        *("images.npy", "more.zip", "film.mp4", "odd.xyz", "head.img"),
        *("labels.csv", "readme.md", "__MACOSX/a.png", ".DS_Store", "seen.png"),
    ]:
        touch(tmp_path / name)
    touch(tmp_path / "text.mr", b"\x08\0" + b"no DICOM " * 40)
    touch(tmp_path / "short.mr", b"\x08\0\x05\0CS")
    result = scan_folder(tmp_path)
    assert names(result) == ["seen.png"]
    reasons = {item.name: item.reason for item in result.skipped}
    assert "name the .npy" in reasons["images.npy"]
    assert "name the .zip" in reasons["more.zip"]
    assert "frames" in reasons["film.mp4"]
    for name in ("odd.xyz", "head.img", "text.mr", "short.mr"):
        assert "neither its name nor its content" in reasons[name]
    assert len(reasons) == 7
    assert result.other == {".csv": 1, ".md": 1}


def test_a_folder_named_like_an_image_is_a_folder(tmp_path):
    touch(tmp_path / "slide.png/tile.png")
    assert names(scan_folder(tmp_path)) == ["slide.png/tile.png"]


def test_names_of_any_bytes_are_writable_and_unique(tmp_path):
    raw = [
        b"q\"uote'.png",
        b"line\nbreak.png",
        b"<script>alert(1)</script>.png".replace(b"/", b"|"),
        "größe 日.png".encode(),
        b"\xff\xfe.png",
        b"\\xff\\xfe.png",
    ]
    for name in raw:
        touch(tmp_path / os.fsdecode(name))
    result = scan_folder(tmp_path)
    assert len(set(names(result))) == len(raw)
    for candidate in result.candidates:
        candidate.name.encode("utf-8")
        assert os.path.exists(candidate.place)
    assert {
        "q\"uote'.png",
        "line\nbreak.png",
        "größe 日.png",
        "\\xff\\xfe.png",
        "\\xff\\xfe.png~2",
    } < set(names(result))


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs a user without rights")
def test_a_folder_without_rights_is_reported():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        os.mkdir(f"{folder}/closed", 0o000)
        open(f"{folder}/open.png", "wb").close()
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        try:
            result = scan_folder(folder)
        finally:
            os.seteuid(user)
        assert names(result) == ["open.png"]
        assert [(item.name, item.reason) for item in result.skipped] == [
            ("closed/", "the folder cannot be listed: Permission denied")
        ]


def test_a_missing_folder_and_a_file_raise_what_they_are(tmp_path):
    with pytest.raises(FileNotFoundError):
        scan_folder(tmp_path / "missing")
    with pytest.raises(NotADirectoryError):
        scan_folder(touch(tmp_path / "a.png"))


@pytest.mark.parametrize("file", ["config.json", "pretraining.json"])
def test_charts_of_a_run_below_the_folder_are_no_images(tmp_path, file):
    touch(tmp_path / "a.png")
    touch(tmp_path / "runs" / "out" / "scores.png")
    touch(tmp_path / "runs" / "out" / "figures" / "map.png")
    run = json.dumps({"images": "a", "settings": {"type": "AssessSettings", "seed": 0}})
    touch(tmp_path / "runs" / "out" / file, run.encode())
    result = scan_folder(tmp_path)
    assert names(result) == ["a.png"]
    assert [(item.name, "results" in item.reason) for item in result.skipped] == [
        ("runs/out/", True)
    ]
    assert names(scan_folder(tmp_path / "runs" / "out")) == ["figures/map.png", "scores.png"]


def settings_that_configurations_name():
    """The classes of the settings in calls of check_or_write_config, by the source."""
    found = set()
    for file in pathlib.Path(examine_jax.__file__).parent.rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        if "check_or_write_config(" in source and '"settings": to_plain(' in source:
            found |= set(re.findall(r"\bsettings: (\w+Settings)\b", source))
    return found


def test_the_settings_of_every_run_are_known():
    assert settings_that_configurations_name() == RUN_SETTINGS


def test_folders_of_version_0_1_are_known():
    golden = pathlib.Path(__file__).parents[2] / "golden" / "version_0_1"
    runs = [
        file.parent.relative_to(golden).as_posix() + "/"
        for name in ("config.json", "pretraining.json")
        for file in golden.rglob(name)
        if "type" in json.loads(file.read_text(encoding="utf-8")).get("settings", {})
    ]
    # The walk ends at a folder of results, so the outermost are listed.
    outermost = {run for run in runs if not any(run != one and run.startswith(one) for one in runs)}
    results = {item.name for item in scan_folder(golden).skipped if "results" in item.reason}
    assert results == outermost
    assert len(results) > 2


@pytest.mark.parametrize(
    "content",
    [
        *(b"{}", b"[1]", b"not json", b"\xff", b'{"settings": 1}', b'{"model_type": "vit"}'),
        *(b'{"settings": {"type": "CT"}}', b'{"settings": {"type": ["AssessSettings"]}}'),
        b'{"settings": {"type": "AssessSettings"}}' + b" " * 2**20,  # larger than any run's
        b"[" * 100_000,
    ],
    ids=lambda content: content[:40].decode("latin-1"),
)
def test_images_beside_another_programs_configuration_are_read(tmp_path, content):
    touch(tmp_path / "set" / "config.json", content)
    touch(tmp_path / "set" / "a.png")
    assert names(scan_folder(tmp_path)) == ["set/a.png"]


def test_a_workdir_may_lie_below_the_images_but_not_be_their_folder(tmp_path):
    touch(tmp_path / "images" / "a.png")
    (tmp_path / "link").symlink_to(tmp_path / "images")
    check_workdir(tmp_path / "images" / "out", tmp_path / "images", None, "tfds:name")
    check_workdir(tmp_path, tmp_path / "images")
    with pytest.raises(ValueError, match="images, and its charts would be read"):
        check_workdir(tmp_path / "link", None, tmp_path / "images")
