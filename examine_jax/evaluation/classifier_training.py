"""Training of a classifier by minibatches: one jitted step for heads on features and for whole networks on images."""

import dataclasses
import functools
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
import optax

from examine_jax.common.shapes import Array, Float, Key, Num, PyTree, Shaped
from examine_jax.evaluation.targets import as_targets, probabilities, summed_loss
from examine_jax.training.batches import BatchOrder
from examine_jax.training.optimiser import Adam, Constant, LearningRate, Optimiser, WarmupCosine


class DivergedError(ValueError):
    """A classifier's loss became NaN or infinite."""


@dataclasses.dataclass(frozen=True)
class StepDecay:
    """A learning rate that is multiplied by `factor` every so many epochs (torch.optim.lr_scheduler.StepLR)."""

    learning_rate: float = 0.01
    every_epochs: int = 25
    factor: float = 0.5

    def __post_init__(self) -> None:
        if not (self.learning_rate > 0 and self.every_epochs >= 1 and self.factor > 0):
            raise ValueError(f"StepDecay: learning_rate, every_epochs and factor must be positive, got {self}")


@dataclasses.dataclass(frozen=True)
class ClassifierTraining:
    """How a classifier is trained; the defaults are those of the low-resource paper's probe (section 3.1, table 1).

    Attributes:
      epochs: passes over the images; what is left over when an epoch is cut into batches sits that epoch out.
      batch_size: images a step; all of them where there are fewer.
      optimiser, schedule: as values.
      seed: of the initial head, of the order of the images and of augmentation.
      kept_epochs: after which parameters are kept beside the last ones, for influences; from 1.
    """

    epochs: int = 100
    batch_size: int = 16
    optimiser: Optimiser = dataclasses.field(default_factory=Adam)
    schedule: StepDecay | WarmupCosine | Constant = dataclasses.field(default_factory=StepDecay)
    seed: int = 0
    kept_epochs: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not all(1 <= epoch <= self.epochs for epoch in self.kept_epochs):
            raise ValueError(f"ClassifierTraining: kept_epochs {self.kept_epochs} must lie in 1 .. {self.epochs}")
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError(
                f"ClassifierTraining: epochs {self.epochs} and batch_size {self.batch_size} must be positive"
            )

    def learning_rate(self, batch_size: int, steps_per_epoch: int) -> LearningRate:
        """By step."""
        schedule = self.schedule
        if not isinstance(schedule, StepDecay):
            return schedule.build(batch_size, self.epochs * steps_per_epoch)
        every = schedule.every_epochs * steps_per_epoch

        def decayed(step: Any) -> Array:
            # optax.exponential_decay divides in float32, which is a step late for many lengths.
            return schedule.learning_rate * schedule.factor ** (jnp.asarray(step, jnp.int32) // every)

        return LearningRate(decayed, schedule.learning_rate)


@runtime_checkable
class Network(Protocol):
    """What is trained: a hashable value with two functions. `fixed` are variables that are used and never change."""

    def __hash__(self) -> int: ...

    @property
    def num_classes(self) -> int:
        """How many logits it gives."""

    def init(self, key: Key[Array, ""], fixed: PyTree) -> tuple[PyTree, PyTree]:
        """(params, batch_stats) at the start."""

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
        """(logits, batch_stats); augments from the key when it is trained."""


class Kept(NamedTuple):
    """An epoch of the training: variables after it, and the learning rate of its last step."""

    epoch: int
    params: PyTree
    batch_stats: PyTree
    learning_rate: float


@dataclasses.dataclass(frozen=True, eq=False)
class Classifier:
    """A trained classifier.

    Attributes:
      network, params, batch_stats, fixed: what `network.logits` takes.
      multilabel: whether labels do not exclude each other.
      losses: the training loss of each step, [steps] float32.
      kept: the epochs that the training was told to keep, in their order.
    """

    network: Network
    params: PyTree
    batch_stats: PyTree
    fixed: PyTree
    multilabel: bool
    losses: Float[np.ndarray, " steps"]
    kept: tuple[Kept, ...]

    def scores(self, inputs: Any, *, batch_size: int = 256) -> Float[np.ndarray, "n classes"]:
        """Probabilities [N, classes] float32 of features or images [N, ...], a batch at a time, everything in evaluation mode."""
        scores = np.empty((len(inputs), self.network.num_classes), np.float32)
        for start in range(0, len(inputs), batch_size):
            rows = np.arange(start, min(start + batch_size, len(inputs)), dtype=np.int32)
            batch = np.asarray(inputs[rows])
            padded = np.zeros((batch_size, *batch.shape[1:]), batch.dtype)  # one program serves the last batch too
            padded[: len(batch)] = batch
            logits = _evaluate(self.network, self.params, self.batch_stats, self.fixed, padded)
            scores[rows] = probabilities(np.asarray(logits)[: len(batch)], self.multilabel)
        return scores


def train_classifier(
    network: Network,
    fixed: PyTree,
    inputs: Any,
    labels: Num[Array | np.ndarray, "n *classes"],
    training: ClassifierTraining,
) -> Classifier:
    """Trains `network` on inputs (anything with len() and [int32 indices]) from its initial parameters.

    A pure function of its arguments. One batch of inputs is on the device at a time.

    Args:
      labels: a class [N], or 0 and 1 [N, classes] for several labels an image; the loss is the mean over images of the cross-entropy.

    Raises:
      ValueError: labels outside the classes or not one an input, a class without an image.
      DivergedError: a ValueError; a loss that is not finite.
    """
    targets, multilabel = as_targets(labels, network.num_classes)
    if len(targets) != len(inputs):
        raise ValueError(f"{len(inputs)} images have {len(targets)} labels; give one each")
    order = BatchOrder(len(inputs), min(training.batch_size, len(inputs)), training.seed)
    init_key, key = jax.random.split(jax.random.key(training.seed))
    params, batch_stats = network.init(init_key, fixed)
    program = _Program(
        network, dataclasses.replace(training, seed=0, kept_epochs=()), order.batch_size, order.steps_per_epoch
    )
    state = _State(jnp.zeros((), jnp.int32), params, batch_stats, program.optimiser.init(params))
    losses: list[Array] = []
    kept = []
    for epoch in range(training.epochs):
        for rows in order.indices(epoch * order.steps_per_epoch, order.steps_per_epoch):
            state, loss = _step(program, state, fixed, np.asarray(inputs[rows]), targets[rows], key)
            losses.append(loss)
        if not np.isfinite(losses[-1]):
            raise DivergedError(
                f"the classifier's loss is {float(losses[-1])} in epoch {epoch + 1}: try a lower learning rate, and look for inputs "
                "that are not finite"
            )
        if epoch + 1 in training.kept_epochs:
            # Copies: the next step overwrites the state.
            params, batch_stats = jax.tree.map(jnp.array, (state.params, state.batch_stats))
            kept.append(Kept(epoch + 1, params, batch_stats, float(program.learning_rate(len(losses) - 1))))
    losses_at_hand = np.array(losses, np.float32)
    return Classifier(network, state.params, state.batch_stats, fixed, multilabel, losses_at_hand, tuple(kept))


class _State(NamedTuple):
    step: Array
    params: PyTree
    batch_stats: PyTree
    optimiser_state: PyTree


@dataclasses.dataclass(frozen=True)
class _Program:
    """What is compiled for: runs that differ in their seeds alone share it."""

    network: Network
    training: ClassifierTraining
    batch_size: int
    steps_per_epoch: int

    @property
    def learning_rate(self) -> LearningRate:
        return self.training.learning_rate(self.batch_size, self.steps_per_epoch)

    @property
    def optimiser(self) -> optax.GradientTransformation:
        return self.training.optimiser.build(self.learning_rate)


@functools.partial(jax.jit, static_argnums=0, donate_argnums=1)
def _step(
    program: _Program, state: _State, fixed: PyTree, inputs: Array, targets: Array, key: Array
) -> tuple[_State, Array]:
    step_key = jax.random.fold_in(key, state.step)

    def loss_of(params: PyTree) -> tuple[Array, PyTree]:
        logits, batch_stats = program.network.logits(params, state.batch_stats, fixed, inputs, step_key, train=True)
        return summed_loss(logits, targets, jnp.full(len(inputs), 1 / len(inputs))), batch_stats

    (loss, batch_stats), gradient = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    updates, optimiser_state = program.optimiser.update(gradient, state.optimiser_state, state.params)
    return _State(state.step + 1, optax.apply_updates(state.params, updates), batch_stats, optimiser_state), loss


@functools.partial(jax.jit, static_argnums=0)
def _evaluate(network: Network, params: PyTree, batch_stats: PyTree, fixed: PyTree, inputs: Array) -> Array:
    return network.logits(params, batch_stats, fixed, inputs, jax.random.key(0), train=False)[0]
