"""What the methods that compare two views of an image share: the chain of networks, the views, the features."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float, Key, PyTree, Shaped
from examine_jax.images.augmentation import TwoViews
from examine_jax.models.apply import init_network, run_network
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining.losses.contrastive import DIRECTIONS
from examine_jax.pretraining.losses.similarity import cosine, embedding_deviation
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.training.method import Batch

Outputs = dict[str, Array]


@dataclasses.dataclass(frozen=True, eq=False)
class Chain:
    """An encoder and the heads behind it by name, each fed by the one before. Batch norms are in training mode throughout.

    Parameters and batch statistics are {"encoder": ..., a head's name: ...}; what has no batch norm has no entry in the latter.
    """

    encoder: Any
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
        """(outputs of the first view by name, of the second, batch_stats): batch norms see both views as one batch, as SimCLR's."""
        outputs, batch_stats = self._run(self._modules(), params, batch_stats, _interleaved(first, second))
        of_first, of_second = ({name: _apart(output)[i] for name, output in outputs.items()} for i in (0, 1))
        return of_first, of_second, batch_stats

    def on_views(
        self,
        params: PyTree,
        batch_stats: PyTree,
        first: Float[Array, "batch height width channels"],
        second: Float[Array, "batch height width channels"],
    ) -> tuple[Outputs, Outputs, PyTree]:
        """The same, but batch norms see the views one after the other, as BYOL's, SimSiam's, VICReg's and DCL's codes call their networks.

        An encoder without batch norm takes both at once, which gives the same and is faster.
        """
        modules = self._modules()
        if "encoder" in batch_stats:
            of_first, batch_stats = self._run(modules, params, batch_stats, first)
            of_second, batch_stats = self._run(modules, params, batch_stats, second)
            return of_first, of_second, batch_stats
        encoder = modules.pop("encoder")
        features, _ = run_network(encoder, params["encoder"], {}, _interleaved(first, second), train=True)
        own_first, own_second = _apart(features)
        of_first, batch_stats = self._run(modules, params, batch_stats, own_first)
        of_second, batch_stats = self._run(modules, params, batch_stats, own_second)
        return {"encoder": own_first, **of_first}, {"encoder": own_second, **of_second}, batch_stats

    def _modules(self) -> dict[str, Any]:
        heads = {name: head.module(self.encoder.dtype) for name, head in self.heads.items()}
        return {"encoder": self.encoder.module(), **heads}

    def _run(self, modules: dict[str, Any], params: PyTree, batch_stats: PyTree, x: Array) -> tuple[Outputs, PyTree]:
        outputs, batch_stats = {}, dict(batch_stats)
        for name, module in modules.items():
            x, stats = run_network(module, params[name], batch_stats.get(name, {}), x, train=True)
            outputs[name] = x
            if stats:
                batch_stats[name] = stats
        return outputs, batch_stats


def _interleaved(first: Array, second: Array) -> Array:
    """Both views of an image side by side [2 B, ...]: where the batch is spread over devices, no image has to move."""
    return jnp.stack([first, second], axis=1).reshape(-1, *first.shape[1:])


def _apart(both: Array) -> tuple[Array, Array]:
    pairs = both.reshape(-1, 2, *both.shape[1:])
    return pairs[:, 0], pairs[:, 1]


def make_views(
    augmentation: TwoViews, pixels: PixelScale, encoder: Any, batch: Batch, key: Key[Array, ""]
) -> tuple[Float[Array, "batch height width channels"], Float[Array, "batch height width channels"]]:
    """Both views of a batch's images, scaled as the network takes them.

    Raises:
        ValueError: the augmentation leaves them at another size than the encoder's, or they have another number of channels.
    """
    views = augmentation(key, batch["image"])
    for view in views:
        check_images(encoder, view, "the augmentation hands out images of")
    return pixels(views[0]), pixels(views[1])


def check_images(encoder: Any, images: Any, what: str) -> None:
    """Raises a ValueError, which begins with `what`, where images are not of the encoder's size."""
    expected = (encoder.image_size, encoder.image_size, encoder.channels)
    if tuple(images.shape[1:]) != expected:
        raise ValueError(
            f"{what} {tuple(images.shape[1:])} (height, width, channels), the encoder takes {expected}; "
            "crop or resize to the encoder's image_size"
        )


def embed(
    encoder: Any,
    pixels: PixelScale,
    params: PyTree,
    state: PyTree,
    images: Shaped[Array, "batch height width channels"],
) -> Float[Array, "batch features"]:
    """The encoder's features of images as they come, batch norms by their running averages."""
    check_images(encoder, images, "the images are")
    batch_stats = state["batch_stats"].get("encoder", {})
    features, _ = run_network(encoder.module(), params["encoder"], batch_stats, pixels(images), train=False)
    return features


def watched(first: Float[Array, "batch width"], second: Float[Array, "batch width"]) -> dict[str, Float[Array, ""]]:
    """What tells learning from collapse: the mean cosine of the two views, and how far the embeddings spread (0: collapsed)."""
    first, second = jax.lax.stop_gradient(first), jax.lax.stop_gradient(second)
    deviation = (embedding_deviation(first) + embedding_deviation(second)) / 2
    return {"positive_similarity": cosine(first, second).mean(), "embedding_deviation": deviation}


def check_contrast(method: str, temperature: float, directions: str) -> None:
    """Raises a ValueError where a contrastive loss could not be computed with these."""
    if not temperature > 0:
        raise ValueError(f"{method}: temperature must be positive, got {temperature}")
    if directions not in DIRECTIONS:
        raise ValueError(f"{method}: directions must be one of {', '.join(DIRECTIONS)}, got {directions!r}")


def check_predictor(method: str, projector: HeadConfig, predictor: HeadConfig | None) -> None:
    """Raises a ValueError where a predictor's outputs could not be compared with the projector's."""
    if predictor is not None and predictor.widths[-1] != projector.widths[-1]:
        raise ValueError(
            f"{method}: the predictor ends {predictor.widths[-1]} wide, the projector {projector.widths[-1]}; give both one last width"
        )
