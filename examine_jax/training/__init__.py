"""Training of any method: the method's interface, the step, the resumable loop, optimisers."""
