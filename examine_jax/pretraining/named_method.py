"""A method under the name that commands use, with its presets."""

import dataclasses
from collections.abc import Callable, Mapping

from examine_jax.models.architectures import Architecture
from examine_jax.training.method import Method
from examine_jax.training.settings import PretrainSettings

Preset = Callable[[Architecture], tuple[Method, PretrainSettings]]
"""preset(architecture) -> (method, how it is trained)."""


@dataclasses.dataclass(frozen=True)
class NamedMethod:
    """One entry of the registry; also what `--method=package.module:ATTRIBUTE` names.

    Attributes:
        name: the name of the method.
        presets: by name; "small" suits two CPU cores, "paper" is the seed paper's.
        settings: the dataclasses of the method's own that an encoder's config.json may hold.
    """

    name: str
    presets: Mapping[str, Preset]
    settings: tuple[type, ...] = ()

    def __post_init__(self) -> None:
        if not self.presets:
            raise ValueError(f"NamedMethod: {self.name} has no preset; give at least one")
