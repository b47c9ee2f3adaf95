"""Arrays on JAX's device, without a compilation."""

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import PyTree


def on_device(tree: PyTree) -> PyTree:
    """Copies the arrays of a tree to JAX's default device. JAX's arrays stay on their own devices.

    The copies share no memory with what is given: either may be overwritten. Outside a jit,
    `jnp.asarray` and `jnp.copy` compile a small program for each new shape, which takes longer than
    the copy.
    """
    return jax.tree.map(_copy, tree)


def _copy(leaf: PyTree) -> PyTree:
    # JAX takes over NumPy's memory if it begins at a multiple of 64 bytes, whatever `may_alias`.
    own = leaf.copy() if isinstance(leaf, np.ndarray) else leaf
    is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    # Without a place, random keys alone go to the default device, wherever they are.
    place = leaf.sharding if is_key and leaf.committed else None
    return jax.device_put(own, place, may_alias=False)
