"""What convolutional networks in stages have in common: features, maps, batch norms."""

from typing import Any

import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float


class StagedNetwork(nn.Module):
    """Maps images to features by stages, which `stages` of the network runs."""

    def stages(self, images: Array, train: bool, frozen_stages: int) -> list[tuple[int, Array]]:
        """(stride, output) of each stage, in the network's dtype.

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
        return dict(self.stages(images, train, frozen_stages))


def batch_norm(
    train: bool, name: str, dtype: Any, *, epsilon: float = 1e-5, zero: bool = False
) -> nn.BatchNorm:
    """A batch norm that keeps nine tenths of its running statistics at each step.

    Args:
        train: whether it uses the batch's statistics and moves the running ones.
        name: of its parameters.
        dtype: of its outputs.
        epsilon: added to the variance.
        zero: whether its scale starts at zero, not at one.
    """
    return nn.BatchNorm(
        use_running_average=not train,
        momentum=0.9,
        epsilon=epsilon,
        dtype=dtype,
        scale_init=nn.initializers.zeros if zero else nn.initializers.ones,
        name=name,
    )
