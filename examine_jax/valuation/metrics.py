"""Metrics of a fitted model on the validation set; higher is better."""

import dataclasses
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Array, Float, Int, Num

METRICS = ("accuracy", "balanced_accuracy", "log_loss", "auroc")
MetricName = Literal["accuracy", "balanced_accuracy", "log_loss", "auroc"]


def chance(metric: MetricName, labels: Int[np.ndarray, " m"], num_classes: int) -> float:
    """The metric without a model, for a set that is not fitted.

    accuracy: the majority class' rate; balanced accuracy: 1 / classes; log loss: that of the
        classes' rates; AUROC: 1/2.

    Source: DataShapley's random score (Ghorbani & Zou 2019, their code).
    """
    rates = np.bincount(labels, minlength=num_classes) / len(labels)
    if metric == "accuracy":
        return float(rates.max())
    if metric == "balanced_accuracy":
        return 1 / num_classes
    if metric == "auroc":
        return 0.5
    return float(np.sum(rates[rates > 0] * np.log(rates[rates > 0])))


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric of decisions [m, columns] (columns: 1 for two classes, else a class each).

    Attributes:
        name: "accuracy"; "balanced_accuracy", the mean of the classes' accuracies; "log_loss",
            minus scikit-learn's; "auroc", for several classes the mean over classes of each against
            the rest (by probability).
        num_classes: K.
        one_against_rest: whether each column is fitted against the rest: probabilities are then
            sigmoids divided by their sum.
    """

    name: MetricName
    num_classes: int
    one_against_rest: bool

    def __call__(
        self,
        decisions: Float[Array, "m columns"],
        labels: Int[Array, " m"],
        weight: Num[Array, " m"],
    ) -> Float[Array, ""]:
        """The metric; `weight` counts each row that often (0: not at all)."""
        if self.name in ("accuracy", "balanced_accuracy"):
            right = (_predicted(decisions) == labels) * weight
            if self.name == "accuracy":
                return jnp.sum(right) / jnp.sum(weight)
            of_class = labels[None, :] == jnp.arange(self.num_classes)[:, None]
            total = jnp.sum(of_class * weight, axis=1)
            each = jnp.sum(jnp.where(of_class, right, 0), axis=1) / jnp.maximum(total, 1)
            return jnp.sum(each) / jnp.sum(total > 0)
        if self.name == "log_loss":
            return jnp.sum(
                weight * jnp.take_along_axis(self._log(decisions), labels[:, None], axis=1)[:, 0]
            ) / jnp.sum(weight)
        if decisions.shape[1] == 1:
            return auroc(decisions[:, 0], labels == 1, weight)
        columns = jax.vmap(lambda column, k: auroc(column, labels == k, weight), in_axes=(1, 0))
        return jnp.mean(columns(jnp.exp(self._log(decisions)), jnp.arange(self.num_classes)))

    def _log(self, decisions: Any) -> Any:
        """Logarithms of the classes' probabilities [m, K]."""
        if decisions.shape[1] == 1:
            both = jnp.concatenate([-decisions, decisions], axis=1)
            return jax.nn.log_sigmoid(both)
        if not self.one_against_rest:
            return jax.nn.log_softmax(decisions, axis=1)
        each = jax.nn.log_sigmoid(decisions)
        return each - jax.nn.logsumexp(each, axis=1, keepdims=True)


def _predicted(decisions: Any) -> Any:
    if decisions.shape[1] == 1:
        return (decisions[:, 0] > 0).astype(jnp.int32)
    return jnp.argmax(decisions, axis=1)


def auroc(scores: Float[Array, " m"], positive: Any, weight: Num[Array, " m"]) -> Float[Array, ""]:
    """The probability that a positive outranks a negative.

    Ties count half; NaN without positives or without negatives.
    """
    order = jnp.argsort(scores)
    scores, up, down = scores[order], (weight * positive)[order], (weight * ~positive)[order]
    below = jnp.cumsum(down)
    first = jnp.searchsorted(scores, scores, side="left")
    last = jnp.searchsorted(scores, scores, side="right")
    before = jnp.where(first > 0, below[first - 1], 0)
    return jnp.sum(up * (before + below[last - 1]) / 2) / (jnp.sum(up) * jnp.sum(down))
