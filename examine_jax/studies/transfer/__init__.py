"""The transfer study: an encoder from elsewhere, against training on one's own images."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from examine_jax.studies.transfer.study import run as run


def __getattr__(name: str) -> Any:
    """Imports the study when it is run: its settings, which the help text needs, import at once."""
    if name != "run":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from examine_jax.studies.transfer.study import run

    return run
