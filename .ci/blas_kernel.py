"""Prints the OpenBLAS kernel that NumPy and SciPy use here.

With --other, it prints another kernel that this processor can run.
"""

import os
import subprocess
import sys

import numpy  # noqa: F401  loads its OpenBLAS
import scipy.linalg  # noqa: F401  loads the one that JAX takes LAPACK from
import threadpoolctl

# In the order of preference. OpenBLAS falls back to a kernel that the processor has, which then is
# none of these.
CANDIDATES = ("Haswell", "SkylakeX", "Sandybridge", "Nehalem", "ARMV8", "NEOVERSEN1")


def kernels() -> list[str]:
    libraries = threadpoolctl.threadpool_info()
    return sorted(
        {library["architecture"] for library in libraries if library["internal_api"] == "openblas"}
    )


def other_kernel() -> str:
    """Returns the first candidate that is not in use and that OpenBLAS takes on request.

    The text is empty where there is none.
    """
    present = kernels()
    for candidate in CANDIDATES:
        if candidate in present:
            continue
        environment = {**os.environ, "OPENBLAS_CORETYPE": candidate}
        run = subprocess.run(
            [sys.executable, __file__], env=environment, capture_output=True, text=True, check=False
        )
        if run.returncode == 0 and run.stdout.split() == [candidate]:
            return candidate
    return ""


if __name__ == "__main__":
    print(other_kernel() if "--other" in sys.argv else " ".join(kernels()))
