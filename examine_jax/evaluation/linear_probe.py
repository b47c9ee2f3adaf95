"""A linear probe: logistic regression on features, solved to its optimum."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from examine_jax.common.shapes import Array, Float, Int, Num
from examine_jax.evaluation.targets import as_targets, class_probabilities, summed_loss

_BLOCK = 4096  # rows whose logits are in memory at a time
_PATIENCE = 10  # stop after this many iterations without a lower loss: float32 cannot improve it


@dataclasses.dataclass(frozen=True)
class LinearProbe:
    """Multinomial logistic regression; for several labels an image, one binary regression a label.

    The loss is sum_i -log p(label_i) + l2 / 2 |weights|^2; the bias is not penalised. This is
    scikit-learn's LogisticRegression with C = 1 / l2.

    Attributes:
        l2: the penalty.
        standardise: whether each column of the features is first scaled to mean 0 and standard
            deviation 1 over the training images, so that the penalty does not depend on its scale.
        tolerance: the largest allowed entry of the gradient of the mean loss, with respect to the
            weights of the scaled features.
        max_iterations: the maximum number of L-BFGS iterations.
    """

    l2: float = 1.0
    standardise: bool = True
    tolerance: float = 1e-5
    max_iterations: int = 1000

    def __post_init__(self) -> None:
        if not self.l2 > 0:
            raise ValueError(
                f"LinearProbe: l2 must be positive, got {self.l2}; of separable classes nothing "
                "else is finite"
            )

    def fit(
        self,
        features: Num[Array | np.ndarray, "n d"],
        labels: Num[Array | np.ndarray, "labels *classes"],
        *,
        num_classes: int,
    ) -> "LinearClassifier":
        """Fits the probe to features [N, D].

        Memory beyond the arguments: one float32 copy of the features and blocks of fixed size.

        Args:
            features: [N, D].
            labels: a class [N], or zeros and ones [N, classes] for several labels an image.
            num_classes: the number of classes.

        Returns:
            The fitted classifier.

        Raises:
            ValueError: there is not one label a row, a label lies outside the classes, a class has
                no image, or features are not finite.
        """
        targets, multilabel = as_targets(labels, num_classes)
        values = np.asarray(features)
        count, width = values.shape
        if len(targets) != count:
            raise ValueError(f"{count} rows of features have {len(targets)} labels; give one each")
        mean, deviation = _moments(values)
        if self.standardise:
            # A constant column's deviation is only rounding; do not scale it (scikit-learn's
            # bound).
            noise = np.finfo(np.float64).eps * np.abs(mean) * count
            deviation = np.where(deviation > noise, deviation, 1)
        else:
            # One scale for all columns, undone below, gives L-BFGS a suitable first step length.
            deviation = np.full_like(deviation, np.sqrt(np.square(deviation).mean()) or 1)
        size = min(_BLOCK, count)
        num_blocks = -(-count // size)
        rows = np.zeros((num_blocks * size, width), np.float32)
        for start in range(0, count, size):
            block = values[start : start + size]
            rows[start : start + len(block)] = (block - mean) / deviation
        padded = np.zeros((num_blocks * size, *targets.shape[1:]), targets.dtype)
        padded[:count] = targets
        present = np.arange(num_blocks * size) < count
        blocks = tuple(
            x.reshape(num_blocks, size, *x.shape[1:])
            for x in (rows, padded, present.astype(np.float32))
        )
        penalty = self.l2 if self.standardise else self.l2 / deviation[0] ** 2
        (weights, bias), iterations, gradient = _minimise(
            *blocks,
            jnp.float32(penalty),
            num_classes,
            jnp.float32(self.tolerance),
            jnp.int32(self.max_iterations),
        )
        weights = np.asarray(weights, np.float64) / deviation[:, None]
        bias = np.asarray(bias, np.float64) - mean @ weights
        return LinearClassifier(
            weights,
            bias,
            multilabel,
            int(iterations),
            float(gradient),
            bool(gradient <= self.tolerance),
        )


@dataclasses.dataclass(frozen=True, eq=False)
class LinearClassifier:
    """A fitted linear probe; its logits are features @ weights + bias, without any scaling.

    Attributes:
        weights: [D, classes] float64.
        bias: [classes] float64.
        multilabel: whether an image may have several labels.
        iterations: the number of L-BFGS iterations.
        gradient: the largest entry of the final gradient.
        converged: whether `gradient` is within the tolerance.
    """

    weights: Float[np.ndarray, "d classes"]
    bias: Float[np.ndarray, " classes"]
    multilabel: bool
    iterations: int
    gradient: float
    converged: bool

    def scores(self, features: Num[Array | np.ndarray, "n d"]) -> Float[np.ndarray, "n classes"]:
        """Probabilities [N, classes] float32 of features [N, D]."""
        scores = np.empty((len(features), len(self.bias)), np.float32)
        for start in range(0, len(features), _BLOCK):
            logits = (
                np.asarray(features[start : start + _BLOCK]).astype(np.float64) @ self.weights
                + self.bias
            )
            scores[start : start + _BLOCK] = class_probabilities(logits, self.multilabel)
        return scores


def _moments(
    values: Num[np.ndarray, "n d"],
) -> tuple[Float[np.ndarray, " d"], Float[np.ndarray, " d"]]:
    """The mean and standard deviation [D] float64 of each column, a block of rows at a time.

    Raises:
        ValueError: features are not finite; the message names the rows.
    """
    starts = range(0, len(values), _BLOCK)
    bad = [
        start + np.flatnonzero(~np.isfinite(values[start : start + _BLOCK]).all(axis=1))
        for start in starts
    ]
    rows = np.concatenate(bad)
    if len(rows):
        raise ValueError(
            f"features of rows {rows[:8].tolist()} are not finite: leave these images out, or look "
            "at how they were embedded"
        )
    mean = sum(
        values[start : start + _BLOCK].sum(axis=0, dtype=np.float64) for start in starts
    ) / len(values)
    squares = sum(np.square(values[start : start + _BLOCK] - mean).sum(axis=0) for start in starts)
    return mean, np.sqrt(squares / len(values))


@functools.partial(jax.jit, static_argnames="num_classes")
def _minimise(
    rows: Float[Array, "blocks size d"],
    targets: Num[Array, "blocks size *classes"],
    present: Float[Array, "blocks size"],
    l2: Float[Array, ""],
    num_classes: int,
    tolerance: Float[Array, ""],
    max_iterations: Int[Array, ""],
) -> tuple[
    tuple[Float[Array, "d classes"], Float[Array, " classes"]], Int[Array, ""], Float[Array, ""]
]:
    """((weights, bias), iterations, largest entry of the gradient)."""
    count = present.sum()

    def objective(params: tuple[Array, Array]) -> Array:
        weights, bias = params

        @jax.checkpoint  # recomputes logits for the gradient: [N, classes] of them never exist
        def add(total: Array, block: tuple[Array, Array, Array]) -> tuple[Array, None]:
            own, target, mask = block
            logits = jnp.matmul(own, weights, precision=lax.Precision.HIGHEST) + bias
            return total + summed_loss(logits, target, mask), None

        total, _ = lax.scan(add, jnp.float32(0), (rows, targets, present))
        return (total + l2 / 2 * jnp.square(weights).sum()) / count

    def largest(tree: tuple[Array, Array]) -> Array:
        return jnp.maximum(*(jnp.abs(leaf).max() for leaf in tree))

    optimiser = optax.lbfgs(memory_size=20)
    value_and_grad = optax.value_and_grad_from_state(objective)

    def step(carry: tuple) -> tuple:
        params, state, iteration, lowest, since, _ = carry
        value, gradient = value_and_grad(params, state=state)
        updates, state = optimiser.update(
            gradient, state, params, value=value, grad=gradient, value_fn=objective
        )
        params = optax.apply_updates(params, updates)
        value, gradient = optax.tree.get(state, "value"), optax.tree.get(state, "grad")
        since = jnp.where(value < lowest, 0, since + 1)
        return params, state, iteration + 1, jnp.minimum(value, lowest), since, largest(gradient)

    def is_running(carry: tuple) -> Array:
        _, _, iteration, _, since, gradient = carry
        return (iteration < max_iterations) & (since < _PATIENCE) & (gradient > tolerance)

    start = (
        jnp.zeros((rows.shape[-1], num_classes), jnp.float32),
        jnp.zeros(num_classes, jnp.float32),
    )
    carry = (
        start,
        optimiser.init(start),
        jnp.int32(0),
        jnp.float32(jnp.inf),
        jnp.int32(0),
        jnp.float32(jnp.inf),
    )
    params, _, iterations, _, _, gradient = lax.while_loop(is_running, step, carry)
    return params, iterations, gradient
