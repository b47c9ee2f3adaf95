"""Scores that several processes compute together: each reads and examines its own rows."""

import functools
from collections.abc import Callable, Iterable
from typing import TypeVar

import jax
import numpy as np

from examine_jax.common.processes import gather_arrays, is_alone, share
from examine_jax.common.shapes import Float, Shaped
from examine_jax.features.feature_chunks import FeatureChunks, FeatureRows
from examine_jax.scoring.chunks import (
    examine_member_chunks,
    examine_new_chunks,
    summarise_chunks,
)
from examine_jax.scoring.examination import Examination
from examine_jax.scoring.spectrum import Newcomers, Spectrum
from examine_jax.scoring.summary import SpectralSummary

_Found = TypeVar("_Found", Examination, Newcomers)
_Shown = Callable[[FeatureRows], Iterable[Float[np.ndarray, "chunk width"]]]


def summarise_together(chunks: FeatureChunks, shown: _Shown) -> SpectralSummary:
    """The summary of all rows: each process reads its own, and all merge the summaries.

    Args:
        chunks: all rows.
        shown: shows the progress of reading.
    """
    own = chunks.part(share(chunks.rows))
    if is_alone():
        return summarise_chunks(shown(own))
    summary = summarise_chunks(shown(own)) if own.rows else None
    fields = (
        [np.zeros(0)] * len(SpectralSummary._fields)
        if summary is None
        else [np.asarray(field) for field in summary]
    )
    gathered = zip(*(gather_arrays(field) for field in fields), strict=True)
    parts = [SpectralSummary(*part) for part in gathered if part[1].size]
    return functools.reduce(SpectralSummary.merge, parts)


def examine_together(chunks: FeatureChunks, spectrum: Spectrum, shown: _Shown) -> Examination:
    """The corpus' own rows: each process examines its own, and all get all results."""
    return _each_its_own(chunks, shown, lambda rows: examine_member_chunks(rows, spectrum))


def examine_new_together(chunks: FeatureChunks, spectrum: Spectrum, shown: _Shown) -> Newcomers:
    """As `examine_together`, for rows that are new to the corpus."""
    return _each_its_own(chunks, shown, lambda rows: examine_new_chunks(rows, spectrum))


def _each_its_own(
    chunks: FeatureChunks,
    shown: _Shown,
    compute: Callable[[Iterable[Float[np.ndarray, "chunk width"]]], _Found],
) -> _Found:
    own = share(chunks.rows)
    if is_alone():
        return compute(shown(chunks.part(own)))
    # With more processes than rows, some compute a row that they do not give to the others.
    found = compute(shown(chunks.part(own if own else range(1))))

    def joined(part: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
        parts = gather_arrays(np.asarray(part)[: len(own)] if np.ndim(part) else np.asarray(part))
        return np.concatenate(parts) if np.ndim(part) else np.max(parts)

    result: _Found = jax.tree.map(joined, found)
    return result
