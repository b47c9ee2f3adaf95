"""The low-resource study: self-supervised methods on small labelled medical sets."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from examine_jax.studies.low_resource.study import run as run


def __getattr__(name: str) -> Any:
    """Imports the study when it is run: its settings, which the help text needs, import at once."""
    if name != "run":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from examine_jax.studies.low_resource.study import run

    return run
