"""Training of a classifier by minibatches: a head on features, or a whole network on images."""

import dataclasses
import functools
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from examine_jax.common.byte_order import native
from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import Array, Float, Key, Num, PyTree, Shaped
from examine_jax.evaluation.targets import as_targets, class_probabilities, summed_loss
from examine_jax.training.batches import BatchOrder
from examine_jax.training.layer_decay import with_layer_decay
from examine_jax.training.method import Batch
from examine_jax.training.optimiser import Adam, Constant, LearningRate, Optimiser, WarmupCosine
from examine_jax.training.step import TrainState, initial_state, make_step


class DivergedError(ValueError):
    """A classifier's loss became NaN or infinite."""


@dataclasses.dataclass(frozen=True)
class StepDecay:
    """The learning rate is multiplied by `factor` every so many epochs, as by torch's StepLR."""

    learning_rate: float = 0.01
    every_epochs: int = 25
    factor: float = 0.5

    def __post_init__(self) -> None:
        if not (self.learning_rate > 0 and self.every_epochs >= 1 and self.factor > 0):
            raise ValueError(
                f"StepDecay: learning_rate, every_epochs and factor must be positive, got {self}"
            )


@dataclasses.dataclass(frozen=True)
class ClassifierTraining:
    """How a classifier is trained; the defaults are those of the low-resource paper's probe.

    Attributes:
        epochs: passes over the images; images left over after the last whole batch of an epoch are
            not used in that epoch.
        batch_size: images a step; all of them if there are fewer.
        optimiser: the optimiser.
        schedule: the learning rate by step.
        seed: of the initial head, the order of the images and augmentation.
        kept_epochs: the epochs, from 1, whose parameters are kept for influences.
        layer_decay: each layer of an encoder that is fine-tuned has this factor times the learning
            rate of the layer after it; None: all have one rate.

    Source: section 3.1 and table 1 of that paper.
    """

    epochs: int = 100
    batch_size: int = 16
    optimiser: Optimiser = dataclasses.field(default_factory=Adam)
    schedule: StepDecay | WarmupCosine | Constant = dataclasses.field(default_factory=StepDecay)
    seed: int = 0
    kept_epochs: tuple[int, ...] = ()
    layer_decay: float | None = None

    def __post_init__(self) -> None:
        if not all(1 <= epoch <= self.epochs for epoch in self.kept_epochs):
            raise ValueError(
                f"ClassifierTraining: kept_epochs {self.kept_epochs} must lie in 1 .. {self.epochs}"
            )
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError(
                f"ClassifierTraining: epochs {self.epochs} and batch_size {self.batch_size} must "
                "be positive"
            )

    def learning_rate(self, batch_size: int, steps_per_epoch: int) -> LearningRate:
        """The learning rate by step."""
        schedule = self.schedule
        if not isinstance(schedule, StepDecay):
            return schedule.build(batch_size, self.epochs * steps_per_epoch)
        every = schedule.every_epochs * steps_per_epoch

        def decayed(step: Any) -> Array:
            # optax.exponential_decay divides in float32, and so decays a step late for many
            # lengths.
            return schedule.learning_rate * schedule.factor ** (
                jnp.asarray(step, jnp.int32) // every
            )

        return LearningRate(decayed, schedule.learning_rate)


@runtime_checkable
class Network(Protocol):
    """What is trained: a hashable value with two functions.

    `fixed` are variables that never change.
    """

    def __hash__(self) -> int: ...

    @property
    def num_classes(self) -> int:
        """The number of logits."""

    def init(self, key: Key[Array, ""], fixed: PyTree) -> tuple[PyTree, PyTree]:
        """The initial (params, batch_stats)."""

    def logits(
        self,
        params: PyTree,
        batch_stats: PyTree,
        fixed: PyTree,
        inputs: Shaped[Array, "b ..."],
        key: Key[Array, ""],
        *,
        train: bool,
    ) -> tuple[Float[Array, "b classes"], PyTree]:
        """(logits, batch_stats); in training it augments the inputs, from the key."""


class Kept(NamedTuple):
    """The variables after an epoch, and the learning rate of its last step."""

    epoch: int
    params: PyTree
    batch_stats: PyTree
    learning_rate: float


@dataclasses.dataclass(frozen=True, eq=False)
class Classifier:
    """A trained classifier.

    Attributes:
        network, params, batch_stats, fixed: the arguments of `network.logits`.
        multilabel: whether an image can have several labels.
        losses: the training loss of each step, [steps] float32.
        kept: the epochs `kept_epochs`, in order.
    """

    network: Network
    params: PyTree
    batch_stats: PyTree
    fixed: PyTree
    multilabel: bool
    losses: Float[np.ndarray, " steps"]
    kept: tuple[Kept, ...]

    def scores(self, inputs: Any, *, batch_size: int = 256) -> Float[np.ndarray, "n classes"]:
        """Probabilities [N, classes] float32 of features or images [N, ...], in evaluation mode."""
        scores = np.empty((len(inputs), self.network.num_classes), np.float32)
        for start in range(0, len(inputs), batch_size):
            rows = np.arange(start, min(start + batch_size, len(inputs)), dtype=np.int32)
            batch = native(np.asarray(inputs[rows]))
            padded = np.zeros(
                (batch_size, *batch.shape[1:]), batch.dtype
            )  # one program serves the last batch too
            padded[: len(batch)] = batch
            logits = _evaluate(self.network, self.params, self.batch_stats, self.fixed, padded)
            scores[rows] = class_probabilities(np.asarray(logits)[: len(batch)], self.multilabel)
        return scores


def train_classifier(
    network: Network,
    fixed: PyTree,
    inputs: Any,
    labels: Num[Array | np.ndarray, "n *classes"],
    training: ClassifierTraining,
) -> Classifier:
    """Trains a network from its initial parameters; a pure function of its arguments.

    The loss is the mean over images of the cross-entropy. One batch of inputs is on the device at a
    time.

    Args:
        network: what is trained.
        fixed: the network's variables that do not change.
        inputs: features or images: anything with len() and [int32 indices].
        labels: a class [N], or 0 and 1 [N, classes] for several labels an image.
        training: how it is trained.

    Raises:
        ValueError: a label outside the classes, another number of labels than inputs, or a class
            without an image.
        DivergedError: a ValueError; the loss is not finite.
    """
    # With 64-bit types, uniform and normal draws would be others, and so would be the parameters.
    with jax.enable_x64(False):
        return _train(network, fixed, inputs, labels, training)


def _train(
    network: Network,
    fixed: PyTree,
    inputs: Any,
    labels: Num[Array | np.ndarray, "n *classes"],
    training: ClassifierTraining,
) -> Classifier:
    targets, multilabel = as_targets(labels, network.num_classes)
    if len(targets) != len(inputs):
        raise ValueError(f"{len(inputs)} images have {len(targets)} labels; give one each")
    order = BatchOrder(len(inputs), min(training.batch_size, len(inputs)), training.seed)
    init_key, key = jax.random.split(jax.random.key(training.seed))
    program = _Program(
        network,
        dataclasses.replace(training, seed=0, kept_epochs=()),
        order.batch_size,
        order.steps_per_epoch,
    )
    state = initial_state(_Supervised(network), program.optimiser, init_key, {"fixed": fixed})
    losses: list[Array] = []
    kept = []
    for epoch in range(training.epochs):
        for rows in order.indices(epoch * order.steps_per_epoch, order.steps_per_epoch):
            given = native(np.asarray(inputs[rows]))
            batch = {"input": given, "target": targets[rows], "fixed": fixed}
            state, loss = _step(program, state, batch, key)
            losses.append(loss)
        if not np.isfinite(losses[-1]):
            raise DivergedError(
                f"the classifier's loss is {float(losses[-1])} in epoch {epoch + 1}: try a lower "
                "learning rate, and look for inputs "
                "that are not finite"
            )
        if epoch + 1 in training.kept_epochs:
            # Copies: the next step overwrites the state.
            params, batch_stats = on_device((state.params, state.method_state))
            kept.append(
                Kept(epoch + 1, params, batch_stats, float(program.learning_rate(len(losses) - 1)))
            )
    losses_on_host = np.array(losses, np.float32)
    return Classifier(
        network, state.params, state.method_state, fixed, multilabel, losses_on_host, tuple(kept)
    )


@dataclasses.dataclass(frozen=True)
class _Supervised:
    """A network in the shape that the step trains: the mean cross-entropy of "input" and "target".

    The batch also has the network's "fixed" variables: an argument of the program, not a constant.
    """

    network: Network

    def init(self, key: Key[Array, ""], batch: Batch) -> tuple[PyTree, PyTree]:
        """The network's parameters and batch statistics."""
        return self.network.init(key, batch["fixed"])

    def loss(
        self, params: PyTree, state: PyTree, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, dict[str, Float[Array, ""]]]]:
        """Mean over images of the cross-entropy."""
        inputs, targets = batch["input"], batch["target"]
        logits, batch_stats = self.network.logits(
            params, state, batch["fixed"], inputs, key, train=True
        )
        return summed_loss(logits, targets, jnp.full(len(inputs), 1 / len(inputs))), (
            batch_stats,
            {},
        )

    def after_update(self, params: PyTree, state: PyTree, step: Shaped[Array, ""]) -> PyTree:
        return state


@dataclasses.dataclass(frozen=True)
class _Program:
    """The static argument of the compiled step: runs that differ only in their seeds share it."""

    network: Network
    training: ClassifierTraining
    batch_size: int
    steps_per_epoch: int

    @property
    def learning_rate(self) -> LearningRate:
        return self.training.learning_rate(self.batch_size, self.steps_per_epoch)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        return with_layer_decay(
            self.training.optimiser.build(self.learning_rate), self.training.layer_decay
        )


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def _step(
    program: _Program, state: TrainState, batch: Batch, key: Array
) -> tuple[TrainState, Array]:
    state, metrics = make_step(_Supervised(program.network), program.optimiser)(state, batch, key)
    return state, metrics["loss"]


@functools.partial(jax.jit, static_argnums=0)
def _evaluate(
    network: Network, params: PyTree, batch_stats: PyTree, fixed: PyTree, inputs: Array
) -> Array:
    return network.logits(params, batch_stats, fixed, inputs, jax.random.key(0), train=False)[0]
