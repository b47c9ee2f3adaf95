"""The interface of a solver: a hashable object that examines prepared rows."""

from typing import Protocol, runtime_checkable

from examine_jax.scoring.equations.eigensystem import Eigensystem
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

    A solver may have a method `row_limits(width)`, see below, and be `Decomposable`. With the class
    attribute `few_sizes = True`, costly calls with N > D may be padded too, by up to an eighth.
    """

    def solve(self, rows: Rows) -> Examination: ...

    def __hash__(self) -> int: ...


@runtime_checkable
class Decomposable(Protocol):
    """A solver that can start from the eigensystem of F F', if N <= D.

    `rows.features` is then a `jax.ShapeDtypeStruct`: a shape and a dtype without values.
    """

    def solve_decomposed(self, rows: Rows, system: Eigensystem) -> Examination: ...


def row_limits(solver: Solver, width: int) -> tuple[int, ...] | None:
    """The numbers of rows at which the solver computes otherwise, for so many columns.

    A solver with a method `row_limits(width)` may be given more rows, masked out, up to the next
    limit. None: the solver has no such method, and its rows are not padded.
    """
    method = getattr(solver, "row_limits", None)
    limits: tuple[int, ...] | None = None if method is None else method(width)
    return limits


def has_few_sizes(solver: Solver) -> bool:
    """Whether costly calls with N > D may be padded: rows take a small part of the time."""
    return bool(getattr(solver, "few_sizes", False))


def sums_over_devices(solver: Solver) -> bool:
    """Whether the solver can work on one device's rows of a sharded array."""
    return bool(getattr(solver, "sums_over_devices", False))
