"""Which of a trained network's outputs are the features: a pooling, tokens, inner layers."""

import dataclasses
from typing import Any, Literal, get_args

import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float, PyTree
from examine_jax.models.forward import run_feature_maps
from examine_jax.models.poolings import POOLED

Feature = Literal["class_token", "patch_mean", "class_and_mean", "tokens"]


@dataclasses.dataclass(frozen=True)
class Readout:
    """The outputs that are read in place of the encoder's own features.

    Attributes:
        feature: what is made of a layer's tokens: the class token, the mean of the patches, both
            one after the other, or all tokens [tokens, width], the class token and registers first.
            A ResNet's or ConvNeXt's tokens are the places of its map, which has no class token.
        layers: numbers of blocks of a transformer, or of stages of a ResNet or ConvNeXt, from 1;
            their features lie one after the other. A transformer's final norm follows each. Empty:
            the last one.
    """

    feature: Feature
    layers: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.feature not in get_args(Feature):
            raise ValueError(
                f"feature must be one of {', '.join(get_args(Feature))}, got {self.feature!r}"
            )
        if len(set(self.layers)) < len(self.layers):
            raise ValueError(f"layers {list(self.layers)} name a layer twice")

    def check(self, config: Any) -> None:
        """Raises a ValueError if a network has no such feature or layers."""
        kind = type(config).__name__.removesuffix("Config")
        if isinstance(config, POOLED):
            most, what = config.depth, "blocks"
            if self.feature in ("class_token", "class_and_mean") and not config.class_token:
                raise ValueError(
                    f"feature={self.feature}: this transformer has no class token; take patch_mean "
                    "or tokens"
                )
        elif hasattr(config, "strides"):
            most, what = len(config.strides), "stages"
            if self.feature in ("class_token", "class_and_mean"):
                raise ValueError(
                    f"feature={self.feature}: a {kind} has no class token; take patch_mean or "
                    "tokens"
                )
            if self.feature == "tokens" and len(self.layers) > 1:
                raise ValueError(
                    f"layers {list(self.layers)} with feature=tokens: the maps of a {kind}'s "
                    "stages have different sizes; take one layer"
                )
        else:
            raise ValueError(f"a {kind} gives its features alone: leave feature and layers away")
        if self.layers and not 1 <= min(self.layers) <= max(self.layers) <= most:
            raise ValueError(
                f"layers must be numbers from 1 to {most}, the number of {what}; got "
                f"{list(self.layers)}"
            )

    def __call__(
        self,
        config: Any,
        params: PyTree,
        batch_stats: PyTree,
        images: Float[Array, "batch height width channels"],
    ) -> Float[Array, "batch ..."]:
        """The features of images with normalised pixels, float32.

        Args:
            config: the network's configuration, which passes `check`.
            params, batch_stats: the network's.
            images: normalised for the network.
        """
        module = config.module()
        if isinstance(config, POOLED):
            layers = self.layers or (config.depth,)
            tokens = module.apply({"params": params}, images, layers, method="layer_tokens")
            return self._joined(list(tokens), config.leading)
        maps, _ = run_feature_maps(module, params, batch_stats, images, train=False)
        stages = [maps[stride] for stride in sorted(maps)]
        chosen = [stages[layer - 1] for layer in self.layers or (len(stages),)]
        return self._joined([x.reshape(x.shape[0], -1, x.shape[-1]) for x in chosen], 0)

    def _joined(self, layers: list[Array], leading: int) -> Array:
        parts = []
        for tokens in layers:
            tokens = tokens.astype(jnp.float32)
            if self.feature == "tokens":
                parts.append(tokens)
                continue
            if self.feature != "patch_mean":
                parts.append(tokens[:, 0])
            if self.feature != "class_token":
                parts.append(tokens[:, leading:].mean(axis=1))
        return jnp.concatenate(parts, axis=-1)
