"""The work of the matrix products in a program."""

import math
import re

_PRODUCT = re.compile(
    r"dot_general.*?contracting_dims = \[(\d+)\].*?"
    r": \(tensor<([^>]*)>, tensor<[^>]*>\) -> tensor<([^>]*)>"
)


def operations(program: str) -> dict[str, float]:
    """Operations of the matrix products in a StableHLO program, by dtype."""
    found = {"f32": 0.0, "f64": 0.0}
    for line in program.splitlines():
        match = _PRODUCT.search(line)
        if match is None:
            continue
        axis, left, result = match.groups()
        *sizes, dtype = result.split("x")
        if dtype in found:
            found[dtype] += 2.0 * math.prod(map(int, sizes)) * int(left.split("x")[int(axis)])
    return found
