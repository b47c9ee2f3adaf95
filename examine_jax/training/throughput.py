"""The share of a GPU's peak floating-point rate that a run reaches."""

import math

import jax

from examine_jax.training.columns import RowSpec
from examine_jax.training.method import Trainable
from examine_jax.training.step import TrainState

# Peak rates without sparsity in TFLOP/s, from NVIDIA's data sheets: (bfloat16, float32 as TF32,
# which is JAX's default on these devices). The first name that is part of the device's name is
# used.
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
    """The peak floating-point operations per second of a device, in "bfloat16" or "float32".

    None if it is not known, as for a CPU.
    """
    for name, (bfloat16, float32) in _PEAKS.items():
        if name in device_kind:
            return 1e12 * (bfloat16 if dtype == "bfloat16" else float32)
    return None


def operations_an_example(
    method: Trainable, state: TrainState, row: RowSpec, micro_batch: int
) -> float:
    """Floating-point operations per example for the loss and its gradient, counted by XLA.

    Nothing is compiled. The optimiser is not counted. Operations that rematerialisation repeats are
    counted each time.
    """
    params, method_state = (
        jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)
        for tree in (state.params, state.method_state)
    )
    key = jax.eval_shape(lambda: jax.random.key(0))
    gradient = jax.jit(jax.value_and_grad(method.loss, has_aux=True))
    analysis = (
        gradient.lower(params, method_state, row.batch_shapes(micro_batch), key).cost_analysis()
        or {}
    )
    return float(analysis.get("flops", math.nan)) / micro_batch


def share_of_peak_a_rate(
    method: Trainable, state: TrainState, row: RowSpec, micro_batch: int, devices: list[jax.Device]
) -> float | None:
    """The factor from examples per second to the share of the devices' peak rate.

    None if the peak is not known.
    """
    most = peak(
        devices[0].device_kind, getattr(getattr(method, "encoder", None), "dtype", "float32")
    )
    if most is None:
        return None
    return operations_an_example(method, state, row, micro_batch) / (most * len(devices))
