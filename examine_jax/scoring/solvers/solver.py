"""What a solver is: a hashable value that examines prepared rows."""

from typing import Protocol, runtime_checkable

from examine_jax.scoring.equations.rows import Rows
from examine_jax.scoring.examination import Examination


@runtime_checkable
class Solver(Protocol):
    """A hashable value that examines rows; a frozen dataclass that holds its own settings.

    `solve` is traced with JAX's 64-bit types on. The rows come scaled, so that nothing overflows;
    `examination.examination_of` turns roots into results in the features' units.

    A solver may have the class attribute `sums_over_devices = True`. Then all its sums and maxima
    over rows go through the functions of `equations.rows`, and it is handed each device's own rows
    of a sharded array. Without the attribute, it is handed all rows, gathered on every device.
    """

    def solve(self, rows: Rows) -> Examination: ...

    def __hash__(self) -> int: ...


def sums_over_devices(solver: Solver) -> bool:
    """Whether the solver can be handed one device's rows of a sharded array."""
    return bool(getattr(solver, "sums_over_devices", False))
