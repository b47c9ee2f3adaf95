"""A BYOL so small that its step can be looped over in a test, and its passes."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.images.augmentation import TwoViews, byol_views
from examine_jax.models import ViTConfig
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining import PixelScale, two_views
from examine_jax.pretraining.methods.byol import BYOL
from examine_jax.pretraining.moving_average import MovingAverage

BATCH_SIZE = 8


@dataclasses.dataclass(frozen=True)
class Noisy:
    """A stand-in for augmentation."""

    amount: float = 0.2

    def __call__(self, key, images):
        return images.astype(jnp.float32) / 255 + self.amount * jax.random.normal(key, images.shape)


def small_byol(**changes):
    return BYOL(
        **{
            "encoder": ViTConfig(
                image_size=8, patch_size=4, channels=3, width=12, depth=1, heads=3, mlp_width=16
            ),
            "augmentation": TwoViews(Noisy(), Noisy()),
            "projector": HeadConfig((10, 6)),
            "predictor": HeadConfig((9, 6), output_bias=False),
            "moving_average": MovingAverage(0.9, 20),
            "pixels": PixelScale((0.5,), (0.25,)),
            **changes,
        }
    )


def random_batch():
    images = np.random.default_rng(0).integers(0, 256, (BATCH_SIZE, 8, 8, 3), dtype=np.uint8)
    return {"image": jnp.asarray(images), "index": jnp.arange(BATCH_SIZE, dtype=jnp.int32)}


@functools.partial(jax.jit, static_argnums=0)
def started(byol, key, batch):
    """`byol.init`, compiled once for equal values: op by op takes many times as long."""
    return byol.init(key, batch)


@functools.partial(jax.jit, static_argnums=0)
def passes(byol, params, state, batch, key):
    first, second = two_views.make_views(byol.augmentation, byol.pixels, byol.encoder, batch, key)
    online = two_views.Chain(
        byol.encoder, {"projector": byol.projector, "predictor": byol.predictor}
    )
    following = two_views.Chain(byol.encoder, {"projector": byol.projector})
    of = online.on_views(params, state["batch_stats"], first, second)[:2]
    to = following.on_views(
        state["target"]["params"], state["target"]["batch_stats"], first, second
    )[:2]
    return of, to


def cosine_distance(q, z):
    q, z = np.asarray(q, np.float64), np.asarray(z, np.float64)
    return 2 - 2 * q @ z / (np.linalg.norm(q) * np.linalg.norm(z))


def jitted(method):
    return jax.jit(method.loss)


def readable_views():
    return byol_views(8)
