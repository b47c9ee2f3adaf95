"""A trained BYOL that chooses extra positives for another training.

It is handed over as a value and never changes.
"""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.shapes import Array, Float, PyTree
from examine_jax.models.forward import run_network
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining.extra_positives import Evidence, LayerView
from examine_jax.pretraining.methods.byol import BYOL


class Scorer:
    """A BYOL with its trained variables.

    Scorers are equal if their networks and variables are; the folder is only a name. `str(scorer)`
    is that name, so configuration files keep it in the scorer's place.

    Attributes:
        folder: where the encoder was read from.
        byol: its method.
        variables: {"params", "batch_stats", "target": {"params", "batch_stats"}}.
    """

    def __init__(self, folder: str, byol: BYOL, params: PyTree, state: PyTree) -> None:
        self.folder = folder
        self.byol = byol
        self.variables: dict[str, Any] = jax.tree.map(
            np.asarray,
            {"params": params, "batch_stats": state["batch_stats"], "target": state["target"]},
        )
        digest = hashlib.blake2b(repr(byol).encode(), digest_size=16)
        for path, leaf in jax.tree_util.tree_flatten_with_path(self.variables)[0]:
            digest.update(jax.tree_util.keystr(path).encode())
            digest.update(np.ascontiguousarray(leaf).tobytes())
        self._digest = digest.digest()

    def __str__(self) -> str:
        return self.folder

    def __repr__(self) -> str:
        return f"Scorer({self.folder!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scorer) and self._digest == other._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    def check_images(self, byol: BYOL) -> None:
        """Raises a ValueError unless the scorer takes the views that are made for `byol`."""
        its, ours = (
            (one.encoder.image_size, one.encoder.channels, one.pixels.mean, one.pixels.deviation)
            for one in (self.byol, byol)
        )
        if its != ours:
            raise ValueError(
                f"{self.folder} takes images of {_described(*its)}; the training has images of "
                f"{_described(*ours)}; "
                "name an encoder trained on such images"
            )


def scorer_evidence(
    scorer: BYOL,
    variables: PyTree,
    first: Float[Array, "batch height width channels"],
    second: Float[Array, "batch height width channels"],
    labels: Array | None,
) -> Evidence:
    """A trained BYOL's outputs for two views of a batch, everything in evaluation mode.

    Args:
        scorer: the method.
        variables: {"params", "batch_stats", "target": {"params", "batch_stats"}}.
        first, second: the views, scaled.
        labels: handed on as they are.
    """
    modules = {
        "encoder": scorer.encoder.module(),
        "projector": scorer.projector.module(scorer.encoder.dtype),
    }
    modules["predictor"] = scorer.predictor.module(scorer.encoder.dtype)

    def run(variables: PyTree, images: Array, names: tuple[str, ...]) -> dict[str, Array]:
        outputs, x = {}, images
        for name in names:
            x, _ = run_network(
                modules[name],
                variables["params"][name],
                variables["batch_stats"].get(name, {}),
                x,
                train=False,
            )
            outputs[name] = x
        return outputs

    online = [
        run(variables, view, ("encoder", "projector", "predictor")) for view in (first, second)
    ]
    targets = [
        run(variables["target"], view, ("encoder", "projector"))["projector"]
        for view in (first, second)
    ]
    views = [
        LayerView(
            last_layer_inputs(
                scorer.predictor,
                scorer.encoder.dtype,
                variables["params"]["predictor"],
                variables["batch_stats"].get("predictor", {}),
                own["projector"],
                train=False,
            ),
            own["predictor"],
            target,
        )
        for own, target in zip(online, targets[::-1])
    ]
    features = (online[0]["encoder"], online[1]["encoder"])
    return Evidence(features, (views[0], views[1]), scorer.predictor.output_bias, labels)


def last_layer_inputs(
    head: HeadConfig,
    dtype: str,
    params: PyTree,
    batch_stats: PyTree,
    inputs: Float[Array, "batch features"],
    *,
    train: bool,
) -> Float[Array, "batch hidden"]:
    """The inputs of a head's last linear layer, float32; no gradient flows through them."""
    last = len(head.widths) - 1
    inputs = jax.lax.stop_gradient(inputs)
    if last == 0:
        return inputs
    name = f"norm_{last - 1}"
    _, captured = head.module(dtype).apply(
        {"params": params, "batch_stats": batch_stats},
        inputs,
        train=train,
        mutable=["batch_stats", "intermediates"],
        capture_intermediates=lambda module, _: module.name == name,
    )
    return jax.lax.stop_gradient(
        jax.nn.relu(captured["intermediates"][name]["__call__"][0]).astype(jnp.float32)
    )


def _described(
    size: int, channels: int, mean: tuple[float, ...], deviation: tuple[float, ...]
) -> str:
    return f"{size} px, {channels} channels, less {mean}, over {deviation}"
