"""How an encoder that is given is read and used: its feature, layers, precision and memory."""

import dataclasses
import os
from typing import Any, Literal

from examine_jax.common.settings import setting
from examine_jax.encoders.encoder import Encoder
from examine_jax.encoders.load import load_encoder
from examine_jax.encoders.readout import Readout
from examine_jax.models.poolings import POOLED
from examine_jax.models.weights.encoder_json import FEATURES


@dataclasses.dataclass(frozen=True)
class EncoderUse:
    """How an encoder is read and what of its outputs is used."""

    feature: Literal["class_token", "patch_mean", "class_and_mean", "tokens"] | None = setting(
        None, "Which vector is the feature. If not given: the encoder's own.", main=True
    )
    layers: tuple[int, ...] = setting(
        (),
        "Blocks of a transformer (stages of a ResNet or ConvNeXt) from 1, whose features lie one "
        "after the other. If not given: the last.",
        metavar="N,N",
    )
    precision: Literal["float32", "bfloat16"] | None = setting(
        None, "Of the computation. If not given: the encoder's.", main=True
    )
    resize: Literal["own", "squash"] = setting(
        "own",
        "How images of any shape come to the encoder's size: as its library does it, or the whole "
        "image squashed.",
    )
    widen_weights: bool = setting(
        True, "Others' weights in half precision become float32; without it they stay as they are."
    )
    fill_memory: bool = setting(
        True, "An accelerator takes larger batches than batch_size, as its memory allows."
    )

    def load(self, path: str | os.PathLike[str], pooling: str | None = None) -> Encoder:
        """The encoder of a path, set up as this says.

        Args:
            path: as in `load_encoder`.
            pooling: as in `Encoder.with_pooling`, in place of `feature`; None: none.

        Raises:
            ValueError: it cannot be read, or lacks what is asked for.
        """
        if pooling is not None and (self.feature is not None or self.layers):
            raise ValueError(
                f"pooling={pooling} and feature or layers say the same thing twice; leave pooling "
                "away"
            )
        encoder = load_encoder(path, widen=self.widen_weights)
        if self.resize == "squash":
            encoder = dataclasses.replace(encoder, framing=None)
        if self.precision is not None:
            encoder = encoder.with_precision(self.precision)
        if pooling is not None:
            return encoder.with_pooling(pooling)
        if self.feature is None and not self.layers:
            return encoder
        config: Any = encoder.method.encoder
        if isinstance(config, POOLED) and not self.layers and self.feature in FEATURES:
            Readout(self.feature).check(config)
            return encoder.with_pooling(FEATURES[self.feature])
        return encoder.with_readout(self.feature, self.layers)


DEFAULT_USE = EncoderUse()
