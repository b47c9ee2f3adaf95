"""Optimisers and learning-rate schedules, as frozen dataclasses."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from examine_jax.common.shapes import PyTree


@dataclasses.dataclass(frozen=True)
class LearningRate:
    """An optax.Schedule with its largest value, `peak`."""

    at: optax.Schedule
    peak: float

    def __call__(self, step: Any) -> Any:
        if not isinstance(step, int):
            return self.at(step)
        # One program for all steps: outside a program, a schedule is a dozen operations. The number
        # is the shortest one that float32 rounds to the same.
        return float(str(np.float32(_compiled(self.at)(step))))


@functools.lru_cache(maxsize=64)
def _compiled(schedule: optax.Schedule) -> Callable[[int], Any]:
    return jax.jit(schedule)


@dataclasses.dataclass(frozen=True)
class Constant:
    """One learning rate for all steps and batch sizes."""

    learning_rate: float

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"Constant: learning_rate must be positive, got {self.learning_rate}")

    def build(self, batch_size: int, steps: int) -> LearningRate:
        return LearningRate(optax.constant_schedule(self.learning_rate), self.learning_rate)


@dataclasses.dataclass(frozen=True)
class WarmupCosine:
    """Rises linearly from zero to the peak, then falls as a cosine to zero.

    Attributes:
        learning_rate: that for batches of 256 images; the peak is learning_rate * batch_size / 256.
        warmup: the share of the steps in which the rate rises (facebookresearch/mae: 40 of 800
            epochs).

    Source: Goyal et al., arXiv:1706.02677, for the scaling with the batch size.
    """

    learning_rate: float = 1.5e-4
    warmup: float = 0.05

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(
                f"WarmupCosine: learning_rate must be positive, got {self.learning_rate}"
            )
        if not 0 <= self.warmup < 1:
            raise ValueError(
                "WarmupCosine: warmup is a share of the steps, at least 0 and below 1, got "
                f"{self.warmup}"
            )

    def build(self, batch_size: int, steps: int) -> LearningRate:
        peak = self.learning_rate * batch_size / 256
        warmup = round(self.warmup * steps)
        return LearningRate(
            optax.warmup_cosine_decay_schedule(0.0, peak, warmup, max(steps, 1), end_value=0.0),
            peak,
        )


@dataclasses.dataclass(frozen=True)
class WarmupMilestones:
    """Rises linearly, stays, and is multiplied by a factor at each milestone.

    Attributes:
        learning_rate: the rate after the rise. It does not depend on the batch size.
        warmup_steps: steps in which the rate rises from a thousandth of it; 0: none.
        milestones: shares of all steps after which the rate is multiplied.
        factor: by this.

    Source: torchvision's detection references, which rise over 1,000 iterations from 1/1,000.
    """

    learning_rate: float
    warmup_steps: int = 0
    milestones: tuple[float, ...] = ()
    factor: float = 0.1

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(
                f"WarmupMilestones: learning_rate must be positive, got {self.learning_rate}"
            )
        if self.warmup_steps < 0:
            raise ValueError(
                f"WarmupMilestones: warmup_steps must be 0 or more, got {self.warmup_steps}"
            )
        if not all(0 < share < 1 for share in self.milestones) or not self.factor > 0:
            raise ValueError(
                "WarmupMilestones: milestones are shares of the steps between 0 and 1, and factor "
                f"is positive; got {self.milestones} and {self.factor}"
            )

    def build(self, batch_size: int, steps: int) -> LearningRate:
        peak = self.learning_rate
        falls = {round(share * steps): self.factor for share in self.milestones}
        constant = optax.piecewise_constant_schedule(peak, falls)
        warmup = min(self.warmup_steps, steps)
        if not warmup:
            return LearningRate(constant, peak)
        rising = optax.linear_schedule(peak / 1000, peak, warmup)

        def at(step: Any) -> Any:
            return jnp.where(step < warmup, rising(step), constant(step))

        return LearningRate(at, peak)


@dataclasses.dataclass(frozen=True)
class AdamW:
    """AdamW with MAE's values: betas (.9, .95), weight decay .05 on matrices only.

    Attributes:
        b1, b2, epsilon: the parameters of Adam.
        weight_decay: decoupled, and multiplied by the learning rate. Biases, norms, tokens and
            positions have none.
        clip_norm: gradients are clipped to this global norm; None: no clipping.
    """

    b1: float = 0.9
    b2: float = 0.95
    epsilon: float = 1e-8
    weight_decay: float = 0.05
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"AdamW: clip_norm must be positive or None, got {self.clip_norm}")

    def build(self, schedule: optax.Schedule) -> optax.GradientTransformation:
        adamw = optax.adamw(
            schedule, self.b1, self.b2, self.epsilon, weight_decay=self.weight_decay, mask=decayed
        )
        return (
            adamw
            if self.clip_norm is None
            else optax.chain(optax.clip_by_global_norm(self.clip_norm), adamw)
        )


@dataclasses.dataclass(frozen=True)
class Adam:
    """Adam with torch.optim.Adam's weight decay: an L2 term of the gradient of every parameter.

    Attributes:
        b1, b2, epsilon: the parameters of Adam.
        weight_decay: this factor times the parameter is added to its gradient, before the moments
            are computed.
    """

    b1: float = 0.9
    b2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def build(self, schedule: optax.Schedule) -> optax.GradientTransformation:
        return optax.chain(
            optax.add_decayed_weights(self.weight_decay),
            optax.adam(schedule, self.b1, self.b2, self.epsilon),
        )


@dataclasses.dataclass(frozen=True)
class LARS:
    """Layer-wise adaptive rates, as BYOL, VICReg and SimCLR use them.

    The gradient g of a matrix w becomes
    (g + weight_decay w) * trust_coefficient |w| / |g + weight_decay w|. Biases, norms, tokens and
    positions have neither decay nor adaptation. Momentum is applied afterwards.

    Attributes:
        momentum: the decay factor of the momentum buffer.
        weight_decay: an L2 term in the gradient (BYOL: 1.5e-6; VICReg, SimCLR: 1e-6).
        trust_coefficient: called eta in the original codes.
        rate_in_momentum: False: the learning rate multiplies the momentum buffer's value
            (deepmind-research's BYOL, facebookresearch/vicreg). True: it multiplies each update
            before it is added to the buffer (SimCLR's TF2 code, optax.lars). The two differ if the
            rate changes.

    Source: You et al., arXiv:1708.03888.
    """

    momentum: float = 0.9
    weight_decay: float = 1.5e-6
    trust_coefficient: float = 1e-3
    rate_in_momentum: bool = False

    def build(self, schedule: optax.Schedule) -> optax.GradientTransformation:
        rate, momentum = optax.scale_by_learning_rate(schedule), optax.trace(self.momentum)
        return optax.chain(
            optax.add_decayed_weights(self.weight_decay, mask=decayed),
            optax.masked(
                optax.scale_by_trust_ratio(trust_coefficient=self.trust_coefficient), decayed
            ),
            *((rate, momentum) if self.rate_in_momentum else (momentum, rate)),
        )


@dataclasses.dataclass(frozen=True)
class SGD:
    """torch.optim.SGD: the rate multiplies the momentum buffer; every parameter has weight decay.

    Attributes:
        momentum: the decay factor of the momentum buffer; 0: no momentum.
        weight_decay: an L2 term in the gradient.
        fixed_rate: top-level names of parameters whose learning rate is always the peak (SimSiam's
            "predictor").
        clip_norm: gradients are clipped to this global norm; None: no clipping.
    """

    momentum: float = 0.9
    weight_decay: float = 1e-4
    fixed_rate: tuple[str, ...] = ()
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"SGD: clip_norm must be positive or None, got {self.clip_norm}")

    def build(self, schedule: optax.Schedule) -> optax.GradientTransformation:
        """The optax transformation.

        Raises:
            ValueError: fixed_rate is set, and the schedule is not a LearningRate, so has no peak.
        """
        rate: optax.GradientTransformation = optax.scale_by_learning_rate(schedule)
        if self.fixed_rate:
            if not isinstance(schedule, LearningRate):
                raise ValueError(
                    "SGD: fixed_rate needs the peak of a LearningRate; got another schedule"
                )
            rates = {"fixed": optax.scale_by_learning_rate(schedule.peak), "scheduled": rate}
            rate = optax.multi_transform(rates, self._labels)
        clipping = () if self.clip_norm is None else (optax.clip_by_global_norm(self.clip_norm),)
        return optax.chain(
            *clipping,
            optax.add_decayed_weights(self.weight_decay),
            optax.trace(self.momentum),
            rate,
        )

    def _labels(self, params: PyTree) -> PyTree:
        missing = [name for name in self.fixed_rate if name not in params]
        if missing:
            raise ValueError(
                f"SGD: no parameters are named {missing[0]!r}; there are: {', '.join(params)}"
            )
        return {
            name: jax.tree.map(
                lambda _, name=name: "fixed" if name in self.fixed_rate else "scheduled", part
            )
            for name, part in params.items()
        }


Optimiser = AdamW | Adam | LARS | SGD
Schedule = WarmupCosine | WarmupMilestones | Constant


def decayed(params: PyTree) -> PyTree:
    """Whether each parameter has weight decay: those with two or more axes, except positions and
    tokens.
    """

    def is_decayed(path: tuple[jax.tree_util.DictKey, ...], leaf: Any) -> bool:
        name = str(path[-1].key) if path else ""
        return leaf.ndim >= 2 and not name.endswith(("token", "positions"))

    return jax.tree_util.tree_map_with_path(is_decayed, params)
