"""A method whose every loss is nan, for a while."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax.numpy as jnp
import pytest

from examine_jax.training.programs import _programs


@contextmanager
def diverging(method: type, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    loss: Any = method.loss  # type: ignore[attr-defined]

    def of_nothing(self: Any, *arguments: Any) -> Any:
        value, rest = loss(self, *arguments)
        return value * jnp.nan, rest

    with monkeypatch.context() as patched:
        patched.setattr(method, "loss", of_nothing)
        _programs.cache_clear()
        yield
        _programs.cache_clear()
