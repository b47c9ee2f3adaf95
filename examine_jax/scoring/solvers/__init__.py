"""Solvers, one file each. A solver computes an examination from rows."""
