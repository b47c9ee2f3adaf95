"""Which true box each anchor or proposal is to find."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp

from examine_jax.common.shapes import Array, Bool, Float, Int


class Matches(NamedTuple):
    """The true box of each candidate. Candidates with neither mark are ignored.

    Attributes:
        truth: the row of the true box with the largest IoU; meaningful where `positive`.
        positive: the candidate is to find its true box.
        negative: the candidate is background.
    """

    truth: Int[Array, " candidates"]
    positive: Bool[Array, " candidates"]
    negative: Bool[Array, " candidates"]


@dataclasses.dataclass(frozen=True)
class Matcher:
    """Matches candidates to true boxes by their IoU.

    Attributes:
        high: a candidate is positive if its largest IoU is at least this.
        low: a candidate is background if its largest IoU is less than this.
        keep_best: whether candidates that tie for a true box's largest IoU are positive too, for
            the true box with which they overlap most themselves. A true box that no candidate
            overlaps has none.

    Source:
        torchvision's Matcher, with `keep_best` as its allow_low_quality_matches.
    """

    high: float
    low: float
    keep_best: bool

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.high <= 1:
            raise ValueError(
                "Matcher: thresholds must satisfy 0 < low <= high <= 1, got low "
                f"{self.low} and high {self.high}"
            )

    def __call__(
        self, overlaps: Float[Array, "truths candidates"], mask: Bool[Array, " truths"]
    ) -> Matches:
        """The matches of the candidates.

        Args:
            overlaps: the IoU of each true box with each candidate.
            mask: which true boxes exist.
        """
        if not len(overlaps):
            none = jnp.zeros(overlaps.shape[1], jnp.int32)
            return Matches(none, none > 0, none == 0)
        overlaps = jnp.where(mask[:, None], overlaps, -1.0)
        best, truth = overlaps.max(axis=0), overlaps.argmax(axis=0).astype(jnp.int32)
        positive = best >= self.high
        if self.keep_best:
            best_of_truth = overlaps.max(axis=1, keepdims=True)
            positive |= ((overlaps == best_of_truth) & (best_of_truth > 0)).any(axis=0)
        return Matches(truth, positive, (best < self.low) & ~positive)
