"""Sampled contributions on disk: written whole or not at all, resumable, and mergeable between machines.

A sample is known by its index: index i is the same draw on every machine (its key is fold_in(key, i)). A file holds the indices that are
done and each one's contribution to every row, so that runs over different indices are merged by putting their files together
(`merge_states`).
"""

import dataclasses
import io
import os
import pathlib
import zipfile
from collections.abc import Callable, Sequence

import numpy as np

from examine_jax.common.atomic_files import write_bytes
from examine_jax.common.shapes import Float, Int
from examine_jax.valuation.valuation import Progress

_FORMAT = 2
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
    samples = _read(path)
    if samples.fingerprint != fingerprint or samples.contributions.shape != (len(samples.indices), players):
        raise ValueError(
            f"{path} belongs to another run (data, settings or key differ); delete it, or let the results go elsewhere"
        )
    return samples


def merge_states(paths: Sequence[str | os.PathLike[str]], into: str | os.PathLike[str]) -> None:
    """Puts the states of several runs of one valuer (same data, settings and key; other samples by `first`) together in one file.

    The valuer's own `value(..., state=into)` with `first=0` and as many samples as all of them drew then gives the values of all.

    Raises:
        ValueError: a file is damaged; runs that differ. OSError: a file is missing or cannot be written.
    """
    merge([_read(pathlib.Path(path)) for path in paths]).save(into)


def go_on(
    samples: Samples,
    state: str | os.PathLike[str] | None,
    wanted: range,
    at_once: int,
    draw: Callable[[Int[np.ndarray, " k"]], tuple[Float[np.ndarray, "k n"], Int[np.ndarray, " k"]]],
    told: Progress,
    enough: Callable[[Float[np.ndarray, "s n"]], bool] = lambda _: False,
) -> Samples:
    """Draws those of the wanted samples that are not there yet, some at once, and saves them each time.

    Args:
        samples: what is there.
        state: a file; None: nothing is kept.
        draw: of indices, their contributions and fits.
        enough: asked after each group with the contributions so far; whether to stop there.
    """
    for start in range(wanted.start, wanted.stop, at_once):
        group = np.arange(start, min(start + at_once, wanted.stop))
        missing = group[~np.isin(group, samples.indices)]
        if len(missing):
            samples = samples.with_samples(missing, *draw(missing))
            if state is not None:
                samples.save(state)
        told(int(group[-1]) + 1 - wanted.start, len(wanted))
        if enough(samples.contributions[samples.indices <= group[-1]]):
            break
    return samples


def _read(path: pathlib.Path) -> Samples:
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path} is larger than any state of ours; delete it to start afresh")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            there = bytes(stored["fingerprint"]).decode()
            samples = Samples(there, stored["indices"], stored["contributions"], stored["fits"])
            form = int(stored["format"])
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise ValueError(f"{path} holds no sampling state ({error}); delete it to start afresh") from error
    if form != _FORMAT:
        raise ValueError(f"{path} is of another version of this library; delete it to start afresh")
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
