"""Training of any method: its shape, the step, the resumable loop, batches, optimisers."""
