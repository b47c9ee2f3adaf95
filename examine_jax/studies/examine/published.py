"""Figures that the EXAMINE paper (Huang, Lei & Li, 2022) reports."""

VALUERS = ("examine", "loo", "tmc_shapley")
"""The valuers in Fig. 3, besides a random order."""

SECONDS = {"examine": 23.0, "loo": 600.0, "tmc_shapley": 27_600.0}
"""Section 4.4: the seconds to value 500 images, without the training of the encoder."""

SEEDS = 5
"""The number of repetitions of each experiment."""
