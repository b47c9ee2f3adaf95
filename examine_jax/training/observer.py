"""An observer: a function that a run calls at regular steps, and that does not change the run."""

import dataclasses
from collections.abc import Callable

from examine_jax.common.shapes import PyTree

Observe = Callable[[int, PyTree, PyTree], dict[str, float]]
"""observe(steps done, params, state) -> metrics by name."""


@dataclasses.dataclass(frozen=True, eq=False)
class Observer:
    """A function that a run calls after every `every`-th step and after its last one.

    The metrics that it returns are added to the record of that step.

    Attributes:
        every: the number of steps from one call to the next.
        observe: the function.
    """

    every: int
    observe: Observe

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"Observer: every must be at least 1, got {self.every}")

    def steps_until_due(self, done: int) -> int:
        """The number of steps until the next call, after `done` steps."""
        return self.every - done % self.every

    def is_due(self, done: int, steps: int) -> bool:
        """Whether a run of `steps` steps calls the function after step `done`."""
        return done % self.every == 0 or done >= steps
