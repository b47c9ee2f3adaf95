"""How JAX's primitives are said in ONNX: those that encoders use, in float32."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import helper

from examine_jax.encoders.exports.onnx_graph import Graph, Rule, Value

_PLAIN = {
    "add": "Add",
    "add_any": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "max": "Max",
    "min": "Min",
    "neg": "Neg",
    "exp": "Exp",
    "log": "Log",
    "tanh": "Tanh",
    "logistic": "Sigmoid",
    "erf": "Erf",
    "sqrt": "Sqrt",
    "abs": "Abs",
    "sign": "Sign",
    "sin": "Sin",
    "cos": "Cos",
    "floor": "Floor",
    "ceil": "Ceil",
    "pow": "Pow",
    "lt": "Less",
    "le": "LessOrEqual",
    "gt": "Greater",
    "ge": "GreaterOrEqual",
    "eq": "Equal",
    "and": "And",
    "or": "Or",
    "not": "Not",
    "copy": "Identity",
    "copy_p": "Identity",
    "stop_gradient": "Identity",
    "optimization_barrier": "Identity",
}
_REDUCTIONS = {"reduce_sum": "ReduceSum", "reduce_max": "ReduceMax", "reduce_min": "ReduceMin"}


def _plain(kind: str) -> Rule:
    return lambda graph, equation, inputs: graph.add(kind, *inputs)


def _rsqrt(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
    return graph.add("Reciprocal", graph.add("Sqrt", inputs[0]))


def _square(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
    return graph.add("Mul", inputs[0], inputs[0])


def _integer_power(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
    return graph.add("Pow", inputs[0], np.asarray(equation.params["y"], np.float32))


def _convert(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(equation.params["new_dtype"]))
    return graph.add("Cast", inputs[0], to=kind)


def _clamp(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
    lowest, x, highest = inputs
    return graph.add("Min", graph.add("Max", x, lowest), highest)


def _select(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
    if len(inputs) != 3 or equation.invars[0].aval.dtype != np.bool_:
        raise ValueError("the network chooses among more than two arrays, which is not said here")
    which, if_false, if_true = inputs
    return graph.add("Where", which, if_true, if_false)


def _reduction(kind: str) -> Rule:
    def rule(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
        axes = np.array(equation.params["axes"], np.int64)
        return graph.add(kind, inputs[0], axes, keepdims=0)

    return rule


def reshaped(graph: Graph, x: Value, shape: Sequence[Any]) -> Value:
    """A value in another shape; one size may depend on the number of images."""
    symbolic = [not isinstance(size, int | np.integer) for size in shape]
    if sum(symbolic) > 1:
        return graph.add("Reshape", x, graph.sizes(shape))
    sizes = [-1 if unknown else int(size) for size, unknown in zip(shape, symbolic)]
    return graph.add("Reshape", x, np.array(sizes, np.int64))


def _reshape(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
    return reshaped(graph, inputs[0], equation.outvars[0].aval.shape)


def _broadcast(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
    shape, axes = equation.params["shape"], equation.params["broadcast_dimensions"]
    given = equation.invars[0].aval.shape
    between: list[Any] = [1] * len(shape)
    for axis, size in zip(axes, given):
        between[axis] = size
    x = inputs[0] if len(given) == len(shape) else reshaped(graph, inputs[0], between)
    if all(size is other or size == other for size, other in zip(between, shape)):
        return x
    return graph.add("Expand", x, graph.sizes(shape))


def _transpose(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
    return _transposed(graph, inputs[0], equation.params["permutation"])


def _transposed(graph: Graph, x: Value, order: Sequence[int]) -> Value:
    order = [int(axis) for axis in order]
    if order == sorted(order):
        return x
    if isinstance(x, np.ndarray):
        return np.ascontiguousarray(x.transpose(order))
    return graph.add("Transpose", x, perm=order)


def _concatenate(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
    return graph.add("Concat", *inputs, axis=int(equation.params["dimension"]))


def _split(graph: Graph, equation: Any, inputs: list[Value]) -> list[Value]:
    sizes, axis = equation.params["sizes"], int(equation.params["axis"])
    return [*graph.add_all("Split", len(sizes), inputs[0], np.array(sizes, np.int64), axis=axis)]


def _pad(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
    before, after, inner = zip(*equation.params["padding_config"])
    if any(inner) or min(*before, *after) < 0:
        raise ValueError("the network pads within or below zero, which is not said here")
    return graph.add("Pad", inputs[0], np.array([*before, *after], np.int64), inputs[1])


def _cut(graph: Graph, x: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
    bounds = (np.array([bound], np.int64) for bound in (start, stop, axis, step))
    return graph.add("Slice", x, *bounds)


def _slice(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
    shape, x = equation.invars[0].aval.shape, inputs[0]
    starts, stops = equation.params["start_indices"], equation.params["limit_indices"]
    steps = equation.params["strides"] or (1,) * len(shape)
    for axis, (start, stop, step, size) in enumerate(zip(starts, stops, steps, shape)):
        if (start, step) != (0, 1) or not (stop is size or stop == size):
            x = _cut(graph, x, axis, int(start), int(stop), int(step))
    return x


def _dynamic_slice(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
    shape, x = equation.invars[0].aval.shape, inputs[0]
    sizes, starts = equation.params["slice_sizes"], inputs[1:]
    for axis, (start, count, size) in enumerate(zip(starts, sizes, shape)):
        if count is size or count == size:
            continue
        first = min(max(_known(start).item(), 0), size - count)
        x = _cut(graph, x, axis, first, first + count)
    return x


def _known(value: Value) -> np.ndarray:
    if isinstance(value, str):
        raise ValueError("the network looks values up at places that depend on the image")
    return value


def _gather(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
    """A lookup at constant places, axis by axis where the places form a grid."""
    numbers, shape = equation.params["dimension_numbers"], equation.invars[0].aval.shape
    sizes, result = equation.params["slice_sizes"], equation.outvars[0].aval.shape
    places = _known(inputs[1])
    axes, collapsed = numbers.start_index_map, numbers.collapsed_slice_dims
    if numbers.operand_batching_dims:
        raise ValueError("the network looks values up image by image, which is not said here")
    for axis, index in zip(axes, np.moveaxis(places, -1, 0)):
        if index.size and not 0 <= index.min() <= index.max() <= shape[axis] - sizes[axis]:
            raise ValueError("the network looks values up beyond an array's end")
    x, grid = inputs[0], places.ndim - 1
    if places[..., 0].size == 1:  # a slice
        for axis, start in zip(axes, places.reshape(-1)):
            if not (sizes[axis] is shape[axis] or sizes[axis] == shape[axis]):
                x = _cut(graph, x, axis, int(start), int(start) + int(sizes[axis]))
        return reshaped(graph, x, result)
    if any(axis not in collapsed for axis in axes) or len(collapsed) != len(axes):
        raise ValueError("the network looks up windows at many places, which is not said here")
    if len(axes) == 1:
        index = places[..., 0].astype(np.int64)
        x, kept = graph.add("Gather", x, index, axis=int(axes[0])), int(axes[0])
        # The places stand where the axis was; the result wants them elsewhere perhaps.
        order = [*range(len(shape) - 1 + grid)]
        where = order[kept : kept + grid]
        others = [axis for axis in order if axis not in where]
    else:
        x, where = _gather_grid(graph, x, axes, places)
        others = [axis for axis in range(len(shape)) if axis not in where]
    left = {axis: others[i] for i, axis in enumerate(numbers.offset_dims)}
    rest = iter(where)
    order = [left[axis] if axis in left else next(rest) for axis in range(len(result))]
    return _transposed(graph, x, order)


def _gather_grid(
    graph: Graph, x: Value, axes: Sequence[int], places: np.ndarray
) -> tuple[Value, list[int]]:
    """The values on a grid of places, and the axis of `x` for each of the grid's axes."""
    where: dict[int, int] = {}
    for position, axis in enumerate(axes):
        index = places[..., position]
        along = [i for i in range(index.ndim) if np.any(np.diff(index, axis=i))]
        unused = [i for i in range(index.ndim) if i not in where and index.shape[i] > 1]
        own = along[0] if along else unused[0] if unused else position
        if len(along) > 1 or own in where:
            raise ValueError("the network looks values up at scattered places, not said here")
        where[own] = int(axis)
        values = np.moveaxis(index, own, 0).reshape(index.shape[own], -1)[:, 0]
        step = int(values[1] - values[0]) if len(values) > 1 else 1
        if step > 0 and np.all(np.diff(values) == step):
            x = _cut(graph, x, int(axis), int(values[0]), int(values[-1]) + 1, step)
        else:
            x = graph.add("Gather", x, values.astype(np.int64), axis=int(axis))
    if sorted(where) != list(range(places.ndim - 1)):
        raise ValueError("the network looks values up at repeated places, not said here")
    return x, [where[i] for i in range(places.ndim - 1)]


def _product(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
    (left_sums, right_sums), (left_batch, right_batch) = equation.params["dimension_numbers"]
    ranks = [len(atom.aval.shape) for atom in equation.invars]
    free = [
        [axis for axis in range(rank) if axis not in (*sums, *batch)]
        for rank, sums, batch in zip(ranks, (left_sums, right_sums), (left_batch, right_batch))
    ]
    if len(left_sums) == 1 and len(free[1]) == 1 and (not left_batch or len(free[0]) == 1):
        left = _transposed(graph, inputs[0], [*left_batch, *free[0], *left_sums])
        right = _transposed(graph, inputs[1], [*right_batch, *right_sums, *free[1]])
        return graph.add("MatMul", left, right)
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    names: list[dict[int, str]] = [{}, {}]
    pairs = [*zip(left_batch, right_batch), *zip(left_sums, right_sums)]
    for first, second in pairs:
        names[0][first] = names[1][second] = next(letters)
    for side in (0, 1):
        names[side].update({axis: next(letters) for axis in free[side]})
    terms = ["".join(names[side][axis] for axis in range(ranks[side])) for side in (0, 1)]
    kept = [names[0][axis] for axis in (*left_batch, *free[0])]
    result = "".join([*kept, *(names[1][axis] for axis in free[1])])
    return graph.add("Einsum", *inputs, equation=f"{','.join(terms)}->{result}")


def _convolution(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
    given = equation.params
    if any(step != 1 for step in given["lhs_dilation"]) or given["batch_group_count"] != 1:
        raise ValueError("the network has a transposed convolution, which is not said here")
    numbers = given["dimension_numbers"]
    x = _transposed(graph, inputs[0], numbers.lhs_spec)
    kernel = _transposed(graph, inputs[1], numbers.rhs_spec)
    before, after = zip(*given["padding"])
    y = graph.add(
        "Conv",
        x,
        kernel,
        strides=[int(step) for step in given["window_strides"]],
        dilations=[int(step) for step in given["rhs_dilation"]],
        pads=[int(size) for size in (*before, *after)],
        group=int(given["feature_group_count"]),
    )
    return _transposed(graph, y, np.argsort(numbers.out_spec).tolist())


def _pooling(kind: str) -> Rule:
    def rule(graph: Graph, equation: Any, inputs: list[Value]) -> Value:
        given = equation.params
        window, steps = given["window_dimensions"], given["window_strides"]
        padding = given["padding"]
        others = [axis for axis, size in enumerate(window) if size == 1 and steps[axis] == 1]
        inner = [axis for axis in range(len(window)) if axis not in others]
        dilated = any(
            step != 1 for name in ("base_dilation", "window_dilation") for step in given[name]
        )
        if len(others) != 2 or dilated or any(sum(padding[axis]) for axis in others):
            raise ValueError("the network pools over other windows than can be said here")
        order = [*others, *inner]
        attributes: dict[str, Any] = {
            "kernel_shape": [int(window[axis]) for axis in inner],
            "strides": [int(steps[axis]) for axis in inner],
            "pads": [int(padding[axis][side]) for side in (0, 1) for axis in inner],
        }
        if kind == "AveragePool":
            attributes["count_include_pad"] = 1
        y = graph.add(kind, _transposed(graph, inputs[0], order), **attributes)
        if kind == "AveragePool":
            y = graph.add("Mul", y, np.asarray(math.prod(window), np.float32))
        return _transposed(graph, y, np.argsort(order).tolist())

    return rule


# A new primitive is a line here.
RULES: dict[str, Rule] = {
    **{name: _plain(kind) for name, kind in _PLAIN.items()},
    **{name: _reduction(kind) for name, kind in _REDUCTIONS.items()},
    "rsqrt": _rsqrt,
    "square": _square,
    "integer_pow": _integer_power,
    "convert_element_type": _convert,
    "clamp": _clamp,
    "select_n": _select,
    "reshape": _reshape,
    "squeeze": _reshape,
    "expand_dims": _reshape,
    "broadcast_in_dim": _broadcast,
    "transpose": _transpose,
    "concatenate": _concatenate,
    "split": _split,
    "pad": _pad,
    "slice": _slice,
    "dynamic_slice": _dynamic_slice,
    "gather": _gather,
    "dot_general": _product,
    "conv_general_dilated": _convolution,
    "reduce_window_max": _pooling("MaxPool"),
    "reduce_window_sum": _pooling("AveragePool"),
}
