"""Classifier heads, and the low-resource paper's probe: two layers on frozen features."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Array, Float, Key, Num, PyTree
from examine_jax.evaluation.classifier_training import Classifier, ClassifierTraining, train_classifier
from examine_jax.models.apply import init_network, run_network


@dataclasses.dataclass(frozen=True)
class ClassifierHead:
    """What turns features into logits.

    Attributes:
      hidden: width of the hidden layer, after which come batch norm and leaky ReLU; None: one linear layer alone.
      negative_slope: of the leaky ReLU; torch's default.
    """

    hidden: int | None = 512
    negative_slope: float = 0.01

    def module(self, num_classes: int) -> "_Head":
        return _Head(self.hidden, self.negative_slope, num_classes)


PAPER_HEAD = ClassifierHead()
PAPER_TRAINING = ClassifierTraining()
LINEAR_HEAD = ClassifierHead(hidden=None)


class _Head(nn.Module):
    hidden: int | None
    negative_slope: float
    num_classes: int

    @nn.compact
    def __call__(self, features: Float[Array, "b d"], *, train: bool = False) -> Float[Array, "b classes"]:
        x = features.astype(jnp.float32)
        if self.hidden is not None:
            # No bias: batch norm takes it out again, and Adam would make a random walk of the rounding in its gradient.
            x = _dense(self.hidden, x.shape[-1], "hidden", use_bias=False)(x)
            x = _BatchNorm(name="norm")(x, train=train)
            x = nn.leaky_relu(x, self.negative_slope)
        return _dense(self.num_classes, x.shape[-1], "logits")(x)


class _BatchNorm(nn.Module):
    """PyTorch's: the running variance moves towards the batch's with B - 1 in the denominator, where Flax's has B."""

    @nn.compact
    def __call__(self, x: Float[Array, "b d"], *, train: bool) -> Float[Array, "b d"]:
        width = x.shape[-1]
        scale = self.param("scale", nn.initializers.ones, (width,))
        bias = self.param("bias", nn.initializers.zeros, (width,))
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, width)
        running_variance = self.variable("batch_stats", "var", jnp.ones, width)
        mean, variance = running_mean.value, running_variance.value
        if train:
            if len(x) < 2:
                raise ValueError(
                    "a batch of one image: the probe's batch norm needs two at least; choose a larger batch_size"
                )
            mean, variance = x.mean(axis=0), x.var(axis=0)
            running_mean.value = 0.9 * running_mean.value + 0.1 * mean
            running_variance.value = 0.9 * running_variance.value + 0.1 * variance * len(x) / (len(x) - 1)
        return (x - mean) * (jax.lax.rsqrt(variance + 1e-5) * scale) + bias


def _dense(width: int, inputs: int, name: str, use_bias: bool = True) -> nn.Dense:
    # torch.nn.Linear's start: weights and biases uniform in +-1/sqrt(inputs).
    def uniform(key: Array, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -(inputs**-0.5), inputs**-0.5)

    return nn.Dense(width, kernel_init=uniform, bias_init=uniform, use_bias=use_bias, name=name)


@dataclasses.dataclass(frozen=True)
class HeadOnFeatures:
    """A head alone, trained on features that are there already."""

    head: ClassifierHead
    width: int
    num_classes: int

    def init(self, key: Key[Array, ""], fixed: PyTree) -> tuple[PyTree, PyTree]:
        return init_network(self.head.module(self.num_classes), key, jnp.zeros((1, self.width)))

    def logits(
        self, params: PyTree, batch_stats: PyTree, fixed: PyTree, inputs: Array, key: Key[Array, ""], *, train: bool
    ) -> tuple[Float[Array, "b classes"], PyTree]:
        return run_network(self.head.module(self.num_classes), params, batch_stats, inputs, train=train)


def two_layer_probe(
    features: Num[Array | np.ndarray, "n d"],
    labels: Num[Array | np.ndarray, "n *classes"],
    *,
    num_classes: int,
    training: ClassifierTraining = PAPER_TRAINING,
    head: ClassifierHead = PAPER_HEAD,
) -> Classifier:
    """The low-resource paper's "linear" probe: D - 512 - batch norm - leaky ReLU - classes on frozen features [N, D].

    100 epochs of Adam, its learning rate halved every 25. Features come from an encoder in evaluation mode. The paper's released code
    leaves the backbone in training mode, so that its batch norms see (and learn from) the labelled batches: this does not copy that.

    Args:
      labels: a class [N], or 0 and 1 [N, classes] for several labels an image.

    Raises:
      ValueError: a batch of one image, of which a batch norm learns nothing; as `train_classifier`.
    """
    network = HeadOnFeatures(head, features.shape[1], num_classes)
    return train_classifier(network, {}, np.asarray(features), labels, training)
