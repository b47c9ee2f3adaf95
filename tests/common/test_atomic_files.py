"""Files are written whole or not at all."""

import errno
import os
import pathlib
import signal
import stat
import subprocess
import sys
import time

import numpy as np
import pytest

from examine_jax.common import atomic_files

_LIMITED = """
import errno, resource, sys
import numpy as np
from examine_jax.common import atomic_files
from examine_jax.reporting import tables
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
path, kind = sys.argv[1:]
rows = np.zeros(5000, np.float32)
writers = {
    "bytes": lambda: atomic_files.write_bytes(path, bytes(100_000)),
    "text": lambda: atomic_files.write_text(path, "x" * 100_000),
    "array": lambda: atomic_files.write_array(path, np.zeros((100, 100))),
    "table": lambda: tables.write_scores(
        path, ["image"] * 5000, rows, rows, rows, tables.rank_by_gap(rows)
    ),
}
try:
    writers[kind]()
except OSError as error:
    assert error.errno == errno.EFBIG, error.errno
    print(error)
"""


@pytest.mark.parametrize("kind", ["bytes", "text", "array", "table"])
def test_write_that_fails_part_way_leaves_what_was_there(kind, tmp_path):
    path = tmp_path / "result"
    path.write_text("before")
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, path, kind], capture_output=True, text=True, check=True
    )
    message = done.stdout.strip()
    assert str(path) in message
    assert "File too large" in message
    assert "\n" not in message
    assert done.stderr == ""
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["result"]


def test_full_disk_is_an_error_in_one_line_and_leaves_nothing(tmp_path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tmp_path],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs privileges that this user has not")
    try:
        (tmp_path / "features.npy").write_bytes(b"before")
        with pytest.raises(
            OSError, match=r"features\.npy: No space left on device; make room"
        ) as caught:
            atomic_files.write_array(tmp_path / "features.npy", np.zeros((1000, 100), np.float32))
        assert caught.value.errno == errno.ENOSPC
        assert "\n" not in str(caught.value)
        assert (tmp_path / "features.npy").read_bytes() == b"before"
        assert os.listdir(tmp_path) == ["features.npy"]
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_killed_writer_leaves_the_old_file(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("before")
    program = (
        "import sys, time\nfrom examine_jax.common import atomic_files\n"
        "with atomic_files.replacing(sys.argv[1]) as stream:\n"
        "    stream.write(b'half')\n    stream.flush()\n"
        "    print('written', flush=True)\n    time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b"written\n"
        child.send_signal(signal.SIGKILL)
    assert path.read_text() == "before"


def test_block_that_raises_leaves_nothing(tmp_path):
    def interrupted():
        with atomic_files.replacing(tmp_path / "x") as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("missing/x.csv", FileNotFoundError),
        ("folder", IsADirectoryError),
        ("a\nb/x.csv", FileNotFoundError),
    ],
)
def test_unwritable_place_is_named_in_one_line(name, kind, tmp_path):
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    with pytest.raises(kind, match="cannot write") as caught:
        atomic_files.write_text(tmp_path / name, "text")
    assert "\n" not in str(caught.value)
    assert name.split("/")[-1] in str(caught.value)
    assert os.listdir(tmp_path) == ["folder"]


def test_file_has_the_mode_that_the_umask_gives(tmp_path):
    before = os.umask(0o027)
    try:
        atomic_files.write_bytes(tmp_path / "x", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_text_with_lone_surrogates_is_written_escaped(tmp_path):
    atomic_files.write_text(tmp_path / "x", "é\udcff\r\n")
    assert (tmp_path / "x").read_bytes() == "é\\udcff\r\n".encode()


@pytest.mark.parametrize(
    "dtype", [np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_]
)
@pytest.mark.parametrize("shape", [(7, 3), (0, 3), ()])
def test_array_comes_back_the_same(dtype, shape, tmp_path):
    array = np.random.default_rng(0).integers(0, 9, shape).astype(dtype)
    for kept in (array, np.asfortranarray(array), array[::-1] if shape else array):
        atomic_files.write_array(tmp_path / "x.npy", kept)
        loaded = np.load(tmp_path / "x.npy", allow_pickle=False)
        assert loaded.dtype == dtype
        np.testing.assert_array_equal(loaded, kept)


def test_array_larger_than_numpys_blocks_comes_back_the_same(tmp_path):
    array = np.arange(6_000_000, dtype=np.float32).reshape(-1, 3)  # numpy writes 16 MiB at a time
    atomic_files.write_array(tmp_path / "x.npy", array)
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy", mmap_mode="r"), array)


def test_array_that_npy_does_not_keep_is_refused(tmp_path):
    import ml_dtypes

    for array in (np.array([object()]), np.zeros(3, ml_dtypes.bfloat16)):
        with pytest.raises(ValueError, match="convert it"):
            atomic_files.write_array(tmp_path / "x.npy", array)
    assert os.listdir(tmp_path) == []


def test_replaced_file_is_never_seen_half_written(tmp_path):
    path = tmp_path / "x"
    contents = {b"a" * 3_000_000, b"b" * 3_000_000}
    atomic_files.write_bytes(path, min(contents))
    program = (
        "import sys\nfrom examine_jax.common import atomic_files\n"
        "for turn in range(30):\n"
        "    atomic_files.write_bytes(sys.argv[1], (b'a', b'b')[turn % 2] * 3_000_000)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, path]) as child:
        while child.poll() is None:
            assert path.read_bytes() in contents
            time.sleep(0.005)
    assert child.returncode == 0


def test_a_file_that_is_read_is_not_replaced_under_any_name(tmp_path: pathlib.Path) -> None:
    file, link = tmp_path / "a.csv", tmp_path / "b.csv"
    file.write_text("image\n")
    link.symlink_to(file)
    atomic_files.check_not_read([file], [None, tmp_path, "tfds:name"])
    for written, read in ((file, file), (link, file), (file, link)):
        with pytest.raises(ValueError, match="is read and would be overwritten"):
            atomic_files.check_not_read([written], [None, read])
