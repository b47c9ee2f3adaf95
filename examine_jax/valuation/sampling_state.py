"""Sampled contributions on disk: written whole or not at all, resumable, and mergeable between machines.

A sample is known by its index: index i is the same draw on every machine (its key is fold_in(key, i)). A file holds the indices that are
done and each one's contribution to every row, so that runs over different indices are merged by putting their files together.
"""

import dataclasses
import io
import os
import pathlib
import zipfile
from collections.abc import Sequence

import numpy as np

from examine_jax._shapes import Float, Int
from examine_jax.atomic_files import write_bytes

_FORMAT = 1
_MOST_BYTES = 2**33


@dataclasses.dataclass(frozen=True, eq=False)
class Samples:
    """Contributions of the samples that are done.

    Attributes:
        fingerprint: of the settings, the data and the key; files with another are refused.
        indices: [S] ascending.
        contributions: [S, N] float64.
        fits: [S] how many models each sample fitted.
    """

    fingerprint: str
    indices: Int[np.ndarray, " s"]
    contributions: Float[np.ndarray, "s n"]
    fits: Int[np.ndarray, " s"]

    @classmethod
    def none(cls, fingerprint: str, players: int) -> "Samples":
        return cls(fingerprint, np.zeros(0, np.int64), np.zeros((0, players)), np.zeros(0, np.int64))

    def with_samples(
        self, indices: Int[np.ndarray, " k"], contributions: Float[np.ndarray, "k n"], fits: Int[np.ndarray, " k"]
    ) -> "Samples":
        return merge([self, Samples(self.fingerprint, indices, contributions, fits)])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Raises: OSError, as `atomic_files`."""
        stream = io.BytesIO()
        np.savez(
            stream,
            format=np.int64(_FORMAT),
            fingerprint=np.frombuffer(self.fingerprint.encode(), np.uint8),
            indices=self.indices,
            contributions=self.contributions,
            fits=self.fits,
        )
        write_bytes(path, stream.getvalue())


def load_samples(path: str | os.PathLike[str], fingerprint: str, players: int) -> Samples:
    """The samples in a file; none where there is no file.

    Raises:
        ValueError: the file is damaged, or of another run (other data, settings or key).
    """
    path = pathlib.Path(path)
    if not path.exists():
        return Samples.none(fingerprint, players)
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path} is larger than any state of ours; name another file")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            there = bytes(stored["fingerprint"]).decode()
            samples = Samples(there, stored["indices"], stored["contributions"], stored["fits"])
            form = int(stored["format"])
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise ValueError(f"{path} holds no sampling state ({error}); delete it to start afresh") from error
    if form != _FORMAT or there != fingerprint or samples.contributions.shape != (len(samples.indices), players):
        raise ValueError(
            f"{path} belongs to another run (data, settings or key differ); delete it or name another file"
        )
    return samples


def merge(parts: Sequence[Samples]) -> Samples:
    """The samples of several runs together; an index that several have is counted once.

    Raises:
        ValueError: runs of different data, settings or keys.
    """
    if len({part.fingerprint for part in parts}) != 1:
        raise ValueError("these samples are of different runs (data, settings or key differ): they cannot be merged")
    indices, first = np.unique(np.concatenate([part.indices for part in parts]), return_index=True)
    return Samples(
        parts[0].fingerprint,
        indices,
        np.concatenate([part.contributions for part in parts])[first],
        np.concatenate([part.fits for part in parts])[first],
    )
