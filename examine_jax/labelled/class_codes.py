"""Class labels as whole numbers, checked."""

import numpy as np

from examine_jax.common.shapes import Array, Int, Shaped


def class_codes(
    labels: Shaped[Array | np.ndarray, "..."], count: int, num_classes: int
) -> Int[np.ndarray, " n"]:
    """Checks the labels of `count` rows and returns them as int32 [N].

    Raises:
        ValueError: there is not one whole number for each row, or one is outside 0 .. num_classes -
            1.
    """
    labels = np.asarray(labels)
    if labels.shape != (count,):
        raise ValueError(
            f"labels {list(labels.shape)} for {count} rows: give one class a row, [{count}]"
        )
    if labels.dtype.kind not in "iu" and not (
        labels.dtype.kind == "f" and np.equal(np.floor(labels), labels).all()
    ):
        raise ValueError(
            f"labels of type {labels.dtype} are not all whole numbers: give classes from 0 to "
            f"{num_classes - 1}"
        )
    outside = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if len(outside):
        raise ValueError(
            f"label {labels[outside[0]]} of row {outside[0]} is outside 0 .. {num_classes - 1} "
            f"({len(outside)} such rows): "
            "leave unlabelled images out, or raise num_classes"
        )
    return labels.astype(np.int32)
