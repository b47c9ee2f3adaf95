"""Charts: pure functions from arrays to a PNG (bytes)."""
