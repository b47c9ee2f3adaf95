"""Encoders as ONNX files, which onnxruntime and others run without JAX."""

import dataclasses
import json
import math
import pathlib

import numpy as np

from examine_jax.encoders.encoder import Encoder
from examine_jax.encoders.exports.export_format import parts_of
from examine_jax.encoders.exports.stablehlo import weights_and_function

FILE = "encoder.onnx"
_LARGEST = 3 << 29  # bytes of weights within the file, which protobuf limits to 2 GiB
_ITEM = 4  # bytes of a number; the few small constants of eight are not worth telling apart


@dataclasses.dataclass(frozen=True)
class ONNX:
    """One file that takes uint8 pixels and gives features, for any number of images."""

    name: str = "onnx"

    def write(self, encoder: Encoder, folder: pathlib.Path) -> str:
        try:
            import onnx

            from examine_jax.encoders.exports.onnx_graph import onnx_model
            from examine_jax.encoders.exports.onnx_primitives import RULES
        except ImportError as error:
            raise ImportError(
                f"the format onnx needs the package onnx ({error}): pip install "
                "'examine-jax[onnx]', or take the format stablehlo"
            ) from error
        if getattr(encoder.method.encoder, "dtype", "float32") != "float32":
            encoder = encoder.with_precision("float32")
        weights, function = weights_and_function(encoder)
        size, channels = encoder.image_size, encoder.channels
        parts = parts_of(encoder)
        properties = {
            "pixels": f"uint8, [batch, {size}, {size}, {channels}]; normalised within",
            "mean": json.dumps(parts.mean),
            "deviation": json.dumps(parts.deviation),
        }
        model = onnx_model(function, weights, (size, size, channels), RULES, properties)
        # Also tables that were computed from the weights, which can be larger than these.
        held = sum(math.prod(one.dims) * _ITEM for one in model.graph.initializer)
        apart = held > _LARGEST
        onnx.save_model(
            model,
            folder / FILE,
            save_as_external_data=apart,
            location=f"{FILE}.data" if apart else None,
        )
        onnx.checker.check_model(folder / FILE, full_check=not apart)
        return f"""Run it with onnxruntime, or with another runtime of ONNX:

```python
import onnxruntime

session = onnxruntime.InferenceSession("FOLDER/{FILE}")
(features,) = session.run(None, {{"pixels": pixels}})
```

Pixels are uint8 [images, rows, columns, channels], at the size below. They are normalised within
the file. All is computed in float32.
"""

    def read_back(self, folder: pathlib.Path, images: np.ndarray) -> np.ndarray | None:
        try:
            import onnxruntime
        except ImportError:
            return None
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # without its warnings of shapes
        session = onnxruntime.InferenceSession(str(folder / FILE), options)
        (features,) = session.run(None, {"pixels": images})
        return np.asarray(features)
