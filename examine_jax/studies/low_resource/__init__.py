"""Exploring Self-Supervised Representation Learning for Low-Resource Medical Image Analysis (ICIP 2023), on any labelled images."""
