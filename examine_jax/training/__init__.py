"""Training: the shape of a method, the step, the resumable loop, batches, optimisers, checkpoints. Knows no method."""
