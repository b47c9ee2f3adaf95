"""The private numerics of the solvers."""
