"""Archives of image files: read as their folder is, and safe whatever they hold."""

import io
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from examine_jax.images import load_folder, load_images, stream_images
from examine_jax.images.decoding import file_part
from examine_jax.images.decoding.file_part import FilePart, open_place, part_bytes
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.sources import archive_members, unnamed_file
from examine_jax.images.sources.archive import scan_archive
from examine_jax.images.stored_images import StoredImages

FORMATS = ("zip", "tar", "tar.gz")


def pack(path: pathlib.Path, content: dict[str, bytes]) -> pathlib.Path:
    """Writes an archive in the format of its name."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        return path
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """Some image files by their names."""
    generator = np.random.default_rng(0)
    content = {}
    for name in ("b.png", "a/c.bmp", "a/ä.webp", "x.jpg"):
        stream = io.BytesIO()
        pixels = generator.integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(stream, {"jpg": "jpeg"}.get(name[-3:], name.split(".")[-1]))
        content[name] = stream.getvalue()
    stream = io.BytesIO()
    pages = generator.integers(0, 256, (2, 20, 20), dtype=np.uint8)
    tifffile.imwrite(stream, pages, photometric="minisblack")
    return {**content, "pages.tif": stream.getvalue()}


@pytest.mark.parametrize("form", FORMATS)
def test_an_archive_is_read_as_the_folder_that_was_packed(
    tmp_path: pathlib.Path, files: dict[str, bytes], form: str
) -> None:
    folder = tmp_path / "folder"
    content = {f"./{name}": data for name, data in files.items()}
    content |= {"notes.txt": b"x", "v.mha": b"x", "__MACOSX/a/._c.bmp": b"x", ".DS_Store": b"x"}
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    path = pack(tmp_path / f"packed.{form}", content)
    before = sorted(os.listdir(tmp_path))
    images, expected = load_images(path, image_size=16), load_folder(folder, image_size=16)
    assert images.names == expected.names
    np.testing.assert_array_equal(images.pixels, expected.pixels)
    np.testing.assert_array_equal(images.stored_sizes, expected.stored_sizes)
    assert (images.skipped, images.notes) == (expected.skipped, expected.notes)
    streamed = stream_images(path, image_size=16)
    assert (streamed.names, streamed.skipped, streamed.files) == (images.names, images.skipped, ())
    np.testing.assert_array_equal(streamed[np.arange(len(images))], images.pixels)
    stored = StoredImages.of(path, images.names)
    assert set(stored.places) == set(images.names)
    np.testing.assert_array_equal(
        stored.read("pages.tif[1]"), StoredImages.of(folder, images.names).read("pages.tif[1]")
    )
    assert all(stored.own_file(name) is None for name in images.names)
    assert sorted(os.listdir(tmp_path)) == before


def with_links(path: pathlib.Path, image: bytes) -> pathlib.Path:
    """An archive with a good image, and members that lead elsewhere."""
    outside = ["../out.png", "/etc/passwd.png", "a/../../up.png", "C:/drive.png"]
    pack(path, dict.fromkeys(["good.png", *outside], image))
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "a") as archive:
            link = zipfile.ZipInfo("link.png")
            link.create_system, link.external_attr = 3, 0o120777 << 16
            archive.writestr(link, "/etc/passwd")
            archive.writestr("..\\windows.png", image)
        return path
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name in ("good.png", *outside):
            info = tarfile.TarInfo(name)
            info.size = len(image)
            tar.addfile(info, io.BytesIO(image))
        for name, kind in (
            ("link.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("pipe.png", tarfile.FIFOTYPE),
            ("device.png", tarfile.CHRTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_members_that_lead_elsewhere_are_refused(
    tmp_path: pathlib.Path, files: dict[str, bytes], form: str
) -> None:
    found = scan_archive(with_links(tmp_path / f"packed.{form}", files["b.png"]))
    assert [candidate.name for candidate in found.candidates] == ["good.png"]
    reasons = {item.name: item.reason for item in found.skipped}
    links = {"link.png", "hard.png", "pipe.png", "device.png"} & set(reasons)
    assert len(links) == (1 if form == "zip" else 4)
    assert {name for name, reason in reasons.items() if "a link, device or pipe" in reason} == links
    outside = {"../out.png", "/etc/passwd.png", "a/../../up.png", "C:/drive.png"}
    outside |= {"../windows.png"} if form == "zip" else set()
    assert {name for name, reason in reasons.items() if "leads out of" in reason} == outside


def test_what_a_zip_holds_and_is_not_read_has_its_reason(
    tmp_path: pathlib.Path, files: dict[str, bytes]
) -> None:
    image = files["b.png"]
    path = tmp_path / "packed.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("good.png", image)
        archive.writestr("bzip2.png", image, compress_type=zipfile.ZIP_BZIP2)
        archive.writestr("nested.zip", b"PK")
        archive.writestr("secret.png", image)
        archive.writestr("torn.png", image)
        archive.writestr("zero.png", b"")
        archive.writestr("folder/", b"")
        torn = archive.getinfo("torn.png")
    data = bytearray(path.read_bytes())
    data[torn.header_offset + 60] ^= 0xFF
    for signature, bits in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = -1
        while (at := data.find(signature, at + 1)) >= 0:
            if data.find(b"secret.png", at, at + 60) >= 0:
                data[at + bits] |= 1
    path.write_bytes(data)
    images = load_images(path, image_size=8)
    assert images.names == ("good.png",)
    reasons = {item.name: item.reason for item in images.skipped}
    expected = {
        "bzip2.png": "compressed by method 12",
        "nested.zip": "an archive within the archive",
        "secret.png": "encrypted",
        "torn.png": "damaged",
        "zero.png": "empty: 0 bytes",
    }
    assert sorted(reasons) == sorted(expected)
    assert all(word in reasons[name] for name, word in expected.items())


def test_a_member_that_inflates_too_far_costs_itself(
    tmp_path: pathlib.Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_members, "BOMB_MEMBER_BYTES", 2**20)
    path = pack(tmp_path / "b.zip", {"good.png": files["b.png"], "bomb.png": bytes(2_000_000)})
    images = load_images(path, image_size=8)
    assert images.names == ("good.png",)
    assert [item.name for item in images.skipped] == ["bomb.png"]
    assert "2000000 bytes, over 250 times what it takes" in images.skipped[0].reason


@pytest.mark.parametrize("form", ["zip", "tar.gz"])
def test_an_archive_that_inflates_too_far_is_refused(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr(archive_members, "BOMB_BYTES", 2**20)
    monkeypatch.setattr("examine_jax.images.sources.tar_members.BOMB_BYTES", 2**20)
    path = pack(tmp_path / f"b.{form}", {f"{index}.bmp": bytes(2**20) for index in range(4)})
    with pytest.raises(ValueError, match=r"over 250 times the archive's size"):
        load_images(path, image_size=8)


def test_members_that_share_their_bytes_are_refused(
    tmp_path: pathlib.Path, files: dict[str, bytes]
) -> None:
    path = pack(tmp_path / "b.zip", {"a.png": files["b.png"], "b.png": files["b.png"]})
    data = bytearray(path.read_bytes())
    second = data.rfind(b"PK\x01\x02")
    data[second + 42 : second + 46] = struct.pack("<I", 0)  # Where its header lies.
    path.write_bytes(data)
    assert [item.reason for item in scan_archive(path).skipped] == [
        "it overlaps another member, as in an archive made to exhaust a machine"
    ] * 2


def test_of_members_with_one_path_the_last_is_read(
    tmp_path: pathlib.Path, files: dict[str, bytes]
) -> None:
    path = tmp_path / "packed.tar"
    for data in (b"damaged", files["b.png"]):
        with tarfile.open(path, "a") as tar:
            info = tarfile.TarInfo("a.png")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    images = load_images(path, image_size=8)
    assert (images.names, images.skipped) == (("a.png",), ())
    assert images.notes == ("1 members of the archive have the path of a later one, which is read",)


@pytest.mark.parametrize("form", FORMATS)
def test_results_in_an_archive_are_no_images(
    tmp_path: pathlib.Path, files: dict[str, bytes], form: str
) -> None:
    image = files["b.png"]
    configuration = b'{"settings": {"type": "AssessSettings"}}'
    content = {"a.png": image, "out/charts/b.png": image, "out/config.json": configuration}
    found = scan_archive(pack(tmp_path / f"packed.{form}", content))
    assert [candidate.name for candidate in found.candidates] == ["a.png"]
    assert [item.name for item in found.skipped] == ["out/"]


@pytest.mark.parametrize("form", ["tar", "tar.gz"])
@pytest.mark.parametrize("damage", ["cut", "header"])
def test_a_damaged_tar_is_read_up_to_its_damage(
    tmp_path: pathlib.Path, form: str, damage: str
) -> None:
    generator = np.random.default_rng(0)
    content = {}
    for name in ("a.bmp", "b.bmp", "c.bmp"):
        stream = io.BytesIO()
        Image.fromarray(generator.integers(0, 256, (60, 60, 3), dtype=np.uint8)).save(stream, "bmp")
        content[name] = stream.getvalue()
    plain = pack(tmp_path / "plain.tar", content).read_bytes()
    member = 512 + -(-len(content["a.bmp"]) // 512) * 512
    path = tmp_path / f"packed.{form}"
    if damage == "header":
        plain = plain[: 2 * member] + b"\xff" * 512 + plain[2 * member + 512 :]
    if form == "tar.gz":
        packer = zlib.compressobj(wbits=31)
        plain = packer.compress(plain) + packer.flush()
    if damage == "cut":
        plain = plain[: member + 5000]
    path.write_bytes(plain)
    images = load_images(path, image_size=60)
    names = ("a.bmp",) if damage == "cut" else ("a.bmp", "b.bmp")
    assert images.names == names
    reasons = {item.name: item.reason for item in images.skipped}
    assert set(reasons) == {path.name, "b.bmp"} - set(names)
    assert "the archive is damaged or cut off, and is read up to there" in reasons[path.name]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("content", [b"", b"no archive at all" * 100])
def test_a_file_that_is_no_archive_is_an_error(
    tmp_path: pathlib.Path, form: str, content: bytes
) -> None:
    path = tmp_path / f"x.{form}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"x\..*damaged, or no \.(zip|tar) file"):
        load_images(path, image_size=8)
    with pytest.raises(ValueError, match="an archive has no split 'test'"):
        load_images(path, image_size=8, split="test")


def test_dicom_in_an_archive_is_found_by_its_content(tmp_path: pathlib.Path) -> None:
    data = pytest.importorskip("pydicom.data", reason="DICOM needs examine-jax[dicom]")
    files = {"I0001": "CT_small.dcm", "deflated": "image_dfl.dcm"}
    content = {
        name: pathlib.Path(data.get_testdata_file(file)).read_bytes()
        for name, file in files.items()
    }
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, file in content.items():
        (folder / name).write_bytes(file)
    expected = load_folder(folder, image_size=16, channels=1)
    for form in FORMATS:
        images = load_images(pack(tmp_path / f"p.{form}", content), image_size=16, channels=1)
        assert images.names == expected.names
        np.testing.assert_array_equal(images.pixels, expected.pixels)


def test_a_member_is_inflated_no_further_than_it_declares(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_part, "_BLOCK_BYTES", 1000)
    data = np.random.default_rng(0).integers(0, 9, 50_000, dtype=np.uint8).tobytes()
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(data) + packer.flush()
    path = tmp_path / "bytes"
    path.write_bytes(b"before" + packed + b"after")
    part = FilePart(str(path), "name", 6, len(packed), len(data), True, checksum=zlib.crc32(data))
    assert open_place(part, 10**7).read() == data
    assert part_bytes(part, 100) == data[:100]
    with pytest.raises(UnreadableImage, match="50000 bytes, more than max_bytes=1000"):
        open_place(part, 1000)
    for size, message in ((49_999, "inflates to more"), (50_001, "holds 50000 of them")):
        lying = FilePart(str(path), "name", 6, len(packed), size, True)
        with pytest.raises(UnreadableImage, match=message):
            open_place(lying, 10**7)
    with pytest.raises(UnreadableImage, match="checksum"):
        open_place(FilePart(str(path), "n", 6, len(packed), len(data), True, checksum=1), 10**7)
    for stored in (0, 1, 1000):
        zeros = FilePart(str(path), "name", 6, stored, len(data), True)
        with pytest.raises(UnreadableImage, match="damaged"):
            open_place(zeros, 10**7)


def test_a_killed_process_leaves_nothing_behind(tmp_path: pathlib.Path) -> None:
    program = (
        "import os, runpy, signal\n"
        f"file = runpy.run_path({unnamed_file.__file__!r})['UnnamedFile']()\n"
        "file.stream.write(b'content')\n"
        "file.stream.flush()\n"
        "assert open(file.path, 'rb').read() == b'content'\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert os.listdir(tmp_path) == []
