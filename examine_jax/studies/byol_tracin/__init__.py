"""The study of BYOL-TracIn's poster: extra positives chosen by influence, and their rivals."""

from examine_jax.studies.byol_tracin.study import run as run
