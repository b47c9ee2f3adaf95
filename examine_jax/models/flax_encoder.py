"""Any Flax Linen module as an encoder."""

import dataclasses
import inspect
from typing import Any, Literal

import jax.numpy as jnp
from flax import linen as nn

from examine_jax.common.shapes import Array, Float


@dataclasses.dataclass(frozen=True)
class FlaxEncoder:
    """Any Linen module as an encoder.

    Attributes:
        flax_module: maps normalised float32 images [B, H, W, C] to features [B, features]. If its
            __call__ has a keyword `train`, that is set in training. It may hold parameters and
            batch norms ("batch_stats"), and draws no random numbers. Its fields must be hashable:
            tuples instead of lists.
        image_size: side of the square input in pixels.
        channels: channels of the input.
        features: width of the output.
        dtype: of the computation, for the record; the module itself decides.
    """

    flax_module: nn.Module
    image_size: int
    channels: int
    features: int
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        if not isinstance(self.flax_module, nn.Module):
            raise ValueError(
                "FlaxEncoder: flax_module must be an instance of flax.linen.Module, got "
                f"{type(self.flax_module).__name__}"
            )
        for field in ("image_size", "channels", "features"):
            if getattr(self, field) < 1:
                raise ValueError(
                    f"FlaxEncoder: {field} must be at least 1, got {getattr(self, field)}"
                )
        try:
            hash(self.flax_module)
        except TypeError as error:
            raise ValueError(
                f"FlaxEncoder: {type(self.flax_module).__name__} cannot be hashed ({error}); give "
                "it tuples for lists"
            ) from error

    def module(self) -> "WrappedEncoder":
        return WrappedEncoder(self.flax_module, self.features)


class WrappedEncoder(nn.Module):
    """The user's module, under "network". Its features are checked and become float32."""

    network: nn.Module
    features: int

    def __call__(
        self, images: Float[Array, "batch height width channels"], *, train: bool = False
    ) -> Float[Array, "batch features"]:
        outputs: Any = (
            self.network(images, train=train) if self._takes_train else self.network(images)
        )
        if outputs.shape != (len(images), self.features):
            raise ValueError(
                f"FlaxEncoder: {type(self.network).__name__} gives {list(outputs.shape)} for "
                f"images {list(images.shape)}, "
                f"not [{len(images)}, {self.features}]; pool its outputs or set features"
            )
        return outputs.astype(jnp.float32)

    @property
    def _takes_train(self) -> bool:
        return "train" in inspect.signature(type(self.network).__call__).parameters
