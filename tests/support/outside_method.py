"""A method that lives outside the package: one file, named by its import path."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from examine_jax.models.architectures import Architecture
from examine_jax.models.forward import init_network, run_network
from examine_jax.pretraining.named_method import NamedMethod
from examine_jax.training.method import EncoderConfig, Picture
from examine_jax.training.optimiser import Constant
from examine_jax.training.settings import Phase, PretrainSettings


@dataclasses.dataclass(frozen=True)
class Brightness:
    """Predicts an image's mean brightness from its features."""

    encoder: EncoderConfig
    steps: int = 0
    counts_batches: bool = True

    def init(self, key, batch):
        size = self.encoder.image_size
        example = jnp.zeros((1, size, size, self.encoder.channels), jnp.float32)
        params, _ = init_network(self.encoder.module(), key, example)
        return {"encoder": params, "weight": jnp.zeros(self.encoder.features)}, (
            {"batches": jnp.zeros(())} if self.counts_batches else {}
        )

    def loss(self, params, state, batch, key):
        features = self.embed(params, state, batch["image"])
        error = features @ params["weight"] - batch["image"].mean((1, 2, 3)) / 255
        return jnp.square(error).mean(), (state, {})

    def after_update(self, params, state, step):
        return {name: count + 1 for name, count in state.items()}

    def embed(self, params, state, images):
        features, _ = run_network(
            self.encoder.module(), params["encoder"], {}, images / 255, train=False
        )
        return features

    def for_steps(self, steps):
        return dataclasses.replace(self, steps=steps)

    def to_save(self, state):
        return dataclasses.replace(self, counts_batches=False), {}

    def pictures(self, params, state, images, key):
        darker = np.asarray(images, np.float32) / 510
        return (
            Picture(
                "darker",
                "Darker images",
                "Half as bright.",
                "Images and darker ones",
                {"darker": darker},
            ),
        )


def _small(architecture: Architecture):
    settings = PretrainSettings((Phase(steps=500),), batch_size=4, schedule=Constant(0.01))
    return Brightness(architecture.encoder), settings


BRIGHTNESS = NamedMethod("brightness", {"small": _small}, (Brightness,))
