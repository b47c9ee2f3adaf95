"""Any method with a low-rank adapter in place of the encoder's own weights (LoRA)."""

import dataclasses
from typing import Any

import jax

from examine_jax.common.shapes import Array, Float, Key, PyTree, Shaped
from examine_jax.models.low_rank import (
    LowRank,
    adapter_of,
    init_adapter,
    merged,
    with_adapter,
)
from examine_jax.pretraining.from_encoder import with_statistics
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.training.method import (
    Batch,
    EncoderConfig,
    Method,
    Picture,
    for_steps,
    metric_columns,
    pictures,
    required_columns,
)

_BASE, _METHOD = "base", "method"


@dataclasses.dataclass(frozen=True)
class LowRankMethod:
    """A method that trains low-rank pairs beside an encoder's weights, and its own heads.

    The parameters have the pairs in the encoder's place. The base's weights are in the state under
    "base": no step changes them, the optimiser has no part of them, and no checkpoint holds them.
    The method's own state is under "method"; a moving average of the encoder is one of the pairs.

    Attributes:
        method: the method.
        low_rank: the pairs.
    """

    method: Method
    low_rank: LowRank

    constant_state = (_BASE,)

    @property
    def encoder(self) -> EncoderConfig:
        return self.method.encoder

    @property
    def pixels(self) -> PixelScale:
        return getattr(self.method, "pixels", PixelScale())

    @property
    def columns(self) -> tuple[str, ...]:
        return required_columns(self.method)

    @property
    def metric_columns(self) -> tuple[str, ...]:
        return metric_columns(self.method)

    def for_steps(self, steps: int) -> "LowRankMethod":
        return dataclasses.replace(self, method=for_steps(self.method, steps))

    def init(self, key: Key[Array, ""], batch: Batch) -> tuple[PyTree, PyTree]:
        """Parameters {"encoder": pairs, heads}, state {"base", "method"}."""
        params, state = self.method.init(key, batch)
        pairs = init_adapter(self.encoder, self.low_rank, jax.random.fold_in(key, 1))
        state = _on_target(state, lambda _: pairs)
        return {**params, "encoder": pairs}, {_BASE: params["encoder"], _METHOD: state}

    def with_encoder(
        self, params: PyTree, state: PyTree, encoder: PyTree, batch_stats: PyTree
    ) -> tuple[PyTree, PyTree]:
        """(params, state) that begin with this base."""
        own = with_statistics(state[_METHOD], batch_stats)
        if "target" in own:
            own = {**own, "target": with_statistics(own["target"], batch_stats)}
        return params, {_BASE: encoder, _METHOD: own}

    def loss(
        self, params: PyTree, state: PyTree, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, dict[str, Float[Array, ""]]]]:
        """The method's loss."""
        loss, (own, metrics) = self.method.loss(*self._joined(params, state), batch, key)
        return loss, (self._parted(state, own), metrics)

    def after_update(self, params: PyTree, state: PyTree, step: Shaped[Array, ""]) -> PyTree:
        joined, own = self._joined(params, state)
        return self._parted(state, self.method.after_update(joined, own, step))

    def embed(
        self, params: PyTree, state: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        """The adapted encoder's features."""
        return self.method.embed(*self._joined(params, state), images)

    def pictures(
        self,
        params: PyTree,
        state: PyTree,
        images: Shaped[Array, "k height width channels"],
        key: Key[Array, ""],
    ) -> tuple[Picture, ...]:
        return pictures(self.method, *self._joined(params, state), images, key)

    def merged(self, params: PyTree, state: PyTree) -> tuple[PyTree, PyTree]:
        """(params, state) of the method itself, with the pairs added to the base's weights."""

        def whole(pairs: PyTree) -> PyTree:
            return merged(state[_BASE], pairs, self.low_rank)

        encoder = whole(params["encoder"])
        return {**params, "encoder": encoder}, _on_target(state[_METHOD], whole)

    def own_state(self, state: PyTree) -> PyTree:
        """The method's own part of the state, without the base."""
        return state[_METHOD]

    def with_base(self, own: PyTree, base: PyTree) -> PyTree:
        """The state of a method's own part and the base's weights."""
        return {_BASE: base, _METHOD: own}

    def _joined(self, params: PyTree, state: PyTree) -> tuple[PyTree, PyTree]:
        def whole(pairs: PyTree) -> PyTree:
            return with_adapter(state[_BASE], pairs, self.low_rank)

        encoder = whole(params["encoder"])
        return {**params, "encoder": encoder}, _on_target(state[_METHOD], whole)

    def _parted(self, state: PyTree, own: PyTree) -> PyTree:
        return {_BASE: state[_BASE], _METHOD: _on_target(own, adapter_of)}


def _on_target(state: PyTree, change: Any) -> PyTree:
    """A method's state, with the encoder of its moving average changed, if it has one."""
    if "target" not in state:
        return state
    target = state["target"]
    params = {**target["params"], "encoder": change(target["params"]["encoder"])}
    return {**state, "target": {**target, "params": params}}
