"""Charts: pure functions from arrays to the bytes of a PNG file."""
