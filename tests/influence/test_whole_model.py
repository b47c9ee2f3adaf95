"""TracIn, against captum's and per-sample gradients taken one by one."""

import itertools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from examine_jax.influence import (
    Checkpoint,
    LayerPass,
    cross_entropy_gradients,
    last_layer_self_influence,
    last_layer_tracin,
    self_influence,
    tracin,
)

_GOLDEN = dict(np.load(pathlib.Path(__file__).parent.parent / "golden" / "tracin.npz"))


def _hidden(params, x):
    return jnp.tanh(x @ params["hidden.weight"].T + params["hidden.bias"])


def _logits(params, x):
    return _hidden(params, x) @ params["last.weight"].T + params["last.bias"]


def _loss(params, example):
    return optax.softmax_cross_entropy_with_integer_labels(
        _logits(params, example["input"]), example["label"]
    )


def _checkpoints(dtype):
    names = ("hidden.weight", "hidden.bias", "last.weight", "last.bias")
    return [
        Checkpoint(
            {name: jnp.asarray(_GOLDEN[f"{i}.{name}"], dtype) for name in names},
            float(_GOLDEN[f"{i}.learning_rate"]),
        )
        for i in range(3)
    ]


def _examples(part, dtype):
    return {
        "input": _GOLDEN[f"{part}_input"].astype(dtype),
        "label": _GOLDEN[f"{part}_label"].astype(np.int32),
    }


_DTYPES = pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 2e-5), (np.float64, 1e-10)])
_BLOCKS = pytest.mark.parametrize(
    ("batch_size", "block_bytes"),
    [(64, 2**28), (4, 2**28), (2, 4000), (64, 1)],
    ids=["one block", "ragged batches", "ragged blocks", "one by one"],
)


@_DTYPES
@_BLOCKS
def test_influences_are_captum_s(dtype, tolerance, batch_size, block_bytes):
    with jax.enable_x64(dtype == np.float64):
        memory = {"batch_size": batch_size, "block_bytes": block_bytes}
        found = tracin(
            _loss,
            _checkpoints(dtype),
            _examples("train", dtype),
            _examples("test", dtype),
            **memory,
        )
        matrix = found.matrix()
        assert matrix.dtype == dtype
        np.testing.assert_allclose(
            matrix, _GOLDEN["whole.influence"].T, rtol=tolerance, atol=tolerance
        )
        extremes = found.extremes(4)
        np.testing.assert_array_equal(extremes.helpful, _GOLDEN["helpful"])
        np.testing.assert_array_equal(extremes.harmful, _GOLDEN["harmful"])
        own = self_influence(_loss, _checkpoints(dtype), _examples("train", dtype), **memory)
    np.testing.assert_allclose(own, _GOLDEN["whole.self_influence"], rtol=tolerance)


@_DTYPES
@pytest.mark.parametrize(("bias", "name"), [(True, "last"), (False, "last_without_bias")])
def test_closed_form_of_the_last_layer_is_captum_s(dtype, tolerance, bias, name):
    with jax.enable_x64(dtype == np.float64):

        def passes(part):
            examples = _examples(part, dtype)
            return [
                LayerPass(
                    _hidden(params, examples["input"]),
                    cross_entropy_gradients(
                        _logits(params, examples["input"]), jnp.asarray(examples["label"])
                    ),
                    rate,
                )
                for params, rate, _ in _checkpoints(dtype)
            ]

        matrix = last_layer_tracin(passes("train"), passes("test"), bias=bias).matrix()
        np.testing.assert_allclose(
            matrix, _GOLDEN[f"{name}.influence"].T, rtol=tolerance, atol=tolerance
        )
        own = last_layer_self_influence(passes("train"), bias=bias)
    np.testing.assert_allclose(own, _GOLDEN[f"{name}.self_influence"], rtol=tolerance)


def _dot(params, example):
    return jnp.sum(params * example)


class _Normed(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(4, (3, 3))(x))
        x = nn.LayerNorm()(x).mean(axis=(1, 2))
        return nn.Dense(3, use_bias=False)(x)


def test_of_a_convolutional_network_agrees_with_gradients_one_by_one():
    rng = np.random.default_rng(0)
    images, labels = rng.random((7, 6, 6, 2)).astype(np.float32), rng.integers(0, 3, 7)
    module = _Normed()
    checkpoints = [
        Checkpoint(module.init(jax.random.key(i), images[:1]), rate)
        for i, rate in enumerate((0.3, 0.7))
    ]

    def loss(params, example):
        logits = module.apply(params, example[0][None])[0]
        return optax.softmax_cross_entropy_with_integer_labels(logits, example[1])

    found = tracin(
        loss, checkpoints, (images, labels), (images[:3], labels[:3]), block_bytes=2000
    ).matrix()
    expected = np.zeros((7, 3))
    for params, rate, _ in checkpoints:
        gradients = [
            np.concatenate(
                [np.ravel(leaf) for leaf in jax.tree.leaves(jax.grad(loss)(params, (image, label)))]
            )
            for image, label in zip(images, labels)
        ]
        expected += rate * np.array(gradients) @ np.array(gradients[:3]).T
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    own = self_influence(loss, checkpoints, (images, labels))
    np.testing.assert_allclose(own[:3], np.diag(expected[:3]), rtol=1e-5)


@pytest.mark.parametrize(("batch_size", "most"), [(64, 64), (5, 5), (1000, 300)])
def test_gradients_of_no_more_than_a_batch_of_images_are_computed_at_once(batch_size, most):
    at_once = []

    def looked_at(values):
        at_once.append(values.size)
        return np.ones_like(values)

    def loss(params, example):
        one = jax.pure_callback(
            looked_at, jax.ShapeDtypeStruct((), jnp.float32), example[0], vmap_method="expand_dims"
        )
        return one * jnp.sum(params * example)

    examples, test = (
        np.random.default_rng(0).random((300, 3), np.float32),
        np.ones((20, 3), np.float32),
    )
    checkpoints = [Checkpoint(np.zeros(3, np.float32), 0.5)]
    found = tracin(loss, checkpoints, examples, test, batch_size=batch_size).matrix()
    np.testing.assert_allclose(found, 0.5 * examples @ test.T, rtol=1e-6)
    assert max(at_once) == most
    at_once.clear()
    own = self_influence(loss, checkpoints, examples, batch_size=batch_size)
    np.testing.assert_allclose(own, 0.5 * (examples**2).sum(axis=1), rtol=1e-6)
    assert max(at_once) == most


@pytest.mark.parametrize("block_bytes", [2**28, 2**20, 2**16])
def test_blocks_of_a_network_of_few_parameters_are_bounded_too(block_bytes):
    examples = np.random.default_rng(0).random((4000, 8), np.float32)
    found = tracin(
        _dot,
        [Checkpoint(np.zeros(8, np.float32), 1.0)],
        examples,
        examples,
        block_bytes=block_bytes,
    )
    # Beside a block there are its sums and the test images' gradients.
    for block in itertools.islice(found.blocks(), 2):
        assert block.values.nbytes <= block_bytes / 4
        rows, columns = block.values.shape
        own = examples[block.train_start : block.train_start + rows]
        np.testing.assert_allclose(block.values, own @ examples[:columns].T, rtol=1e-5)


def test_gradients_of_half_precision_do_not_overflow():
    examples = np.full((2, 3), 3e4, np.float16)
    checkpoints = [Checkpoint(np.zeros(3, np.float16), 1.0)]
    expected = (examples.astype(np.float32) ** 2).sum(axis=1)
    found = tracin(_dot, checkpoints, examples, examples).matrix()
    np.testing.assert_allclose(found, np.broadcast_to(expected, (2, 2)))
    np.testing.assert_allclose(self_influence(_dot, checkpoints, examples), expected)
    assert found.dtype == np.float32


def test_what_is_behind_a_stop_gradient_does_not_count():
    def loss(variables, example):
        params = {
            **variables,
            **jax.lax.stop_gradient(
                {name: variables[name] for name in variables if "hidden" in name}
            ),
        }
        return _loss(params, example)

    found = tracin(
        loss,
        _checkpoints(np.float32),
        _examples("train", np.float32),
        _examples("test", np.float32),
    )
    np.testing.assert_allclose(found.matrix(), _GOLDEN["last.influence"].T, rtol=2e-5, atol=2e-5)


def test_constants_of_a_checkpoint_are_what_its_loss_is_given_beside_the_parameters():
    checkpoints, train, test = (
        _checkpoints(np.float32),
        _examples("train", np.float32),
        _examples("test", np.float32),
    )
    for part in (0, 1):  # some of the parameters held fast: as if they were the whole
        divided = []
        for params, rate, _ in checkpoints:
            names = sorted(params)[part::2]
            divided.append(
                Checkpoint(
                    {n: params[n] for n in names},
                    rate,
                    {n: params[n] for n in params if n not in names},
                )
            )

        def loss(params, example, constants):
            return _loss({**params, **constants}, example)

        def by_hand(variables, example, names=tuple(divided[0].constants)):
            return _loss(
                {**variables, **jax.lax.stop_gradient({n: variables[n] for n in names})}, example
            )

        expected = tracin(by_hand, checkpoints, train, test).matrix()
        np.testing.assert_allclose(
            tracin(loss, divided, train, test).matrix(), expected, rtol=1e-5, atol=1e-6
        )
        own = self_influence(by_hand, checkpoints, train)
        np.testing.assert_allclose(self_influence(loss, divided, train), own, rtol=1e-5, atol=1e-6)


def test_a_positive_influence_lowers_the_test_loss_when_a_step_is_taken():
    params = _checkpoints(np.float32)[0].params
    train, test = _examples("train", np.float32), _examples("test", np.float32)
    influence = tracin(_loss, [Checkpoint(params, 1.0)], train, test).matrix()
    rate, change = 1e-3, np.empty_like(influence)
    for i in range(len(influence)):
        gradient = jax.grad(_loss)(params, jax.tree.map(lambda leaf, i=i: leaf[i], train))
        moved = jax.tree.map(lambda p, g: p - rate * g, params, gradient)
        before, after = (jax.vmap(_loss, (None, 0))(p, test) for p in (params, moved))
        change[i] = (before - after) / rate
    np.testing.assert_allclose(change, influence, atol=0.02 * np.abs(influence).max())


@pytest.mark.parametrize("call", [tracin, self_influence])
def test_without_a_checkpoint_or_a_batch_there_is_no_influence(call):
    examples = [_examples("train", np.float32)] * (2 if call is tracin else 1)
    with pytest.raises(ValueError, match="no checkpoint"):
        call(_loss, [], *examples)
    with pytest.raises(ValueError, match="batch_size is 0"):
        call(_loss, _checkpoints(np.float32), *examples, batch_size=0)


def test_examples_of_two_lengths_are_refused():
    bad = {"input": np.zeros((3, 5), np.float32), "label": np.zeros(4, np.int32)}
    with pytest.raises(ValueError, match=r"train: .* lengths \[3, 4\]"):
        tracin(_loss, _checkpoints(np.float32), bad, bad)
