"""Golden values and gradients (golden/make_ssl_losses.py), and their comparison with a loss."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

# What is compiled here runs once.
quickly = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture(scope="session")
def golden():
    with np.load(pathlib.Path(__file__).parents[2] / "golden" / "ssl_losses.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="session")
def check_against(golden):
    """check(loss, name): loss and gradients equal the golden ones, one shape also in float32."""

    def check(loss, name, shapes=("wide", "pair")):
        differentiate = quickly(jax.value_and_grad(loss, argnums=(0, 1)))
        for shape in shapes:
            views = golden[f"{shape}.first"], golden[f"{shape}.second"]
            expected = [
                golden[f"{shape}.{name}.{part}"]
                for part in ("value", "gradient.first", "gradient.second")
            ]
            with jax.enable_x64(True):
                value, gradients = differentiate(*(jnp.asarray(view) for view in views))
                assert value.dtype == jnp.float64
                compare((value, *gradients), expected, 1e-11, f"{name}, {shape}, float64")
            if shape == "wide":
                value, gradients = differentiate(
                    *(jnp.asarray(view, jnp.float32) for view in views)
                )
                assert value.dtype == jnp.float32
                compare((value, *gradients), expected, 2e-5, f"{name}, {shape}, float32")

    def compare(actual, expected, tolerance, what):
        for part, (ours, theirs) in enumerate(zip(actual, expected)):
            error = np.abs(np.asarray(ours, np.float64) - theirs).max()
            assert error <= tolerance * max(1, np.abs(theirs).max()), (
                f"{what}, part {part}: {error}"
            )

    return check
