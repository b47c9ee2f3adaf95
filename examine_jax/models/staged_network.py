"""What convolutional networks in stages have in common: features, maps, batch norms, precision.

In bfloat16, networks that are not trained round the factors of their convolutions alone. What these
add up to, norms and the maps between blocks are float32, and so is the first convolution, whose
pixels all others follow. Training rounds all of them, which halves the memory that it keeps.
"""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float


class StagedNetwork(nn.Module):
    """Maps images to features by stages, which `stages` of the network runs."""

    config: Any

    def stages(self, images: Array, train: bool, frozen_stages: int) -> list[tuple[int, Array]]:
        """(stride, output) of each stage, in the network's dtype or wider.

        Args:
            images, train, frozen_stages: as in `feature_maps`.
        """
        raise NotImplementedError

    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch features"]:
        """The last stage's outputs averaged over the image, float32, of normalised pixels."""
        *_, (_, last) = self.stages(images, train, 0)
        return last.astype(jnp.float32).mean(axis=(1, 2))

    def feature_maps(
        self,
        images: Float[Array, "batch height width channels"],
        *,
        train: bool = False,
        frozen_stages: int = 0,
    ) -> dict[int, Float[Array, "batch _ _ _"]]:
        """The output of each stage by its stride, from the same parameters, in the network's dtype.

        Args:
            images: normalised pixels.
            train: whether batch norms use the batch's statistics.
            frozen_stages: with `train`, the stem and the first stages, this many, use the running
                statistics nevertheless; 0: neither the stem nor a stage.
        """
        dtype = jnp.dtype(self.config.dtype)
        outputs = self.stages(images, train, frozen_stages)
        return {stride: x.astype(dtype) for stride, x in outputs}


def unrounded(dtype: Any, train: bool) -> Any:
    """The dtype of what is not rounded outside training: the network's own in training."""
    return dtype if train else jnp.float32


def batch_norm(
    train: bool, name: str, dtype: Any, *, epsilon: float = 1e-5, zero: bool = False
) -> nn.BatchNorm:
    """A batch norm that keeps nine tenths of its running statistics at each step.

    Args:
        train: whether it uses the batch's statistics and moves the running ones.
        name: of its parameters.
        dtype: of its outputs in training; otherwise they are float32.
        epsilon: added to the variance.
        zero: whether its scale starts at zero, not at one.
    """
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=epsilon,
        dtype=unrounded(dtype, train),
        scale_init=nn.initializers.zeros if zero else nn.initializers.ones,
        name=name,
    )
