"""BYOL with an extra positive image.

Zeng, Wu, Hu, Xu, Hu and Shi, Additional Positive Enables Better Representation Learning for Medical Images, MICCAI 2023.
"""

import dataclasses
import functools
import pathlib
from typing import Any, Literal

import jax
import jax.numpy as jnp

from examine_jax.common.shapes import Array, Float, Key, PyTree, Shaped
from examine_jax.models.apply import run_network
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining import two_views
from examine_jax.pretraining.extra_positives import (
    Choice,
    Evidence,
    LayerView,
    SameClass,
    TracInPositive,
    same_class,
)
from examine_jax.pretraining.losses import normalise, normalised_regression
from examine_jax.pretraining.methods.byol import BYOL
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.pretraining.registry import SETTINGS
from examine_jax.training.method import Batch


@dataclasses.dataclass(frozen=True)
class BYOLTracIn:
    """BYOL whose predictions also meet the targets of another image of the batch, chosen in the step from what its forward pass computed.

    The loss is BYOL's plus `weight` times, for each prediction q of an image and its extra positive k, 2 - 2 cos(q, z) summed over the
    targets z of k's views. The paper does not tell this form; it is that of its first author's other code, of weight 1.

    Attributes:
        byol: what the extra positive is added to.
        choice: how it is found: TracInPositive (BYOL-TracIn), SimilarPositive (FS), FalseNegatives (FNC), SameClass (BYOL-Sup).
        weight: of the extra positive beside the image's own other view.
        extra_views: targets of the extra image: "both", or "other": the one of the view that the prediction was not made from.
        scorer: folder of a BYOL encoder that finds the extra positive in this one's place, in evaluation mode and never changed (the
            paper's "-pretrained"); None: the network that is trained does. Read when the training is set up.
        labels: the class of each image by its "index", negative where unknown; empty: none. A batch's "label" comes first. SameClass
            chooses by them; all others only report by them.
    """

    byol: BYOL
    choice: Choice = dataclasses.field(default_factory=TracInPositive)
    weight: float = 1.0
    extra_views: Literal["both", "other"] = "both"
    scorer: str | None = None
    labels: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.weight >= 0:
            raise ValueError(f"BYOLTracIn: weight must be at least 0, got {self.weight}")
        if self.extra_views not in ("both", "other"):
            raise ValueError(f"BYOLTracIn: extra_views must be 'both' or 'other', got {self.extra_views!r}")
        if self.scorer is None:
            _check_predictor(self.choice, self.byol)

    @property
    def identity(self) -> "BYOLTracIn":
        """Without labels that are only reported by: they change no parameter."""
        return self if isinstance(self.choice, SameClass) else dataclasses.replace(self, labels=())

    @property
    def files(self) -> tuple[tuple[str, int, int], ...]:
        """The scorer's files as they are now: name, size and time of change; empty where there is no scorer."""
        return () if self.scorer is None else _files(self.scorer)

    @property
    def encoder(self) -> Any:
        return self.byol.encoder

    @property
    def pixels(self) -> PixelScale:
        return self.byol.pixels

    def init(self, key: Key[Array, ""], batch: Batch) -> tuple[PyTree, PyTree]:
        """BYOL's parameters and state; the state gains "scorer" where there is one (raises as `read_scorer`)."""
        params, state = self.byol.init(key, batch)
        if self.scorer is not None:
            scorer = read_scorer(self.scorer, self.byol)
            _check_predictor(self.choice, scorer.method)
            variables = {"params": scorer.params, **scorer.state}
            state = {**state, "scorer": jax.tree.map(jnp.asarray, variables)}
        return params, state

    def loss(
        self, params: PyTree, state: PyTree, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, dict[str, Float[Array, ""]]]]:
        """BYOL's loss with the extra positives', both directions summed.

        Metrics, beside BYOL's: "extra_positives": the share of images that have one; where labels exist, "extra_positives_right": the
        share of their weight that lies on images of the same class (nan if no image has an extra positive, or none of a known class), and
        "extra_positives_chance": what choosing evenly among the other images of the batch would give.
        """
        byol, target = self.byol, state["target"]
        first, second = two_views.make_views(byol.augmentation, byol.pixels, byol.encoder, batch, key)
        online = two_views.Chain(byol.encoder, {"projector": byol.projector, "predictor": byol.predictor})
        following = two_views.Chain(byol.encoder, {"projector": byol.projector})
        of_first, of_second, stats = online.on_views(params, state["batch_stats"], first, second)
        to_first, to_second, target_stats = following.on_views(target["params"], target["batch_stats"], first, second)
        q, z = (
            (of_first["predictor"], of_second["predictor"]),
            (to_first["projector"], to_second["projector"]),
        )
        labels = self._labels(batch)
        if self.scorer is None:
            predictor_stats = state["batch_stats"].get("predictor", {})
            views = []
            for own, prediction, aim in zip((of_first, of_second), q, z[::-1]):
                # The forward pass has computed this already; the compiler finds it there.
                inputs = last_layer_inputs(
                    byol.predictor,
                    byol.encoder.dtype,
                    params["predictor"],
                    predictor_stats,
                    own["projector"],
                    train=True,
                )
                views.append(LayerView(inputs, prediction, aim))
            features = (of_first["encoder"], of_second["encoder"])
            evidence = Evidence(features, (views[0], views[1]), byol.predictor.output_bias, labels)
        else:
            evidence = scorer_evidence(_read_scorer(self.scorer).method, state["scorer"], first, second, labels)
        choice_key = jax.random.fold_in(key, 0x6578)  # the views take the key as it is
        constant_features, constant_views = jax.lax.stop_gradient((evidence.features, evidence.views))
        evidence = evidence._replace(features=constant_features, views=constant_views)
        weights = self.choice.weights(evidence, choice_key)

        loss = normalised_regression(q[0], z[1]) + normalised_regression(q[1], z[0])
        for view in (0, 1):
            seen = (0, 1) if self.extra_views == "both" else (1 - view,)
            loss += self.weight * sum(weighted_regression(q[view], z[other], weights) for other in seen)
        metrics = two_views.watched(of_first["projector"], of_second["projector"])
        metrics["extra_positives"] = (weights.sum(axis=1) > 0).mean(dtype=jnp.float32)
        if labels is not None:
            metrics.update(_rightness(weights, labels))
        new_state = {
            **state,
            "batch_stats": stats,
            "target": {"params": target["params"], "batch_stats": target_stats},
        }
        return loss, (new_state, metrics)

    def after_update(self, params: PyTree, state: PyTree, step: Shaped[Array, ""]) -> PyTree:
        """As BYOL; the scorer stays."""
        return self.byol.after_update(params, state, step)

    def embed(
        self, params: PyTree, state: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        """The trained encoder's features, without the heads."""
        return self.byol.embed(params, state, images)

    def _labels(self, batch: Batch) -> Array | None:
        if "label" in batch:
            return jnp.asarray(batch["label"], jnp.int32)
        if not self.labels:
            return None
        # An index beyond the labels is of an unknown class, not of the last one.
        return jnp.asarray(self.labels, jnp.int32).at[batch["index"]].get(mode="fill", fill_value=-1)


def weighted_regression(
    prediction: Float[Array, "batch width"], target: Float[Array, "batch width"], weights: Float[Array, "batch batch"]
) -> Float[Array, ""]:
    """The mean over images i of sum_k weights[i, k] (2 - 2 cos(prediction_i, target_k)); the targets are constants."""
    cosines = normalise(prediction) * (weights @ normalise(jax.lax.stop_gradient(target)))
    return (2 * weights.sum(axis=1) - 2 * cosines.sum(axis=1)).mean()


def last_layer_inputs(
    head: HeadConfig,
    dtype: str,
    params: PyTree,
    batch_stats: PyTree,
    inputs: Float[Array, "batch features"],
    *,
    train: bool,
) -> Float[Array, "batch hidden"]:
    """What comes into a head's last linear layer, float32; no gradient flows through it."""
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
    return jax.lax.stop_gradient(jax.nn.relu(captured["intermediates"][name]["__call__"][0]).astype(jnp.float32))


def scorer_evidence(
    scorer: BYOL,
    variables: PyTree,
    first: Float[Array, "batch height width channels"],
    second: Float[Array, "batch height width channels"],
    labels: Array | None,
) -> Evidence:
    """What a trained BYOL makes of two views of a batch, everything in evaluation mode.

    variables: {"params", "batch_stats", "target": {"params", "batch_stats"}}.
    """
    modules = {"encoder": scorer.encoder.module(), "projector": scorer.projector.module(scorer.encoder.dtype)}
    modules["predictor"] = scorer.predictor.module(scorer.encoder.dtype)

    def run(variables: PyTree, images: Array, names: tuple[str, ...]) -> dict[str, Array]:
        outputs, x = {}, images
        for name in names:
            x, _ = run_network(
                modules[name], variables["params"][name], variables["batch_stats"].get(name, {}), x, train=False
            )
            outputs[name] = x
        return outputs

    online = [run(variables, view, ("encoder", "projector", "predictor")) for view in (first, second)]
    targets = [run(variables["target"], view, ("encoder", "projector"))["projector"] for view in (first, second)]
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
            aim,
        )
        for own, aim in zip(online, targets[::-1])
    ]
    features = (online[0]["encoder"], online[1]["encoder"])
    return Evidence(features, (views[0], views[1]), scorer.predictor.output_bias, labels)


def _rightness(weights: Float[Array, "batch batch"], labels: Array) -> dict[str, Float[Array, ""]]:
    alike = same_class(labels)
    known = (labels >= 0).astype(jnp.float32)
    pairs = known[:, None] * known * (1 - jnp.eye(len(labels)))
    counted = weights * pairs
    return {
        "extra_positives_right": (counted * alike).sum() / counted.sum(),
        "extra_positives_chance": alike.sum() / pairs.sum(),
    }


def read_scorer(folder: str, byol: BYOL) -> Any:
    """The encoder of a BYOL in a folder, which is to find the extra positives among views made for `byol`.

    Raises:
        ValueError: it is another method's, or takes images of another size, of other channels, or scaled otherwise. OSError: it cannot be
            read.
    """
    scorer = _read_scorer(folder)
    its, ours = (
        (one.encoder.image_size, one.encoder.channels, one.pixels.mean, one.pixels.deviation)
        for one in (scorer.method, byol)
    )
    if its != ours:
        raise ValueError(
            f"{folder} takes images of {_told(*its)}; the scorer sees what is trained on: {_told(*ours)}; name an encoder trained on such"
        )
    return scorer


def _told(size: int, channels: int, mean: Any, deviation: Any) -> str:
    return f"{size} px, {channels} channels, less {mean}, over {deviation}"


def _check_predictor(choice: Choice, byol: BYOL) -> None:
    if isinstance(choice, TracInPositive) and byol.predictor.output_norm != "none":
        raise ValueError(
            f"TracInPositive: a {byol.predictor.output_norm!r} batch norm follows the predictor's last linear layer, whose gradients are "
            "then not its output's; take a predictor with output_norm='none', or SimilarPositive"
        )


def _read_scorer(folder: str) -> Any:
    return _read_scorer_once(folder, _files(folder))


def _files(folder: str) -> tuple[tuple[str, int, int], ...]:
    files = sorted(file for file in pathlib.Path(folder).glob("*") if file.is_file())
    return tuple((file.name, *_size_and_time(file)) for file in files)


def _size_and_time(file: pathlib.Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=4)
def _read_scorer_once(folder: str, files: tuple[tuple[str, int, int], ...]) -> Any:
    """Kept while its files stay as they are."""
    from examine_jax.encoders.save import read_encoder

    # Set-up is traced, and what is kept here outlives the trace: its arrays must be values.
    with jax.ensure_compile_time_eval():
        encoder = read_encoder(pathlib.Path(folder), (*SETTINGS, BYOL, BYOLTracIn))
    method: Any = encoder.method
    if isinstance(method, BYOLTracIn):
        encoder = dataclasses.replace(
            encoder, method=method.byol, state={name: encoder.state[name] for name in ("batch_stats", "target")}
        )
    return encoder
