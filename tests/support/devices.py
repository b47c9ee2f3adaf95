"""Several CPU devices in one process."""

# A collective waits in a thread for the other devices. XLA starts as many threads as NPROC says, or
# one a core: then all of them may wait in different collectives, for ever.
ENOUGH_THREADS = {"NPROC": "32"}
