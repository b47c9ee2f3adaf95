"""A study's seeds are spread over processes: each runs its own by itself."""

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar

from examine_jax.common.processes import (
    alone,
    is_alone,
    is_first,
    process_count,
    process_index,
    wait_for_all,
)

_Settings = TypeVar("_Settings", bound=Any)


def run_shared(settings: _Settings, run: Callable[[_Settings], object]) -> None:
    """Runs a study. Of several processes, each runs some seeds, and keeps their results.

    At the end the first process runs the study as a whole: it reads what is kept, computes what a
    process could not, and writes the page.

    Args:
        settings: of the study; its field `seeds` is spread.
        run: runs the study with these settings, in a folder that all processes share.
    """
    if is_alone():
        run(settings)
        return
    own = settings.seeds[process_index() :: process_count()]
    with alone():
        if own:
            run(dataclasses.replace(settings, seeds=own))
    wait_for_all("seeds")
    if is_first():
        with alone():
            run(settings)
