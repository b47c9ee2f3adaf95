"""Solvers, one file each: from rows to an examination."""
