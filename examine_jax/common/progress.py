"""A progress bar on stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress_bar(unit: str, progress: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr.

    Args:
        unit: the plural of what is counted.
        progress: whether the bar is shown.

    Yields:
        A function of (done, total) that moves the bar.
    """
    with tqdm(unit=f" {unit}", disable=not progress, file=sys.stderr, dynamic_ncols=True) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report
