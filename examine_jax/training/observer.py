"""Something that looks at a run at regular steps and changes nothing."""

import dataclasses
from collections.abc import Callable

from examine_jax.common.shapes import PyTree

Observe = Callable[[int, PyTree, PyTree], dict[str, float]]
"""observe(steps done, params, state) -> metrics by name."""


@dataclasses.dataclass(frozen=True, eq=False)
class Observer:
    """A function that a run calls every so many steps and after its last one.

    The metrics that it returns join the record of that step.

    Attributes:
        every: number of steps between two calls.
        observe: the function.
    """

    every: int
    observe: Observe

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"Observer: every must be at least 1, got {self.every}")

    def steps_until_due(self, done: int) -> int:
        """Number of steps from step `done` to the next call."""
        return self.every - done % self.every

    def is_due(self, done: int, steps: int) -> bool:
        """Whether a run of `steps` steps calls it after step `done`."""
        return done % self.every == 0 or done >= steps
