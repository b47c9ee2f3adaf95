"""The numerics of the solvers. Private."""
