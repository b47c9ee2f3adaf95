"""An adapter's folder: config.json and adapter.safetensors. Its base is another folder."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from examine_jax.common.configuration import from_plain, to_plain
from examine_jax.common.shapes import PyTree
from examine_jax.common.tensor_folder import tensor_names, write_folder
from examine_jax.encoders.encoder import Encoder
from examine_jax.encoders.resized import same_weights
from examine_jax.encoders.save import (
    configuration_of,
    naming_settings,
    read_configuration,
    read_variables,
    shapes_of,
)
from examine_jax.models.low_rank import LowRank
from examine_jax.pretraining.low_rank import LowRankMethod

ADAPTER = "adapter.safetensors"


@dataclasses.dataclass(frozen=True)
class BaseOfAdapter:
    """What an adapter's folder says of its base.

    Attributes:
        name: of the base's folder, without the path.
        fingerprint: of its weights.
        path: where it was read; absolute.
        image_size: at which it was read; None: its own.
    """

    name: str
    fingerprint: str
    path: str
    image_size: int | None = None

    def __post_init__(self) -> None:
        for field in ("name", "fingerprint", "path"):
            if not isinstance(getattr(self, field), str):
                raise ValueError(f"the {field} of an adapter's base is {getattr(self, field)!r}")
        if self.image_size is not None and type(self.image_size) is not int:
            raise ValueError(f"the image_size of an adapter's base is {self.image_size!r}")


def save_adapter(
    folder: str | os.PathLike[str],
    method: LowRankMethod,
    params: PyTree,
    state: PyTree,
    base: BaseOfAdapter,
    training: dict[str, Any] | None = None,
) -> None:
    """Writes an adapter's folder, whole or not at all; the base's weights are not in it.

    Args:
        folder: where.
        method, params, state: the trained method.
        base: what the folder says of the base.
        training: notes on the training; plain values for config.json.

    Raises:
        OSError: the folder cannot be written.
        ValueError: a file, or a folder that is no encoder's, is in the way.
    """
    configuration = {
        **configuration_of(method.method, training),
        "adapter": {"low_rank": to_plain(method.low_rank), "base": dataclasses.asdict(base)},
    }
    own = tensor_names(params, method.own_state(state))
    tensors = {name: np.asarray(leaf) for name, leaf in own.items()}
    files = {"config.json": configuration}
    write_folder(pathlib.Path(folder), tensors, files, "an encoder's", weights=ADAPTER)


def is_adapter(folder: pathlib.Path) -> bool:
    """Whether a folder is one that `save_adapter` wrote."""
    return (folder / ADAPTER).is_file() and (folder / "config.json").is_file()


def read_adapter(
    folder: pathlib.Path,
    known: Sequence[type],
    load: Callable[[pathlib.Path, int | None], tuple[Encoder, str]],
    base: str | os.PathLike[str] | None = None,
) -> Encoder:
    """Reads an adapter together with its base: an encoder whose weights have both.

    Args:
        folder: as `save_adapter` wrote it.
        known: the classes that its config.json may name.
        load: (path, image size) -> (the base, its fingerprint).
        base: where the base is now; None: where it was.

    Raises:
        ValueError: the base is not there, is another one or another network, or is an adapter
            itself; or as `read_encoder`.
    """
    file = folder / "config.json"
    configuration, method = read_configuration(folder, known)
    adapter = configuration.get("adapter")
    if not isinstance(adapter, dict) or not {"low_rank", "base"} <= adapter.keys():
        raise ValueError(f"{file} says nothing of the adapter in {ADAPTER}: it has no 'adapter'")
    low_rank = from_plain(adapter["low_rank"], (LowRank,), str(file))
    if not isinstance(low_rank, LowRank):
        raise ValueError(f"{file}: the adapter's low_rank is not described as it should be")
    try:
        its = BaseOfAdapter(**adapter["base"])
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{file}: the adapter's base is not described as it should be: {error}"
        ) from error
    place = pathlib.Path(its.path if base is None else base)
    if not place.exists():
        raise ValueError(
            f"{folder} is an adapter of {its.name}, which is not at {place}: say where it is "
            '(load_encoder(folder, base=...), or "path" in the adapter\'s config.json), or merge '
            "the adapter where its base is"
        )
    if is_adapter(place):
        raise ValueError(
            f"{folder} is an adapter of {its.name}; {place} is an adapter itself, which can be no "
            "base: give the encoder that it was trained on"
        )
    encoder, fingerprint = load(place, its.image_size)
    if fingerprint != its.fingerprint:
        raise ValueError(
            f"{folder} is an adapter of {its.name} (fingerprint {its.fingerprint}); {place} is "
            f"another encoder (fingerprint {fingerprint}): give the one that it was trained on"
        )
    if not same_weights(encoder.method.encoder, method.encoder):
        raise ValueError(
            f"{file}: the network is {method.encoder}; that of the adapter's base is "
            f"{encoder.method.encoder}"
        )
    adapted = LowRankMethod(method, low_rank)
    try:
        with naming_settings(file):
            params, state = shapes_of(adapted)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    params, own = read_variables(folder / ADAPTER, params, adapted.own_state(state))
    params, state = adapted.merged(params, adapted.with_base(own, encoder.params["encoder"]))
    return Encoder(method, params, state, configuration.get("training", {}))
