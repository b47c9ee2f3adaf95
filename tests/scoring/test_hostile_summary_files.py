"""Made-up and damaged summary files: each is refused with a ValueError, or is the summary."""

import io
import pathlib
import zipfile
from collections.abc import Callable

import numpy as np
import pytest

from examine_jax.scoring.summary import SpectralSummary

VERSION = "examine_jax_spectral_summary_version"
ROWS = np.random.default_rng(0).normal(size=(24, 6)) + 3
SUMMARY = SpectralSummary.of(ROWS)
GOOD: dict[str, np.ndarray] = {
    VERSION: np.float64(1),
    **{name: np.asarray(value) for name, value in SUMMARY._asdict().items()},
}


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def _claiming(header: str, content: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + content


def _archive(**members: bytes | np.ndarray | float) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as written:
        for name, value in {**GOOD, **members}.items():
            content = value if isinstance(value, bytes) else _npy(np.asarray(value, np.float64))
            written.writestr(f"{name}.npy", content)
    return stream.getvalue()


def _with_offset(content: bytes, offset: int) -> bytes:
    """The archive, its central directory said to begin at another place."""
    end = content.rindex(b"PK\x05\x06")
    return content[: end + 16] + offset.to_bytes(4, "little") + content[end + 20 :]


def _with_size(content: bytes, size: int) -> bytes:
    """The archive, each member said to be of another size."""
    changed, start = bytearray(content), 0
    while (start := changed.find(b"PK\x01\x02", start) + 1) > 0:
        for place in (19, 23):
            changed[start + place : start + place + 4] = size.to_bytes(4, "little")
    return bytes(changed)


NEGATIVE = np.asarray(SUMMARY.scatter) - 10 * np.eye(6) * np.abs(SUMMARY.scatter).max()
SHAPED = "{{'descr': '<f8', 'fortran_order': False, 'shape': {}}}"
FILES: dict[str, bytes] = {
    "version-a-vector": _archive(**{VERSION: np.ones(2)}),
    "version-not-a-number": _archive(**{VERSION: np.nan}),
    "no-columns": _archive(mean=np.zeros(0), scatter=np.zeros((0, 0))),
    "mean-a-matrix": _archive(mean=np.zeros((1, 6))),
    "mean-a-number": _archive(mean=1.0),
    "count-a-vector": _archive(count=np.ones(3)),
    "scatter-a-vector": _archive(scatter=np.ones(6)),
    "scatter-wide": _archive(scatter=np.ones((6, 7))),
    "scatter-infinite": _archive(scatter=np.full((6, 6), np.inf)),
    "scatter-huge": _archive(scatter=np.full((6, 6), 1.7e308)),
    "scatter-negative": _archive(scatter=NEGATIVE),
    "scatter-indefinite": _archive(scatter=np.ones((6, 6)) - np.eye(6)),
    "mean-huge": _archive(mean=np.full(6, 1e300)),
    "error-huge": _archive(scatter_error=1e308),
    "error-not-a-number": _archive(mean_error=np.nan),
    "error-negative": _archive(mean_error=-1.0),
    "count-negative": _archive(count=-24.0),
    "count-huge": _archive(count=1e300),
    "count-infinite": _archive(count=np.inf),
    "scale-zero": _archive(scale=0.0),
    "scale-denormal": _archive(scale=2.0**-1074),
    "scale-negative": _archive(scale=-1.0),
    "shape-huge": _archive(mean=_claiming(SHAPED.format((2**62,)))),
    "shape-beyond-64-bits": _archive(mean=_claiming(SHAPED.format((2**70, 0)))),
    "shape-negative": _archive(mean=_claiming(SHAPED.format((-2, -3)), bytes(48))),
    "shape-not-a-tuple": _archive(mean=_claiming(SHAPED.format("'six'"))),
    "header-unhashable": _archive(mean=_claiming("{[]: 1}")),
    "header-nested": _archive(mean=_claiming("(" * 5000)),
    "header-no-python": _archive(mean=_claiming("{'descr': ")),
    "header-not-text": _archive(mean=b"\x93NUMPY\x01\x00\x04\x00\xff\xfe\xff\x00"),
    "member-empty": _archive(mean=b""),
    "structured": _archive(
        mean=_claiming("{'descr': [('x', '<f8')], 'fortran_order': False, 'shape': (6,)}")
    ),
    "objects": _archive(
        mean=_claiming("{'descr': '|O', 'fortran_order': False, 'shape': (6,)}", b"cos\nsystem\n")
    ),
    "directory-elsewhere": _with_offset(_archive(), 2**31),
    "members-said-to-be-huge": _with_size(_archive(), 2**32 - 2),
    "nothing": b"",
    "text": b"no archive at all",
    "another-archive": _with_offset(b"PK\x05\x06" + bytes(18), 0),
}


def _load(content: bytes, folder: pathlib.Path) -> SpectralSummary:
    path = folder / "corpus.npz"
    path.write_bytes(content)
    return SpectralSummary.load(path)


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_a_value_error_in_one_line(name: str, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ValueError, match=r"corpus\.npz is not a readable") as raised:
        _load(FILES[name], tmp_path)
    assert "\n" not in str(raised.value)


def test_the_unchanged_file_is_read(tmp_path: pathlib.Path) -> None:
    _assert_is_the_summary(_load(_archive(), tmp_path))


def _assert_is_the_summary(loaded: SpectralSummary) -> None:
    for name, array in loaded._asdict().items():
        np.testing.assert_array_equal(array, GOOD[name])


def _flipped(content: bytes, generator: np.random.Generator) -> bytes:
    changed = np.frombuffer(content, np.uint8).copy()
    places = generator.integers(len(changed), size=generator.integers(1, 4))
    changed[places] ^= generator.integers(1, 256, places.shape, np.uint8)
    return changed.tobytes()


def _cut(content: bytes, generator: np.random.Generator) -> bytes:
    first, last = np.sort(generator.integers(len(content), size=2))
    return content[:first] + content[last:]


def _swapped(content: bytes, generator: np.random.Generator) -> bytes:
    size = int(generator.integers(1, 200))
    one, other = generator.integers(len(content) - size, size=2)
    changed = bytearray(content)
    changed[one : one + size] = content[other : other + size]
    return bytes(changed)


@pytest.mark.parametrize("mutate", [_flipped, _cut, _swapped])
def test_a_thousand_damaged_files_are_refused_or_are_the_summary(
    mutate: Callable[[bytes, np.random.Generator], bytes], tmp_path: pathlib.Path
) -> None:
    generator = np.random.default_rng(1)
    content, refused = _archive(), 0
    for _ in range(1000):
        try:
            loaded = _load(mutate(content, generator), tmp_path)
        except ValueError:
            refused += 1
        else:
            _assert_is_the_summary(loaded)
    assert refused > 300
