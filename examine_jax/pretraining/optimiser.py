"""Optimisers and their schedules, as values."""

import dataclasses
from typing import Any

import jax
import optax

from examine_jax._shapes import PyTree


@dataclasses.dataclass(frozen=True)
class WarmupCosine:
    """Linear from zero to the peak over the first steps, then a cosine down to zero.

    Attributes:
        learning_rate: at a batch of 256; the peak is learning_rate * batch_size / 256 (Goyal et al., arXiv:1706.02677).
        warmup: share of the steps spent on the way up (facebookresearch/mae: 40 of 800 epochs).
    """

    learning_rate: float = 1.5e-4
    warmup: float = 0.05

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"WarmupCosine: learning_rate must be positive, got {self.learning_rate}")
        if not 0 <= self.warmup < 1:
            raise ValueError(f"WarmupCosine: warmup is a share of the steps, at least 0 and below 1, got {self.warmup}")

    def build(self, batch_size: int, steps: int) -> optax.Schedule:
        peak = self.learning_rate * batch_size / 256
        return optax.warmup_cosine_decay_schedule(0.0, peak, round(self.warmup * steps), max(steps, 1), end_value=0.0)


@dataclasses.dataclass(frozen=True)
class AdamW:
    """AdamW with MAE's values: betas (.9, .95), weight decay .05 on matrices alone.

    Attributes:
        b1, b2, epsilon: of Adam.
        weight_decay: decoupled, times the learning rate; not on biases, norms, tokens, positions.
        clip_norm: largest global norm of a gradient; None: not clipped.
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
        adamw = optax.adamw(schedule, self.b1, self.b2, self.epsilon, weight_decay=self.weight_decay, mask=decayed)
        return adamw if self.clip_norm is None else optax.chain(optax.clip_by_global_norm(self.clip_norm), adamw)


def decayed(params: PyTree) -> PyTree:
    """Which parameters weight decay pulls on: those of two axes or more, learned positions and tokens excepted."""

    def is_decayed(path: tuple[jax.tree_util.DictKey, ...], leaf: Any) -> bool:
        name = str(path[-1].key) if path else ""
        return leaf.ndim >= 2 and not name.endswith(("token", "positions"))

    return jax.tree_util.tree_map_with_path(is_decayed, params)
