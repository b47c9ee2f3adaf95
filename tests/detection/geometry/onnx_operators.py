"""ONNX Runtime's NonMaxSuppression and RoiAlign, as functions of arrays."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

_NMS_INPUTS = (
    ("boxes", TensorProto.FLOAT, (1, None, 4)),
    ("scores", TensorProto.FLOAT, (1, None, None)),
    ("most", TensorProto.INT64, (1,)),
    ("threshold", TensorProto.FLOAT, (1,)),
)
_ROI_INPUTS = (
    ("map", TensorProto.FLOAT, (None, None, None, None)),
    ("boxes", TensorProto.FLOAT, (None, 4)),
    ("image", TensorProto.INT64, (None,)),
)


def _run(operator, inputs, arrays, output_type, rank, **attributes):
    node = helper.make_node(operator, [name for name, _, _ in inputs], ["output"], **attributes)
    values = [helper.make_tensor_value_info(*one) for one in inputs]
    graph = helper.make_graph(
        [node], "one", values, [helper.make_tensor_value_info("output", output_type, [None] * rank)]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 16)], ir_version=8)
    onnx.checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, dict(zip([name for name, _, _ in inputs], arrays)))[0]


def suppress(boxes, scores, threshold):
    """Which boxes are kept; scores [C, K] of several classes give [C, K]."""
    scores = np.atleast_2d(scores)
    arrays = (
        boxes[None],
        scores[None],
        np.array([len(boxes)], np.int64),
        np.array([threshold], np.float32),
    )
    chosen = _run("NonMaxSuppression", _NMS_INPUTS, arrays, TensorProto.INT64, 2)
    kept = np.zeros(scores.shape, bool)
    kept[chosen[:, 1], chosen[:, 2]] = True
    return kept


def roi_align(one, boxes, scale, outputs, samples, aligned):
    """Features [R, outputs, outputs, C] of boxes on a map [H, W, C]."""
    arrays = one.transpose(2, 0, 1)[None], boxes, np.zeros(len(boxes), np.int64)
    found = _run(
        "RoiAlign",
        _ROI_INPUTS,
        [np.ascontiguousarray(array) for array in arrays],
        TensorProto.FLOAT,
        4,
        coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
        output_height=outputs,
        output_width=outputs,
        sampling_ratio=samples,
        spatial_scale=scale,
    )
    return found.transpose(0, 2, 3, 1)
