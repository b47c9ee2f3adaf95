"""Sampled contributions in files, from which runs resume and which can be merged.

A sample has an index: index i is the same draw on every machine (its key is fold_in(key, i)). A
file holds the finished indices and each sample's contribution to every row. `merge_states` combines
files with different indices.
"""

import dataclasses
import io
import os
import pathlib
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from examine_jax.common.atomic_files import write_bytes
from examine_jax.common.processes import (
    gather_arrays,
    is_alone,
    is_first,
    process_count,
    process_index,
)
from examine_jax.common.shapes import Float, Int
from examine_jax.valuation.valuation import Progress

_FORMAT = 2
_MOST_BYTES = 2**33


@dataclasses.dataclass(frozen=True, eq=False)
class Samples:
    """Contributions of the finished samples.

    Attributes:
        fingerprint: of settings, data and key; a file with another fingerprint is refused.
        indices: [S] ascending.
        contributions: [S, N] float64.
        fits: [S] the number of models that each sample fitted.
    """

    fingerprint: str
    indices: Int[np.ndarray, " s"]
    contributions: Float[np.ndarray, "s n"]
    fits: Int[np.ndarray, " s"]

    @classmethod
    def none(cls, fingerprint: str, players: int) -> "Samples":
        """No samples yet."""
        return cls(
            fingerprint, np.zeros(0, np.int64), np.zeros((0, players)), np.zeros(0, np.int64)
        )

    def with_samples(
        self,
        indices: Int[np.ndarray, " k"],
        contributions: Float[np.ndarray, "k n"],
        fits: Int[np.ndarray, " k"],
    ) -> "Samples":
        """These samples and more."""
        return merge([self, Samples(self.fingerprint, indices, contributions, fits)])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a file. Raises: OSError, as `atomic_files`."""
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
    """The samples in a file; none if there is no file. The first of several processes reads it.

    Raises:
        ValueError: the file is damaged, or of another run (other data, settings or key).
    """
    path = pathlib.Path(path)
    if not is_alone():
        none = Samples.none(fingerprint, players)
        own = none if not is_first() else _load(path, fingerprint, players)
        arrays = (own.indices, own.contributions, own.fits)
        return Samples(fingerprint, *(gather_arrays(array)[0] for array in arrays))
    return _load(path, fingerprint, players)


def _load(path: pathlib.Path, fingerprint: str, players: int) -> Samples:
    if not path.exists():
        return Samples.none(fingerprint, players)
    samples = _read(path)
    if samples.fingerprint != fingerprint or samples.contributions.shape != (
        len(samples.indices),
        players,
    ):
        raise ValueError(
            f"{path} belongs to another run (data, settings or key differ); delete it, or let the "
            "results go elsewhere"
        )
    return samples


def merge_states(paths: Sequence[str | os.PathLike[str]], into: str | os.PathLike[str]) -> None:
    """Merges the states of several runs of one valuer into one file.

    The runs have the same data, settings and key, but different samples (`first`). Then the
    valuer's `value(..., state=into)`, with `first=0` and as many samples as all runs together,
    gives the values of all runs.

    Raises:
        ValueError: a file is damaged; runs that differ. OSError: a file is missing or cannot be
            written.
    """
    merge([_read(pathlib.Path(path)) for path in paths]).save(into)


def draw_missing(
    samples: Samples,
    state: str | os.PathLike[str] | None,
    wanted: range,
    at_once: int,
    draw: Callable[[Int[np.ndarray, " k"]], tuple[Float[np.ndarray, "k n"], Int[np.ndarray, " k"]]],
    progress: Progress,
    enough: Callable[[Float[np.ndarray, "s n"]], bool] = lambda _: False,
) -> Samples:
    """Draws the wanted samples that are still missing, group by group, and saves after each group.

    Several processes each draw one group at a time. The result is that of one process, bit for bit
    where their processors are alike.

    Args:
        samples: the finished ones.
        state: the file; None: nothing is saved.
        wanted: indices.
        at_once: samples in a group.
        draw: indices -> contributions and fits.
        progress: called with (done, total).
        enough: contributions so far -> whether to stop; called after each group.
    """
    groups = [
        np.arange(start, min(start + at_once, wanted.stop))
        for start in range(wanted.start, wanted.stop, at_once)
    ]
    for start in range(0, len(groups), process_count()):
        at_a_time = groups[start : start + process_count()]
        missing = [group[~np.isin(group, samples.indices)] for group in at_a_time]
        for group, new, drawn in zip(at_a_time, missing, _drawn(missing, draw)):
            if len(new):
                samples = samples.with_samples(new, *drawn)
            progress(int(group[-1]) + 1 - wanted.start, len(wanted))
            stop = enough(samples.contributions[samples.indices <= group[-1]])
            if stop:
                break
        if any(map(len, missing)) and state is not None and is_first():
            samples.save(state)
        if stop:
            break
    return samples


def _drawn(missing: Sequence[Int[np.ndarray, " k"]], draw: Callable[..., Any]) -> list[Any]:
    """The contributions and fits of each group of samples; each process draws its own group."""
    if not any(map(len, missing)):
        return [None] * len(missing)
    own = missing[process_index()] if process_index() < len(missing) else missing[0][:0]
    drawn = draw(own) if len(own) else (np.zeros((0, 0)), np.zeros(0, np.int64))
    return list(zip(*(gather_arrays(np.asarray(part)) for part in drawn)))[: len(missing)]


def _read(path: pathlib.Path) -> Samples:
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError(f"{path} is larger than any sampling state; delete it to start again")
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            there = bytes(stored["fingerprint"]).decode()
            samples = Samples(there, stored["indices"], stored["contributions"], stored["fits"])
            form = int(stored["format"])
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} holds no sampling state ({error}); delete it to start again"
        ) from error
    if form != _FORMAT:
        raise ValueError(f"{path} is of another version of this library; delete it to start again")
    return samples


def merge(parts: Sequence[Samples]) -> Samples:
    """The samples of several runs; an index that several runs have counts once.

    Raises:
        ValueError: runs of different data, settings or keys.
    """
    if len({part.fingerprint for part in parts}) != 1:
        raise ValueError(
            "these samples are of different runs (data, settings or key differ): they cannot be "
            "merged"
        )
    indices, first = np.unique(np.concatenate([part.indices for part in parts]), return_index=True)
    return Samples(
        parts[0].fingerprint,
        indices,
        np.concatenate([part.contributions for part in parts])[first],
        np.concatenate([part.fits for part in parts])[first],
    )
