"""The heads of Faster R-CNN: what a place of the pyramid, and what a box's features say.

Source:
    Ren et al., arXiv:1506.01497; Lin et al., arXiv:1612.03144.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float
from examine_jax.models.feature_pyramid import BiasedConvolution
from examine_jax.models.layers import dense


class ProposalHead(nn.Module):
    """Says of each anchor whether it has an object, and where; one head for all levels.

    Parameters: convolution, objectness, boxes. All start with normal weights of deviation 0.01.

    Attributes:
        anchors: the number of anchors at each place.
        dtype: of the computation.
    """

    anchors: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, maps: tuple[Float[Array, "batch _ _ channels"], ...]
    ) -> tuple[tuple[Float[Array, "batch _"], ...], tuple[Float[Array, "batch _ 4"], ...]]:
        """(logits, box offsets) of each level's anchors, float32: by row, column, anchor."""
        normal = nn.initializers.normal(0.01)
        channels = maps[0].shape[-1]
        convolution = BiasedConvolution(channels, 3, normal, self.dtype, name="convolution")
        objectness = BiasedConvolution(self.anchors, 1, normal, self.dtype, name="objectness")
        boxes = BiasedConvolution(4 * self.anchors, 1, normal, self.dtype, name="boxes")
        logits, offsets = [], []
        for one in maps:
            x = nn.relu(convolution(one))
            logits.append(objectness(x).reshape(len(x), -1).astype(jnp.float32))
            offsets.append(boxes(x).reshape(len(x), -1, 4).astype(jnp.float32))
        return tuple(logits), tuple(offsets)


class BoxHead(nn.Module):
    """Says which class a box's features show, and where its box of each class lies.

    Two hidden layers. Parameters: hidden_1, hidden_2, classes, boxes. As in detectron2, hidden
    weights start uniform by fan-in, those of the classes normal with deviation 0.01, of the boxes
    0.001.

    Attributes:
        width: of the hidden layers.
        classes: the number of classes with the background, which is class 0.
        dtype: of the hidden layers' computation.
    """

    width: int
    classes: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, features: Float[Array, "batch rois rows columns channels"]
    ) -> tuple[Float[Array, "batch rois classes"], Float[Array, "batch rois classes 4"]]:
        """(class logits, box offsets by class), float32."""
        batch, rois = features.shape[:2]
        uniform = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")
        x = features.reshape(batch * rois, -1)
        for number in (1, 2):
            x = nn.relu(_Dense(self.width, uniform, self.dtype, name=f"hidden_{number}")(x))
        normal, small = nn.initializers.normal(0.01), nn.initializers.normal(0.001)
        logits = _Dense(self.classes, normal, jnp.float32, name="classes")(x)
        offsets = _Dense(4 * self.classes, small, jnp.float32, name="boxes")(x)
        return (
            logits.reshape(batch, rois, self.classes),
            offsets.reshape(batch, rois, self.classes, 4),
        )


class _Dense(nn.Module):
    outputs: int
    initialiser: Any
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "rows inputs"]) -> Float[Array, "rows outputs"]:
        shape = (x.shape[-1], self.outputs)
        kernel = self.param("kernel", self.initialiser, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.outputs,), jnp.float32)
        return dense(x.astype(self.dtype), kernel.astype(self.dtype), bias.astype(self.dtype))
