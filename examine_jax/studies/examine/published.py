"""What the EXAMINE paper (Huang, Lei & Li, 2022) prints about its own runs."""

VALUERS = ("examine", "loo", "tmc_shapley")
"""The valuers of Fig. 3, beside a random order."""

SECONDS = {"examine": 23.0, "loo": 600.0, "tmc_shapley": 27_600.0}
"""Section 4.4: the time to value 500 images, without training the encoder."""

SEEDS = 5
"""Repetitions of each experiment."""
