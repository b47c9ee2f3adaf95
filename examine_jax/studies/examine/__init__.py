"""The EXAMINE paper's experiments (Huang, Lei & Li, 2022)."""
