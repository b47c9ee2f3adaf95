"""A random sample of positive and negative candidates, of a static size."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from examine_jax.common.shapes import Array, Bool, Int, Key


class Sample(NamedTuple):
    """The sampled candidates: first places for the positive ones, then for the negative ones.

    Attributes:
        rows: of the candidates.
        positive: the place holds a positive candidate.
        mask: the place holds a candidate. The others stay empty where there are too few.
    """

    rows: Int[Array, " places"]
    positive: Bool[Array, " places"]
    mask: Bool[Array, " places"]


def sample(
    key: Key[Array, ""],
    positive: Bool[Array, " candidates"],
    negative: Bool[Array, " candidates"],
    count: int,
    positive_share: float,
) -> Sample:
    """Draws at most `count` candidates without replacement; negative ones fill up.

    Each candidate has its own random number, which depends on the key and on the candidate's row
    alone.

    Args:
        key: of this image; another image needs another key.
        positive, negative: which candidates are positive and which negative.
        count: the most candidates in all.
        positive_share: the most positive candidates, as a share of `count`, rounded down.
    """
    draw = jax.random.uniform(key, positive.shape)
    most = min(int(count * positive_share), len(draw))
    drawn, of_positive = lax.top_k(jnp.where(positive, draw, -1.0), most)
    is_positive = drawn >= 0
    places = min(count, len(draw))
    drawn, of_negative = lax.top_k(jnp.where(negative, draw, -1.0), places)
    is_negative = (drawn >= 0) & (jnp.arange(places) < count - is_positive.sum())
    mask = jnp.concatenate([is_positive, is_negative])
    first = jnp.argsort(~mask, stable=True)[:places]
    rows = jnp.concatenate([of_positive, of_negative]).astype(jnp.int32)[first]
    return Sample(rows, jnp.arange(places) < is_positive.sum(), mask[first])
