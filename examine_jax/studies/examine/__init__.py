"""The EXAMINE paper's study (Huang, Lei & Li, 2022)."""

from examine_jax.studies.examine.study import run as run
