"""Files that are no summaries are refused in one line."""

import io
import pathlib
import pickle
import zipfile

import numpy as np
import pytest

from examine_jax.scoring.summary import SpectralSummary
from tests.scoring.test_summary import PARTS


def _hostile_files() -> dict[str, tuple[bytes, str]]:
    generator = np.random.default_rng(0)
    stream = io.BytesIO()
    summary = SpectralSummary.of(PARTS[0.0, 1])
    names = {
        "examine_jax_spectral_summary_version": 1.0,
        **{k: np.asarray(v) for k, v in summary._asdict().items()},
    }

    def archive(**changes: object) -> bytes:
        stream = io.BytesIO()
        content = {**names, **changes}
        np.savez(
            stream,
            **{key: np.asarray(value) for key, value in content.items() if value is not None},
        )
        return stream.getvalue()

    good = archive()
    damaged = bytearray(good)
    damaged[len(good) // 2] ^= 255
    np.savez_compressed(stream, **names)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w") as written:
        for name in names:
            header = (
                b"\x93NUMPY\x01\x00v\x00"
                + b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999,)}".ljust(117)
                + b"\n"
            )
            written.writestr(f"{name}.npy", header)
    array = io.BytesIO()
    np.save(array, generator.normal(size=(4, 4)))
    objects = io.BytesIO()
    np.savez(objects, **{**names, "mean": np.array([print], object)})
    return {
        "empty": (b"", "zip"),
        "truncated": (good[:-50], "zip"),
        "cut-in-half": (good[: len(good) // 2], "zip"),
        "damaged": (bytes(damaged), "CRC"),
        "pickle": (pickle.dumps(dict(names)), "zip"),
        "npy": (array.getvalue(), "zip"),
        "objects": (objects.getvalue(), "mean is not a float64 array"),
        "compressed": (stream.getvalue(), "compressed"),
        "claims-to-be-huge": (bomb.getvalue(), "truncated"),
        "another-archive": (archive(examine_jax_spectral_summary_version=None), "holds no summary"),
        "another-version": (
            archive(examine_jax_spectral_summary_version=2.0),
            "version 2; this program reads version 1",
        ),
        "another-array": (archive(more=np.zeros(5)), "more than a summary"),
        "half-the-rest": (archive(mean_rest=None), "mean_rest is missing"),
        "rest-too-large": (archive(mean_rest=np.full(6, 1e-3)), "larger than a rounding error"),
        "rest-of-another-shape": (archive(rest_errors=np.zeros(3)), "rest_errors has shape"),
        "rest-negative": (archive(rest_errors=-np.ones(2)), "error bound is negative"),
        "another-width": (archive(mean=np.zeros(5)), "scatter has shape"),
        "float32": (archive(scatter=np.zeros((6, 6), np.float32)), "not a float64"),
        "missing": (archive(scatter=None), "scatter is missing"),
        "negative-count": (archive(count=-1.0), "count of rows is -1"),
        "half-a-row": (archive(count=1.5), "count of rows is 1.5"),
        "not-finite": (archive(mean=np.full(6, np.nan)), "mean is not finite"),
        "scale": (archive(scale=3.0), "not a power of two"),
        "asymmetric": (archive(scatter=np.triu(np.ones((6, 6)))), "symmetric"),
    }


HOSTILE = _hostile_files()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_is_no_summary_is_refused_in_one_line_that_names_it(
    name: str, tmp_path: pathlib.Path
) -> None:
    content, reason = HOSTILE[name]
    path = tmp_path / "corpus.npz"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"corpus\.npz is not a readable spectral summary"
    ) as raised:
        SpectralSummary.load(path)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)
