"""ONNX Runtime's NonMaxSuppression and RoiAlign on one thread, as functions to time."""

from collections.abc import Callable

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

_OPSET, _IR = 16, 8


def _session(
    operator: str, inputs: dict[str, np.ndarray], output: tuple[int, int], **attributes: object
) -> Callable[[], np.ndarray]:
    types = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
    values = [
        helper.make_tensor_value_info(name, types[str(array.dtype)], array.shape)
        for name, array in inputs.items()
    ]
    kind, rank = output
    found = helper.make_tensor_value_info("output", kind, [None] * rank)
    node = helper.make_node(operator, list(inputs), ["output"], **attributes)
    model = helper.make_model(
        helper.make_graph([node], "one", values, [found]),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, inputs)[0]


def suppression(
    boxes: np.ndarray, scores: np.ndarray, threshold: float
) -> Callable[[], np.ndarray]:
    """A function that returns the kept boxes, rows (0, 0, row)."""
    inputs = {
        "boxes": boxes[None],
        "scores": scores[None, None],
        "most": np.array([len(boxes)]),
        "threshold": np.array([threshold], np.float32),
    }
    return _session("NonMaxSuppression", inputs, (TensorProto.INT64, 2))


def pooling(one: np.ndarray, boxes: np.ndarray, scale: float) -> Callable[[], np.ndarray]:
    """A function that returns features [R, C, 7, 7] of boxes on a map [1, H, W, C]."""
    inputs = {
        "map": np.ascontiguousarray(one.transpose(0, 3, 1, 2)),
        "boxes": boxes,
        "image": np.zeros(len(boxes), np.int64),
    }
    return _session(
        "RoiAlign",
        inputs,
        (TensorProto.FLOAT, 4),
        coordinate_transformation_mode="output_half_pixel",
        output_height=7,
        output_width=7,
        sampling_ratio=2,
        spatial_scale=scale,
    )
