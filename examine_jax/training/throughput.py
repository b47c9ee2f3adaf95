"""How much of a GPU's peak a run uses."""

import math

import jax
import jax.numpy as jnp

from examine_jax.training.method import Method
from examine_jax.training.step import TrainState

# Dense peaks in TFLOP/s from NVIDIA's data sheets, (bfloat16, float32 by way of TF32, which is JAX's default there); the first name that is
# part of the device's decides.
_PEAKS = {
    "H100 PCIe": (756, 378),
    "H100 NVL": (835, 417),
    "H100": (989, 495),
    "H200": (989, 495),
    "A100": (312, 156),
    "A10": (125, 62.5),
    "L40S": (362, 183),
    "L40": (181, 90.5),
    "L4": (121, 60),
    "RTX 4090": (165, 82.6),
    "RTX 3090": (71, 35.6),
}


def peak(device_kind: str, dtype: str) -> float | None:
    """Floating-point operations a second that a device can do at most, in "bfloat16" or "float32"; None: not known (a CPU, say)."""
    for name, (bfloat16, float32) in _PEAKS.items():
        if name in device_kind:
            return 1e12 * (bfloat16 if dtype == "bfloat16" else float32)
    return None


def operations_an_image(method: Method, state: TrainState, image_shape: tuple[int, ...], micro_batch: int) -> float:
    """Floating-point operations of one image's share of a step's loss and gradient, as XLA counts them; nothing is compiled.

    The optimiser's are left out, what rematerialisation computes again is counted again.
    """
    batch = {
        "image": jax.ShapeDtypeStruct((micro_batch, *image_shape), jnp.uint8),
        "index": jax.ShapeDtypeStruct((micro_batch,), jnp.int32),
    }
    params, method_state = (
        jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)
        for tree in (state.params, state.method_state)
    )
    key = jax.eval_shape(lambda: jax.random.key(0))
    gradient = jax.jit(jax.value_and_grad(method.loss, has_aux=True))
    analysis = gradient.lower(params, method_state, batch, key).cost_analysis() or {}
    return float(analysis.get("flops", math.nan)) / micro_batch


def share_of_peak_a_rate(
    method: Method, state: TrainState, image_shape: tuple[int, ...], micro_batch: int, devices: list[jax.Device]
) -> float | None:
    """What images/s are to be multiplied with to give the share of the devices' peak; None where that is not known."""
    most = peak(devices[0].device_kind, getattr(method.encoder, "dtype", "float32"))
    if most is None:
        return None
    return operations_an_image(method, state, image_shape, micro_batch) / (most * len(devices))
