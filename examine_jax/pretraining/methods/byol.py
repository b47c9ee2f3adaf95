"""BYOL (Grill et al., Bootstrap Your Own Latent, arXiv:2006.07733)."""

import dataclasses

import jax

from examine_jax.common.shapes import Array, Float, Key, PyTree, Shaped
from examine_jax.images.augmentation import TwoViews, byol_views
from examine_jax.models.architectures import Architecture
from examine_jax.models.heads import HeadConfig
from examine_jax.pretraining import two_views
from examine_jax.pretraining.losses import normalised_regression
from examine_jax.pretraining.moving_average import MovingAverage
from examine_jax.pretraining.named_method import NamedMethod
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.pretraining.presets_shared import (
    EXAMINE,
    EXAMINE_STEPS,
    SMALL,
    SMALL_PIXELS,
    common,
    imagenet,
    small_views,
)
from examine_jax.training.method import Batch, EncoderConfig, Method
from examine_jax.training.optimiser import LARS, WarmupCosine
from examine_jax.training.settings import Phase, PretrainSettings


@dataclasses.dataclass(frozen=True)
class BYOL(two_views.TwoViewMethod):
    """Predicts a target network's projection of an image's other view; it needs no negatives.

    The target is a moving average of encoder and projector. As in deepmind-research's code, it
    starts from weights of its own, and its batch norms are in training mode with running averages
    of their own. Features come from the network that is trained.

    Attributes:
        encoder: the encoder's configuration.
        augmentation: makes the two views, of the encoder's image size.
        projector, predictor: the heads; their last widths are equal.
        moving_average: the target's decay; its steps are the training's.
        pixels: how pixel values in [0, 1] are scaled before the network sees them.
    """

    encoder: EncoderConfig
    augmentation: TwoViews
    projector: HeadConfig
    predictor: HeadConfig
    moving_average: MovingAverage
    pixels: PixelScale = dataclasses.field(default_factory=PixelScale)

    def __post_init__(self) -> None:
        two_views.check_predictor("BYOL", self.projector, self.predictor)
        self.pixels.check(self.encoder.channels)

    def init(self, key: Key[Array, ""], batch: Batch) -> tuple[PyTree, PyTree]:
        """Parameters {"encoder", "projector", "predictor"}, state {"batch_stats", "target"}."""
        online_key, target_key = jax.random.split(key)
        params, batch_stats = self._online.init(online_key)
        target_params, target_stats = self._target.init(target_key)
        return params, {
            "batch_stats": batch_stats,
            "target": {"params": target_params, "batch_stats": target_stats},
        }

    def loss(
        self, params: PyTree, state: PyTree, batch: Batch, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], tuple[PyTree, dict[str, Float[Array, ""]]]]:
        """2 - 2 cos(prediction, target), both directions summed, for two random views.

        Between 0 and 8.
        """
        first, second = two_views.make_views(
            self.augmentation, self.pixels, self.encoder, batch, key
        )
        of_first, of_second, stats = self._online.on_views(
            params, state["batch_stats"], first, second
        )
        target = state["target"]
        to_first, to_second, target_stats = self._target.on_views(
            target["params"], target["batch_stats"], first, second
        )
        forth = normalised_regression(of_first["predictor"], to_second["projector"])
        back = normalised_regression(of_second["predictor"], to_first["projector"])
        state = {
            "batch_stats": stats,
            "target": {"params": target["params"], "batch_stats": target_stats},
        }
        metrics = two_views.collapse_metrics(of_first["projector"], of_second["projector"])
        return forth + back, (state, metrics)

    def after_update(self, params: PyTree, state: PyTree, step: Shaped[Array, ""]) -> PyTree:
        """Moves the target towards the updated parameters."""
        target = state["target"]
        online = {name: params[name] for name in target["params"]}
        moved = self.moving_average.update(target["params"], online, step - 1)
        return {**state, "target": {**target, "params": moved}}

    def embed(
        self, params: PyTree, state: PyTree, images: Shaped[Array, "batch height width channels"]
    ) -> Float[Array, "batch features"]:
        """The trained encoder's features (not the target's), without the heads."""
        return two_views.embed(self.encoder, self.pixels, params, state, images)

    def for_steps(self, steps: int) -> "BYOL":
        """The same method whose moving average ends with a training of that many steps."""
        return dataclasses.replace(
            self, moving_average=dataclasses.replace(self.moving_average, steps=steps)
        )

    @property
    def _online(self) -> two_views.Chain:
        return two_views.Chain(
            self.encoder, {"projector": self.projector, "predictor": self.predictor}
        )

    @property
    def _target(self) -> two_views.Chain:
        return two_views.Chain(self.encoder, {"projector": self.projector})


_IMAGENET_IMAGES = 1_281_167
_HEAD = HeadConfig(
    (4096, 256), hidden_bias=True, output_bias=False
)  # deepmind-research, byol/utils/networks.py
# BYOL-TracIn's paper gives neither epochs nor batch; ISIC 2019 has that many images.
_STUDY_EPOCHS, _STUDY_BATCH, _STUDY_IMAGES = 300, 256, 25_331


def small(architecture: Architecture) -> tuple[BYOL, PretrainSettings]:
    """The target follows faster than in the paper, because a run has hundreds of steps."""
    head = HeadConfig((512, 128), output_bias=False)
    method = BYOL(
        **common(architecture, small_views),
        projector=head,
        predictor=head,
        moving_average=MovingAverage(0.98, steps=1000),
        pixels=SMALL_PIXELS,
    )
    return method, SMALL


def _paper(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """EXAMINE, section 4.3: trained as its MAE.

    Heads, views and moving average are not given: BYOL's own for 100 to 300 epochs.
    """
    method = BYOL(
        **common(architecture, byol_views),
        projector=_HEAD,
        predictor=_HEAD,
        moving_average=MovingAverage(0.99, EXAMINE_STEPS),
        pixels=imagenet(architecture),
    )
    return method, EXAMINE


def _original(architecture: Architecture) -> tuple[Method, PretrainSettings]:
    """deepmind-research, byol/configs/byol.py.

    1000 epochs, batch 4096, LARS .2, decay 1.5e-6, warm-up for 10 epochs, average from .996.
    """
    method = BYOL(
        **common(architecture, byol_views),
        projector=_HEAD,
        predictor=_HEAD,
        moving_average=MovingAverage(0.996, 1000 * _IMAGENET_IMAGES // 4096),
        pixels=imagenet(architecture),
    )
    settings = PretrainSettings(
        (Phase(epochs=1000),),
        batch_size=4096,
        optimiser=LARS(weight_decay=1.5e-6),
        schedule=WarmupCosine(0.2, warmup=0.01),
    )
    return method, settings


def study(architecture: Architecture) -> tuple[BYOL, PretrainSettings]:
    """Plain BYOL for the BYOL-TracIn study.

    LARS .3 at a batch of 256, warm-up for 10 epochs, the average from .99.
    """
    method = BYOL(
        **common(architecture, byol_views),
        projector=_HEAD,
        predictor=_HEAD,
        moving_average=MovingAverage(0.99, _STUDY_EPOCHS * (_STUDY_IMAGES // _STUDY_BATCH)),
        pixels=imagenet(architecture),
    )
    settings = PretrainSettings(
        (Phase(epochs=_STUDY_EPOCHS),),
        batch_size=_STUDY_BATCH,
        optimiser=LARS(weight_decay=1.5e-6),
        schedule=WarmupCosine(0.3, warmup=10 / _STUDY_EPOCHS),
    )
    return method, settings


NAMED = (
    NamedMethod(
        "byol",
        {"small": small, "paper": _paper, "original": _original, "study": study},
        (BYOL, MovingAverage),
    ),
)
