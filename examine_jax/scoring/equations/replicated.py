"""Arrays that are spread over a mesh, for computations that need them whole on every device.

Examining rows where they are is `sharded`'s; everything else gathers its arrays first.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax.extend.core import jaxpr_as_fun
from jax.sharding import NamedSharding, PartitionSpec

_partition: Callable[..., Any] = PartitionSpec  # jax leaves its constructor untyped


def replicated(array: Any) -> Any:
    """The array whole on every device of its mesh; anything not spread over a mesh as it is.

    A traced array shows the Explicit axes of its mesh alone. Over Auto axes the compiler moves it.
    """
    if not isinstance(array, jax.Array):
        return array
    traced = isinstance(array, jax.core.Tracer)
    sharding = jax.typeof(array).sharding if traced else array.sharding
    if not isinstance(sharding, NamedSharding) or not any(sharding.spec):
        return array
    whole = NamedSharding(sharding.mesh, _partition())
    return jax.sharding.reshard(array, whole) if traced else jax.device_put(array, whole)


def placed_like(array: Any, example: Any) -> Any:
    """The traced array, spread over the Explicit axes of a mesh and varying as `example` does."""
    sharding = jax.typeof(example).sharding
    array = jax.sharding.reshard(array, sharding) if any(sharding.spec) else array
    return _marked(array, _varying(example))


def without_mesh(function: Callable[..., Any], arguments: Any) -> Any:
    """`function(*arguments)`, also over Explicit axes and inside a shard_map.

    There, JAX's types want each loop's initial values, such as zeros, marked with the mesh or as
    varying over its devices. The function is each device's own and communicates with no other, so
    it is traced without these marks. Its results vary where any argument does.
    """
    leaves = jax.tree.leaves(arguments)
    axes = frozenset[str]().union(*map(_varying, leaves))
    if all(jax.typeof(leaf).sharding.mesh.empty for leaf in leaves):
        return function(*arguments)
    unmarked = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), arguments)
    program, shapes = jax.make_jaxpr(function, return_shape=True)(*unmarked)
    results = jaxpr_as_fun(program)(*leaves)

    return jax.tree.unflatten(jax.tree.structure(shapes), [_marked(x, axes) for x in results])


def _marked(array: Any, axes: frozenset[str]) -> Any:
    missing = tuple(axes - _varying(array))
    return lax.pcast(array, missing, to="varying") if missing else array


def _varying(array: Any) -> frozenset[str]:
    """The mesh axes over which a traced array is known to vary, inside shard_map."""
    # Versions of JAX differ in where the type keeps this.
    kind = jax.typeof(array)
    of_axes = getattr(kind, "manual_axis_type", kind)
    return frozenset(getattr(of_axes, "varying", getattr(kind, "vma", ())))
