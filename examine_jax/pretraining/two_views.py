"""Shared by the methods that compare two views of an image: networks, views, features."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Array, Float, Key, PyTree, Shaped
from examine_jax.images.augmentation import TwoViews
from examine_jax.models.forward import init_network, run_network
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining.losses.contrastive import DIRECTIONS
from examine_jax.pretraining.losses.similarity import cosine, embedding_deviation
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.training.method import Batch, EncoderConfig, Picture

Outputs = dict[str, Array]


@dataclasses.dataclass(frozen=True, eq=False)
class Chain:
    """An encoder and named heads, each of which takes the output of the one before.

    Batch norms are always in training mode. Parameters and batch statistics are
    {"encoder": ..., a head's name: ...}; networks without batch norm have no batch statistics.
    """

    encoder: EncoderConfig
    heads: Mapping[str, HeadConfig]

    def init(self, key: Key[Array, ""]) -> tuple[PyTree, PyTree]:
        """(params, batch_stats)."""
        size = self.encoder.image_size
        example = jnp.zeros((1, size, size, self.encoder.channels), jnp.float32)
        params, batch_stats = {}, {}
        for i, (name, module) in enumerate(self._modules().items()):
            params[name], stats = init_network(module, jax.random.fold_in(key, i), example)
            if stats:
                batch_stats[name] = stats
            width = self.encoder.features if name == "encoder" else self.heads[name].widths[-1]
            example = jnp.zeros((1, width), jnp.float32)
        return params, batch_stats

    def on_both(
        self,
        params: PyTree,
        batch_stats: PyTree,
        first: Float[Array, "batch height width channels"],
        second: Float[Array, "batch height width channels"],
    ) -> tuple[Outputs, Outputs, PyTree]:
        """(first view's outputs by name, second view's, batch_stats).

        Batch norms see both views as one batch, as SimCLR's do.
        """
        outputs, batch_stats = self._run(
            self._modules(), params, batch_stats, _interleaved(first, second)
        )
        of_first, of_second = (
            {name: _apart(output)[i] for name, output in outputs.items()} for i in (0, 1)
        )
        return of_first, of_second, batch_stats

    def on_views(
        self,
        params: PyTree,
        batch_stats: PyTree,
        first: Float[Array, "batch height width channels"],
        second: Float[Array, "batch height width channels"],
    ) -> tuple[Outputs, Outputs, PyTree]:
        """As `on_both`, but batch norms see one view after the other.

        So do the codes of BYOL, SimSiam, VICReg and DCL. An encoder without batch norm takes both
        views at once, which gives the same and is faster.
        """
        modules = self._modules()
        if "encoder" in batch_stats:
            of_first, batch_stats = self._run(modules, params, batch_stats, first)
            of_second, batch_stats = self._run(modules, params, batch_stats, second)
            return of_first, of_second, batch_stats
        encoder = modules.pop("encoder")
        features, _ = run_network(
            encoder, params["encoder"], {}, _interleaved(first, second), train=True
        )
        own_first, own_second = _apart(features)
        of_first, batch_stats = self._run(modules, params, batch_stats, own_first)
        of_second, batch_stats = self._run(modules, params, batch_stats, own_second)
        return {"encoder": own_first, **of_first}, {"encoder": own_second, **of_second}, batch_stats

    def _modules(self) -> dict[str, Any]:
        heads = {name: head.module(self.encoder.dtype) for name, head in self.heads.items()}
        return {"encoder": self.encoder.module(), **heads}

    def _run(
        self, modules: dict[str, Any], params: PyTree, batch_stats: PyTree, x: Array
    ) -> tuple[Outputs, PyTree]:
        outputs, batch_stats = {}, dict(batch_stats)
        for name, module in modules.items():
            x, stats = run_network(module, params[name], batch_stats.get(name, {}), x, train=True)
            outputs[name] = x
            if stats:
                batch_stats[name] = stats
        return outputs, batch_stats


def _interleaved(first: Array, second: Array) -> Array:
    """[2 B, ...], an image's views side by side, so that no image moves to another device."""
    return jnp.stack([first, second], axis=1).reshape(-1, *first.shape[1:])


def _apart(both: Array) -> tuple[Array, Array]:
    pairs = both.reshape(-1, 2, *both.shape[1:])
    return pairs[:, 0], pairs[:, 1]


def make_views(
    augmentation: TwoViews,
    pixels: PixelScale,
    encoder: EncoderConfig,
    batch: Batch,
    key: Key[Array, ""],
) -> tuple[
    Float[Array, "batch height width channels"], Float[Array, "batch height width channels"]
]:
    """Both views of a batch's images, scaled for the network.

    Raises:
        ValueError: the views have another size or number of channels than the encoder takes.
    """
    views = augmentation(key, batch["image"])
    for view in views:
        check_images(encoder, view, "the augmentation hands out images of")
    return pixels(views[0]), pixels(views[1])


def check_images(encoder: EncoderConfig, images: Any, what: str) -> None:
    """Raises a ValueError that begins with `what` unless the images are of the encoder's size."""
    expected = (encoder.image_size, encoder.image_size, encoder.channels)
    if tuple(images.shape[1:]) != expected:
        raise ValueError(
            f"{what} {tuple(images.shape[1:])} (height, width, channels), the encoder takes "
            f"{expected}; "
            "crop or resize to the encoder's image_size"
        )


class TwoViewMethod:
    """The functions that are the same in every method of two views; a base without fields.

    A subclass is a frozen dataclass with the attributes below.
    """

    encoder: EncoderConfig
    augmentation: TwoViews
    pixels: PixelScale

    def after_update(self, params: PyTree, state: PyTree, step: Shaped[Array, ""]) -> PyTree:
        """The state, unchanged."""
        return state

    def embed(
        self, params: PyTree, state: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        """The encoder's features, without the heads."""
        return embed(self.encoder, self.pixels, params, state, images)

    def pictures(
        self,
        params: PyTree,
        state: PyTree,
        images: Shaped[Array, "k height width channels"],
        key: Key[Array, ""],
    ) -> tuple[Picture, ...]:
        """Pairs of views."""
        return view_pictures(self.augmentation, images, key)


def view_pictures(
    augmentation: TwoViews, images: Shaped[Array, "k height width channels"], key: Key[Array, ""]
) -> tuple[Picture, ...]:
    """Images and the two views of each, for the training's page."""
    first, second = map(np.asarray, jax.jit(augmentation)(key, images))
    return (
        Picture(
            "views",
            "Pairs of views",
            "What the method takes for the same thing. If you would not, change the augmentation.",
            "Images and their two augmented views",
            {"first view": first, "second view": second},
        ),
    )


def embed(
    encoder: EncoderConfig,
    pixels: PixelScale,
    params: PyTree,
    state: PyTree,
    images: Shaped[Array, "batch height width channels"],
) -> Float[Array, "batch features"]:
    """The encoder's features of images without augmentation.

    Batch norms use their running averages.
    """
    check_images(encoder, images, "the images are")
    batch_stats = state["batch_stats"].get("encoder", {})
    features, _ = run_network(
        encoder.module(), params["encoder"], batch_stats, pixels(images), train=False
    )
    return features


def collapse_metrics(
    first: Float[Array, "batch width"], second: Float[Array, "batch width"]
) -> dict[str, Float[Array, ""]]:
    """Metrics of collapse: the views' mean cosine, and the embeddings' deviation (0: collapse)."""
    first, second = jax.lax.stop_gradient(first), jax.lax.stop_gradient(second)
    deviation = (embedding_deviation(first) + embedding_deviation(second)) / 2
    return {"positive_similarity": cosine(first, second).mean(), "embedding_deviation": deviation}


def check_contrast(method: str, temperature: float, directions: str) -> None:
    """Raises a ValueError unless a contrastive loss can be computed with these settings."""
    if not temperature > 0:
        raise ValueError(f"{method}: temperature must be positive, got {temperature}")
    if directions not in DIRECTIONS:
        raise ValueError(
            f"{method}: directions must be one of {', '.join(DIRECTIONS)}, got {directions!r}"
        )


def check_predictor(method: str, projector: HeadConfig, predictor: HeadConfig | None) -> None:
    """Raises a ValueError unless a predictor's outputs are as wide as the projector's."""
    if predictor is not None and predictor.widths[-1] != projector.widths[-1]:
        raise ValueError(
            f"{method}: the predictor ends {predictor.widths[-1]} wide, the projector "
            f"{projector.widths[-1]}; give both one last width"
        )
