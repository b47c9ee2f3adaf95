"""Images at URLs: against a local S3 server, and in fsspec's memory."""

import functools
import http.server
import io
import os
import pathlib
import re
import shutil
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("s3fs", reason="URLs need examine-jax[remote]")
moto_server = pytest.importorskip("moto.server")

import boto3
import fsspec
import s3fs

from examine_jax.images import load_folder, load_images, stream_images
from examine_jax.images.decoding import remote_reading
from examine_jax.images.remote_access import access_of, remember_access, without_secrets
from examine_jax.images.sources.folder import FolderSource
from examine_jax.images.stored_images import StoredImages
from tests.images.sources.test_archive import pack
from tests.support.dicom_series import volume, write_series

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The endpoint of an S3 server with a bucket."""
    own = moto_server.ThreadedMotoServer(port=0, verbose=False)
    own.start()
    host, port = own.get_host_and_port()
    yield f"http://{host}:{port}"
    own.stop()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Writes objects; the environment leads to the server."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    for name in KEYS:
        monkeypatch.setenv(name, "test")
    monkeypatch.setattr(remote_reading, "_WAIT_SECONDS", 0.0)
    s3fs.S3FileSystem.clear_instance_cache()
    client = boto3.client("s3")
    client.create_bucket(Bucket="scans")
    yield client
    for item in client.list_objects_v2(Bucket="scans").get("Contents", []):
        client.delete_object(Bucket="scans", Key=item["Key"])
    s3fs.S3FileSystem.clear_instance_cache()


def png(seed: int) -> bytes:
    stream = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 14, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(stream, "png")
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path: pathlib.Path, bucket: Any) -> pathlib.Path:
    """A folder of every kind of file, and the same below s3://scans/set."""
    root = tmp_path / "set"
    write_series(root / "ct", volume(3), (2, 0, 1))
    content = {f"a/{k}.png": png(k) for k in range(3)} | {
        "odd [1]*?#.png": png(7),
        "notes.txt": b"x",
        "v.mha": b"x",
        ".hidden.png": png(8),
        "empty.png": b"",
        "damaged.png": png(9)[:20],
        "run/config.json": b'{"settings": {"type": "AssessSettings"}}',
        "run/chart.png": png(10),
    }
    for name, data in content.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    (root / "ct" / "IM01.dcm").rename(root / "ct" / "IM01")
    put(bucket, root, "set/")
    return root


def put(bucket: Any, root: pathlib.Path, prefix: str) -> None:
    for path in root.rglob("*"):
        if path.is_file():
            key = prefix + path.relative_to(root).as_posix()
            bucket.put_object(Bucket="scans", Key=key, Body=path.read_bytes())


OPTIONS: dict[str, Any] = {"image_size": 10}


def test_a_bucket_is_read_as_the_folder(folder: pathlib.Path) -> None:
    loaded, expected = load_images("s3://scans/set", **OPTIONS), load_folder(folder, **OPTIONS)
    assert loaded.names == expected.names
    assert [(one.name, one.reason) for one in loaded.skipped] == [
        (one.name, one.reason) for one in expected.skipped
    ]
    assert loaded.notes == expected.notes
    np.testing.assert_array_equal(loaded.pixels, expected.pixels)
    streamed = stream_images("s3://scans/set/", **OPTIONS)
    assert (streamed.names, streamed.files) == (expected.names, ())
    np.testing.assert_array_equal(streamed[np.arange(len(streamed))], expected.pixels)
    stored = StoredImages.of("s3://scans/set", ("a/1.png",))
    np.testing.assert_array_equal(stored.read("a/1.png"), Image.open(folder / "a/1.png"))
    assert stored.own_file("a/1.png") is None


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
def test_archives_and_lists_are_read_in_place(
    folder: pathlib.Path, tmp_path: pathlib.Path, bucket: Any, form: str
) -> None:
    content = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}
    content["large.txt"] = 300_000 * b"x"
    packed = pack(tmp_path / f"packed.{form}", content)
    bucket.put_object(Bucket="scans", Key=packed.name, Body=packed.read_bytes())
    images, expected = (
        load_images(f"s3://scans/{packed.name}", **OPTIONS),
        load_images(packed, **OPTIONS),
    )
    assert (images.names, images.skipped) == (expected.names, expected.skipped)
    np.testing.assert_array_equal(images.pixels, expected.pixels)
    streamed = stream_images(f"s3://scans/{packed.name}", **OPTIONS)
    np.testing.assert_array_equal(streamed[np.arange(len(images))], expected.pixels)


def test_lists_name_urls_and_paths_beside_them(
    folder: pathlib.Path, tmp_path: pathlib.Path, bucket: Any
) -> None:
    lines = ["a/0.png", "s3://scans/set/a/1.png", "gone.png", "v.mha", "a"]
    bucket.put_object(Bucket="scans", Key="set/list.txt", Body="\n".join(lines).encode())
    images = load_images("s3://scans/set/list.txt", **OPTIONS)
    assert images.names == ("a/0.png", "s3://scans/set/a/1.png")
    reasons = {one.name: one.reason for one in images.skipped}
    assert "no such bucket, folder or file" in reasons["gone.png"]
    assert reasons["a"].startswith("a folder; list its files")
    assert set(reasons) == {"gone.png", "v.mha", "a"}
    own = folder / "list.csv"
    own.write_text("image\na/2.png\ns3://scans/set/a/1.png\n")
    assert load_images(own, **OPTIONS).names == ("a/2.png", "s3://scans/set/a/1.png")
    bucket.put_object(Bucket="scans", Key="empty.txt", Body=b"\n")
    with pytest.raises(ValueError, match=r"s3://scans/empty\.txt: the list is empty"):
        load_images("s3://scans/empty.txt", **OPTIONS)


def test_what_is_missing_or_forbidden_is_one_line(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.put_object(Bucket="scans", Key="x.png", Body=png(0))
    for url in ("s3://none/x", "s3://scans/none", "memory://none"):
        with pytest.raises(FileNotFoundError, match=f"{url}.*: there is no such bucket, folder or"):
            load_images(url, **OPTIONS)
    with pytest.raises(ValueError, match=r"x\.png is one file; name the folder.*: s3://scans$"):
        load_images("s3://scans/x.png", **OPTIONS)
    with pytest.raises(ValueError, match="no storage of the kind odd"):
        load_images("odd://x", **OPTIONS)
    with pytest.raises(ValueError, match="URLs within URLs are not read"):
        load_images("zip://a.png::s3://scans/x.zip", **OPTIONS)
    with pytest.raises(ValueError, match=r"^s3://scans/set: credentials in a URL are not read;"):
        load_images("s3://me:word@scans/set", **OPTIONS)
    with pytest.raises(ImportError, match="gcsfs: pip install gcsfs 'examine-jax"):
        load_images("gs://scans/x", **OPTIONS)
    for name in KEYS:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/none")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(
        PermissionError, match=r"s3://scans cannot be read: no cred.*AWS_ACCESS_KEY"
    ):
        load_images("s3://scans/set", **OPTIONS)


def test_a_server_that_is_not_there_is_one_line(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    with pytest.raises(OSError, match="its server cannot be reached"):
        load_images("s3://scans/set", **OPTIONS)


def test_an_object_that_changes_is_noticed(folder: pathlib.Path, bucket: Any) -> None:
    streamed = stream_images("s3://scans/set", **OPTIONS)
    row = streamed.names.index("a/0.png")
    other = bytearray(png(0))
    other[50] ^= 1
    bucket.put_object(Bucket="scans", Key="set/a/0.png", Body=bytes(other))
    with pytest.raises(
        ValueError, match=r"s3://scans/set/a/0\.png: it changed since it was listed"
    ):
        streamed.read(row)
    bucket.delete_object(Bucket="scans", Key="set/a/1.png")
    with pytest.raises(ValueError, match=r"a/1\.png: there is no such bucket, folder or file"):
        streamed.read(streamed.names.index("a/1.png"))


def test_failures_of_a_server_are_tried_again(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, failed = remote_reading.open_storage, set[str]()

    class Failing:
        """Each file fails once."""

        def __init__(self, storage: Any):
            self.storage = storage

        def __getattr__(self, name: str) -> Any:
            return getattr(self.storage, name)

        def cat_ranges(self, paths: Any, *rest: Any, **options: Any) -> Any:
            found = self.storage.cat_ranges(paths, *rest, **options)
            for row, path in enumerate(paths):
                if path not in failed:
                    failed.add(path)
                    found[row] = TimeoutError("slow")
            return found

    def open_storage(url: str) -> Any:
        storage, path = plain(url)
        return Failing(storage), path

    monkeypatch.setattr(remote_reading, "open_storage", open_storage)
    images = load_images("s3://scans/set/a", **OPTIONS)
    assert len(images) == len(failed) == 3


def test_copies_are_kept_where_a_folder_is_named(
    folder: pathlib.Path, tmp_path: pathlib.Path, bucket: Any
) -> None:
    cache = tmp_path / "cache"
    name = remember_access("s3://scans/set/a", cache)
    first = load_images(name, **OPTIONS)
    copies = {path: path.stat().st_mtime_ns for path in cache.rglob("*.png")}
    assert len(copies) == 3
    again = load_images(name, **OPTIONS)
    assert {path: path.stat().st_mtime_ns for path in cache.rglob("*.png")} == copies
    np.testing.assert_array_equal(first.pixels, again.pixels)
    bucket.put_object(Bucket="scans", Key="set/a/0.png", Body=png(99))
    load_images(name, **OPTIONS)
    assert len(list(cache.rglob("*.png"))) == 4
    np.save(tmp_path / "array.npy", first.pixels)
    bucket.put_object(Bucket="scans", Key="array.npy", Body=(tmp_path / "array.npy").read_bytes())
    with pytest.raises(ValueError, match=r"slides and arrays are read from a disk.*--cache"):
        load_images("s3://scans/array.npy", **OPTIONS)
    url = remember_access("s3://scans/array.npy", cache)
    np.testing.assert_array_equal(load_images(url, **OPTIONS).pixels, first.pixels)
    packed = pack(tmp_path / "p.zip", {"x.png": png(1)})
    bucket.put_object(Bucket="scans", Key="p.zip", Body=packed.read_bytes())
    assert load_images(remember_access("s3://scans/p.zip", cache), **OPTIONS).names == ("x.png",)


def test_limits_hold_as_on_a_disk(folder: pathlib.Path) -> None:
    from examine_jax.images.sources.files import load_files
    from examine_jax.images.sources.remote import scan_url
    from examine_jax.images.sources.source import ReadOptions

    images = load_files(scan_url, "s3://scans/set", ReadOptions(8), max_bytes=700)
    reasons = {one.name: one.reason for one in images.skipped}
    assert len(images) == 4
    assert all("more than max_bytes=700" in reasons[f"ct/{k}"] for k in ("IM00.dcm", "IM01"))


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://me:word@host/a/b.png", "https://host/a/b.png"),
        ("https://host/b.zip?X-Amz-Signature=12&x=1", "https://host/b.zip?x=1"),
        ("https://host/b.zip?token=12", "https://host/b.zip"),
        ("s3://key:secret@bucket/a", "s3://bucket/a"),
        ("https://host/b?sv=1&sig=2%3D", "https://host/b?sv=1"),
        ("abfs://box@account/a", "abfs://box@account/a"),
        ("abfs://box:key@account/a", "abfs://account/a"),
        ("https://host/b?jwt=1&x=2;sig=3&id=4", "https://host/b?id=4"),
        ("https://host/b.png?x=1#token=2", "https://host/b.png?x=1"),
        ("https://host/b?of=https://me:word@other/a&x=1", "https://host/b?x=1"),
        ("s3://bucket/a#1.png", "s3://bucket/a#1.png"),
        ("s3://bucket/a@b/c", "s3://bucket/a@b/c"),
        ("/a/b?token=1", "/a/b?token=1"),
    ],
)
def test_names_hold_no_secrets(url: str, clean: str) -> None:
    assert without_secrets(url) == clean
    assert remember_access(url) == clean
    assert access_of(clean).url == url


def test_a_web_server_is_read_and_its_secrets_are_kept(tmp_path: pathlib.Path) -> None:
    (tmp_path / "sub").mkdir()
    for seed in range(2):
        (tmp_path / "sub" / f"{seed}.png").write_bytes(png(seed))
    (tmp_path / "list.txt").write_text("sub/1.png\nsub/gone.png\n")
    pack(tmp_path / "p.zip", {"x.png": png(1)})

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    quiet = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), quiet) as web:
        thread = threading.Thread(target=web.serve_forever, args=(0.05,))
        thread.start()
        base = f"127.0.0.1:{web.server_port}"
        assert load_images(f"http://{base}/sub/", **OPTIONS).names == ("0.png", "1.png")
        images = load_images(f"http://me:word@{base}/list.txt?token=12", **OPTIONS)
        assert images.names == ("sub/1.png",)
        assert images.skipped[0].name == "sub/gone.png"
        assert not re.search("word|token", images.skipped[0].reason)
        with pytest.raises(ValueError, match=f"^http://{base}/p.zip: its server gives no parts"):
            load_images(f"http://me:word@{base}/p.zip?token=12", **OPTIONS)
        name = remember_access(f"http://{base}/p.zip", tmp_path / "cache")
        (tmp_path / "local.txt").write_text(f"http://{base}/sub/1.png\n")
        local = remember_access(str(tmp_path / "local.txt"), tmp_path / "of_list")
        assert load_images(name, **OPTIONS).names == ("x.png",)
        # This server says of a version when it was changed, and nothing else.
        name = remember_access(f"http://{base}/sub/", tmp_path / "copies")
        first = load_images(name, **OPTIONS)
        (tmp_path / "sub" / "0.png").write_bytes(png(7))
        os.utime(tmp_path / "sub" / "0.png", (1e9, 1e9))
        changed = load_images(name, **OPTIONS)
        assert (changed.pixels[0] != first.pixels[0]).any()
        np.testing.assert_array_equal(changed.pixels[1], first.pixels[1])
        for source in (remember_access(f"http://{base}/list.txt", tmp_path / "of_list"), local):
            assert load_images(source, **OPTIONS).names[0].endswith("sub/1.png")
            assert len(list((tmp_path / "of_list").rglob("*.png"))) == 1
            shutil.rmtree(tmp_path / "of_list")
        (tmp_path / "sub" / "bad.txt").write_text("gone.png")
        with pytest.raises(ValueError, match=f"^no readable image in http://{base}/sub/bad.txt:"):
            load_images(f"http://me:word@{base}/sub/bad.txt?token=12", **OPTIONS)
        with pytest.raises(ValueError, match=r"one file; name the folder.* ends in a slash"):
            load_images(f"http://{base}/sub", **OPTIONS)
        web.shutdown()
        thread.join()


def test_without_a_url_fsspec_is_not_imported() -> None:
    package = pathlib.Path(remote_reading.__file__).parents[2]
    importing = [
        path.name
        for path in package.rglob("*.py")
        if re.search(r"^( *)(import|from) (fsspec|s3fs)", path.read_text(), re.MULTILINE)
    ]
    assert importing == ["remote_reading.py"]
    assert not re.search(r"^(import|from) fsspec", path_text(package), re.MULTILINE)
    others = [path for path in package.rglob("*.py") if "remote_reading" in path.read_text()]
    for path in others:
        assert not re.search(r"^from .*remote_reading import", path.read_text(), re.MULTILINE)


def path_text(package: pathlib.Path) -> str:
    return (package / "images" / "decoding" / "remote_reading.py").read_text()


def test_a_folder_in_memory_is_read() -> None:
    storage = fsspec.filesystem("memory")
    storage.pipe("/some/x.png", png(3))
    assert load_images("memory://some", **OPTIONS).names == ("x.png",)
    assert FolderSource().recognises("memory://some") is False
    storage.rm("/some", recursive=True)
