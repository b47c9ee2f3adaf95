"""The interface of a solver: a hashable object that examines prepared rows."""

from typing import Protocol, runtime_checkable

from examine_jax.scoring.equations.rows import Rows
from examine_jax.scoring.examination import Examination


@runtime_checkable
class Solver(Protocol):
    """A hashable object that examines rows, such as a frozen dataclass that holds its settings.

    `solve` is traced with JAX's 64-bit types on. It receives scaled rows, so that nothing
    overflows. `examination.examination_of` converts roots to results in the features' units.

    A solver may have the class attribute `sums_over_devices = True`. Such a solver computes all
    sums and maxima over rows with the functions of `equations.rows`. If the array is sharded, it
    receives on each device the rows of that device. Without the attribute, a solver receives all
    rows, gathered on every device.
    """

    def solve(self, rows: Rows) -> Examination: ...

    def __hash__(self) -> int: ...


def sums_over_devices(solver: Solver) -> bool:
    """Whether the solver can work on one device's rows of a sharded array."""
    return bool(getattr(solver, "sums_over_devices", False))
