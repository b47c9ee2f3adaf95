"""Volumes and archives damaged at random: read, listed, or refused in one line."""

import gzip
import pathlib

import numpy as np
import pytest

from benchmarks.quality.mutated_files import kind_of, picture_seeds, write_files
from benchmarks.quality.mutated_sources import source_seeds, write_sources
from examine_jax.images import load_folder, load_images
from tests.images.sources.test_archive import pack


def test_damaged_volumes_are_read_or_listed(
    tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    nibabel = pytest.importorskip("nibabel", reason="volumes need examine-jax[volumes]")
    values = np.random.default_rng(0).integers(0, 99, (6, 7, 5), dtype=np.int16)
    plain = nibabel.Nifti1Image(values, np.eye(4)).to_bytes()
    scaled = nibabel.Nifti2Image(values / 7.0, np.diag([-1.0, 2, 3, 1])).to_bytes()
    seeds = {"plain.nii": plain, "scaled.nii": scaled, "packed.nii.gz": gzip.compress(plain)}
    write_files(tmp_path, seeds, 120, np.random.default_rng(3))
    (tmp_path / "whole.nii").write_bytes(plain)
    images = load_folder(tmp_path, image_size=8)
    files = {path.name for path in tmp_path.iterdir()}
    read = {name.partition("?")[0] for name in images.names}
    listed = {item.name for item in images.skipped}
    assert read | listed == files
    assert "whole.nii" in read
    assert 10 < len(read) < 110
    for item in images.skipped:
        assert kind_of(item.reason) == "other", item
        assert item.reason == " ".join(item.reason.split())
        assert len(item.reason) <= 400
    assert capfd.readouterr() == ("", "")


def test_damaged_archives_are_read_or_refused(tmp_path: pathlib.Path) -> None:
    content = {name: picture_seeds()[name] for name in ("grey.png", "colour.bmp", "lossy.webp")} | {
        "a/" + 120 * "x" + ".png": picture_seeds()["colour.png"]
    }
    seeds = {
        path.name: path.read_bytes()
        for path in (pack(tmp_path / f"seed.{form}", content) for form in ("zip", "tar", "tar.gz"))
    }
    for name in seeds:
        (tmp_path / name).unlink()
    write_files(tmp_path, seeds, 60, np.random.default_rng(4))
    refusals: list[str] = []
    read = 0
    for path in sorted(tmp_path.iterdir()):
        try:
            images = load_images(path, image_size=8)
        except ValueError as error:
            refusals.append(str(error))
            assert path.name in refusals[-1]
            assert "\n" not in refusals[-1]
            continue
        read += 1
        assert all(kind_of(item.reason) == "other" for item in images.skipped)
    assert read > 5
    assert len(refusals) > 5


def test_an_archive_cut_anywhere_is_read_up_to_there(tmp_path: pathlib.Path) -> None:
    refusals: list[str] = []
    content = {f"{index}.bmp": picture_seeds()["grey.bmp"] for index in range(3)}
    for form in ("tar", "tar.gz"):
        whole = pack(tmp_path / f"whole.{form}", content).read_bytes()
        path = tmp_path / f"cut.{form}"
        for length in np.linspace(1, len(whole) - 1, 12).astype(int):
            path.write_bytes(whole[:length])
            try:
                images = load_images(path, image_size=8)
            except ValueError as error:
                refusals.append(str(error))
                continue
            names = {f"{index}.bmp" for index in range(3)}
            assert set(images.names) <= names
            assert {item.name for item in images.skipped} <= names | {path.name}
    assert refusals
    assert all("cut." in refusal for refusal in refusals)


def test_damaged_series_and_volumes_are_read_or_refused(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("pydicom", reason="DICOM needs examine-jax[dicom]")
    pytest.importorskip("nibabel", reason="volumes need examine-jax[volumes]")
    seeds = {name: data for name, data in source_seeds().items() if name.endswith((".nii", ".txt"))}
    write_sources(tmp_path, seeds, 25, np.random.default_rng(5))
    refusals: list[tuple[str, str]] = []
    read = 0
    for path in sorted(tmp_path.glob("[0-9]*_*")):
        try:
            images = load_images(path, image_size=8)
        except ValueError as error:
            refusals.append((path.name, str(error)))
            continue
        read += 1
        assert all(kind_of(item.reason) == "other" for item in images.skipped)
    assert read > 5
    assert all(name in said and "\n" not in said for name, said in refusals)
