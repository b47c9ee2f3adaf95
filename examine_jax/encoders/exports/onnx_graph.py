"""A JAX function as an ONNX graph: traced, constants folded, one rule for each primitive.

A value is a numpy array where it does not depend on the input, else the name of a tensor in the
graph. What can be computed while tracing is computed, so that the graph holds no arithmetic on
parameters. Sizes that depend on the batch stay symbolic.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.export
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from examine_jax.common.shapes import PyTree

OPSET = 18  # in which all reductions take their axes as an input
_IR_VERSION = 9  # which onnxruntime reads from 1.16 on
_INPUT, _OUTPUT = "pixels", "features"
_SMALL = 1 << 10  # bytes of a constant that is kept once, however often it is used
Value = np.ndarray | str
# Primitives that call an inner program, and the parameter that holds it.
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "remat": "jaxpr",
    "checkpoint": "jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
}


@dataclasses.dataclass(eq=False)
class Graph:
    """An ONNX graph while it is built.

    Attributes:
        batch: the symbolic number of images.
        nodes, weights: of the graph so far.
        names: of constants: those of parameters by identity, small ones by their content.
    """

    batch: Any
    nodes: list[onnx.NodeProto] = dataclasses.field(default_factory=list)
    weights: list[onnx.TensorProto] = dataclasses.field(default_factory=list)
    names: dict[Any, str] = dataclasses.field(default_factory=dict)
    _stored: dict[Any, Value] = dataclasses.field(default_factory=dict)
    _batch_size: str | None = None
    _count: int = 0

    def add(self, kind: str, *inputs: Value, **attributes: Any) -> str:
        """Adds a node of one output; returns the output's name."""
        return self.add_all(kind, 1, *inputs, **attributes)[0]

    def add_all(self, kind: str, outputs: int, *inputs: Value, **attributes: Any) -> list[str]:
        """Adds a node; returns its outputs' names."""
        names = [self._fresh(kind.lower()) for _ in range(outputs)]
        given = [self.name(value) for value in inputs]
        self.nodes.append(helper.make_node(kind, given, names, **attributes))
        return names

    def name(self, value: Value) -> str:
        """The name of a value; a constant becomes one of the graph's weights."""
        if isinstance(value, str):
            return value
        array = np.asarray(value)
        key = (
            (str(array.dtype), array.shape, array.tobytes())
            if array.nbytes <= _SMALL
            else id(value)
        )
        if key not in self.names:
            self.names[key] = self._fresh("constant")
        elif key in self._stored:
            return self.names[key]
        self._stored[key] = value  # also keeps the array, whose identity is the key
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array), self.names[key]))
        return self.names[key]

    def sizes(self, shape: Sequence[Any]) -> Value:
        """A shape as a value, computed from the batch's size where it depends on it."""
        if all(isinstance(size, int | np.integer) for size in shape):
            return np.array(shape, np.int64)
        if self._batch_size is None:
            whole = self.add("Shape", _INPUT)
            self._batch_size = self.add("Gather", whole, np.array([0], np.int64), axis=0)
        parts: list[Value] = []
        for size in shape:
            if isinstance(size, int | np.integer):
                parts.append(np.array([size], np.int64))
                continue
            times = size // self.batch
            if not isinstance(times, int) or times * self.batch != size:
                raise ValueError(f"a size of {size} is no multiple of the number of images")
            several = np.array([times], np.int64)
            parts.append(
                self._batch_size if times == 1 else self.add("Mul", self._batch_size, several)
            )
        return self.add("Concat", *parts, axis=0)

    def _fresh(self, kind: str) -> str:
        self._count += 1
        return f"{kind}_{self._count}"


# A rule adds a primitive to the graph: (graph, equation, inputs) -> the output, or all outputs.
Rule = Callable[[Graph, Any, list[Value]], Value | list[Value]]


def onnx_model(
    function: Callable[[PyTree, jax.Array], jax.Array],
    params: PyTree,
    shape: tuple[int, int, int],
    rules: dict[str, Rule],
    properties: dict[str, str],
) -> onnx.ModelProto:
    """The model of function(params, pixels), for any number of images.

    Args:
        function: traced by JAX; its output has one row an image.
        params: become the model's weights, under their own names.
        shape: (height, width, channels) of the pixels, which are uint8.
        rules: by primitive.
        properties: for the model's metadata.

    Raises:
        ValueError: the function uses a primitive that has no rule, or in a way that has none.
    """
    pixels = jax.export.symbolic_shape(f"batch, {', '.join(map(str, shape))}")
    argument = jax.ShapeDtypeStruct(pixels, np.uint8)
    program = jax.make_jaxpr(function)(params, argument)
    graph = Graph(pixels[0])
    paths, _ = jax.tree_util.tree_flatten_with_path(params)
    leaves: list[Value] = []
    for path, leaf in paths:
        array = np.asarray(leaf)
        if array.nbytes > _SMALL:
            graph.names[id(array)] = jax.tree_util.keystr(path, simple=True, separator=".")
        leaves.append(array)
    constants = [np.asarray(constant) for constant in program.consts]
    (result,) = _run(graph, program.jaxpr, rules, constants, [*leaves, _INPUT])
    width = program.out_avals[0].shape[1:]
    graph.nodes.append(helper.make_node("Identity", [graph.name(result)], [_OUTPUT]))
    sizes: list[str | int | None] = ["batch", *shape]
    made = helper.make_graph(
        graph.nodes,
        "encoder",
        [helper.make_tensor_value_info(_INPUT, TensorProto.UINT8, sizes)],
        [helper.make_tensor_value_info(_OUTPUT, TensorProto.FLOAT, ["batch", *width])],
        graph.weights,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version, model.producer_name = _IR_VERSION, "examine_jax"
    helper.set_model_props(model, properties)
    return model


def _run(
    graph: Graph,
    jaxpr: Any,
    rules: dict[str, Rule],
    constants: Sequence[Value],
    arguments: Sequence[Value],
) -> list[Value]:
    """The outputs of a program, whose equations go into the graph."""
    known: dict[Any, Value] = dict(zip(jaxpr.constvars, constants, strict=True))
    known.update(zip(jaxpr.invars, arguments, strict=True))

    def read(atom: Any) -> Value:
        return np.asarray(atom.val, atom.aval.dtype) if hasattr(atom, "val") else known[atom]

    for equation in jaxpr.eqns:
        inputs = [read(atom) for atom in equation.invars]
        outputs = _equation(graph, equation, rules, inputs)
        known.update(zip(equation.outvars, outputs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _equation(
    graph: Graph, equation: Any, rules: dict[str, Rule], inputs: list[Value]
) -> list[Value]:
    name = equation.primitive.name
    inner = None
    if name in _CALLS:
        inner = equation.params[_CALLS[name]]
    elif name == "platform_index":  # the form for all platforms, which comes last
        return [np.asarray(len(equation.params["platforms"]) - 1, np.int32)]
    elif name == "cond" and isinstance(inputs[0], np.ndarray):
        inner, inputs = equation.params["branches"][int(inputs[0])], inputs[1:]
    if inner is not None:
        closed = hasattr(inner, "consts")
        constants = [np.asarray(constant) for constant in inner.consts] if closed else []
        return _run(graph, inner.jaxpr if closed else inner, rules, constants, inputs)
    if _is_constant(equation, inputs):
        found = equation.primitive.bind(*inputs, **equation.params)
        several = found if equation.primitive.multiple_results else [found]
        return [np.asarray(array) for array in several]
    if name not in rules:
        raise ValueError(f"the network uses {name}, which has no form in ONNX here")
    outputs = rules[name](graph, equation, inputs)
    return outputs if isinstance(outputs, list) else [outputs]


def _is_constant(equation: Any, inputs: list[Value]) -> bool:
    sizes = (size for out in equation.outvars for size in getattr(out.aval, "shape", ()))
    return all(isinstance(value, np.ndarray) for value in inputs) and all(
        isinstance(size, int | np.integer) for size in sizes
    )
