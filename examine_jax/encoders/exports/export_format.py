"""The form of a format in which an encoder is given away."""

import dataclasses
import pathlib
from typing import Any, Protocol, runtime_checkable

import numpy as np

from examine_jax.common.shapes import PyTree
from examine_jax.encoders.encoder import Encoder
from examine_jax.encoders.save import framing_of, pixel_scale
from examine_jax.images.decoding.framing import Framing


@runtime_checkable
class ExportFormat(Protocol):
    """A format: a frozen dataclass, and one line in registry.py.

    Attributes:
        name: on the command line.
    """

    @property
    def name(self) -> str: ...

    def write(self, encoder: Encoder, folder: pathlib.Path) -> str:
        """Writes the encoder's files into an empty folder.

        Returns:
            How they are used, for the model card: Markdown.

        Raises:
            ValueError: the format cannot say this network; the message names what it lacks.
            ImportError: a package that writes this format is not installed.
        """
        ...

    def read_back(self, folder: pathlib.Path, images: np.ndarray) -> np.ndarray | None:
        """The features that the written files give uint8 images; None: nothing here runs them."""
        ...


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """What of an encoder a layout needs.

    Attributes:
        config: the network's configuration.
        params, batch_stats: the network's.
        mean, deviation: of pixels in [0, 1], one number for each channel.
        framing: how images of any shape come to its size.
    """

    config: Any
    params: PyTree
    batch_stats: PyTree
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    framing: Framing


def parts_of(encoder: Encoder) -> Parts:
    """The network within an encoder, without what else its method has."""
    stats = encoder.state.get("batch_stats", {}).get("encoder", {})
    return Parts(
        encoder.method.encoder,
        encoder.params["encoder"],
        stats,
        *pixel_scale(encoder),
        framing_of(encoder),
    )
