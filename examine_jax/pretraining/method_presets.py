"""Methods with their training, by name: each as small machines, the seed papers, its own paper and released code have it.

Presets:
    small: for two CPU cores and tiles of tissue of 72 to 96 pixels, a batch of 64, some ten minutes. No paper's numbers: narrow heads,
        AdamW, a temperature for few negatives, and views for tissue (`presets.sources.small_views`).
    paper: as the seed paper trains it. EXAMINE (section 4.1: 200 epochs, batch 256, AdamW(.9, .95) with weight decay .05, cosine; "the
        same strategy" for its other encoders) for mae, autoencoder and byol; Exploring SSL for Low-Resource Medical Image Analysis
        (section 3.1: SGD .01, 250 epochs, the batch of 64 of its best kNN results) for simclr, dcl, simsiam and vicreg.
    examine: simclr as EXAMINE trains it.
    study: byol as BYOL-TracIn's paper may have trained it (`presets.extra_positive`), beside `paper` of byol_tracin and its variants.
    original: the method's own paper and code on ImageNet.
    released_code: github.com/soumitri2001/SmallDataSSL, which differs from the low-resource paper's text.

What a source leaves open is said beside the value, in the folder `presets`. The architecture is an argument of its own: the papers' are
`examine_paper` and `resnet50`.
"""

import dataclasses
from collections.abc import Callable

from examine_jax.models.presets import Architecture
from examine_jax.pretraining.methods.byol import BYOL
from examine_jax.pretraining.methods.byol_feature_transformation import BYOLFeatureTransformation
from examine_jax.pretraining.methods.byol_tracin import BYOLTracIn
from examine_jax.pretraining.presets import contrastive, extra_positive, reconstruction, without_negatives
from examine_jax.training.method import Method
from examine_jax.training.settings import Phase, PretrainSettings

Preset = Callable[[Architecture], tuple[Method, PretrainSettings]]


def method_names() -> tuple[str, ...]:
    """What `method_preset` knows and images alone can train: all but byol_sup, whose value needs `labels` set."""
    return tuple(name for name in _PRESETS if name != "byol_sup")


def preset_names(method: str) -> tuple[str, ...]:
    """The presets of a method.

    Raises:
        ValueError: no such method (says which there are).
    """
    if method not in _PRESETS:
        raise ValueError(f"no method is named {method!r}; there are: {', '.join(_PRESETS)}")
    return tuple(_PRESETS[method])


def method_preset(
    method: str,
    architecture: Architecture,
    *,
    preset: str = "small",
    steps: int | None = None,
    num_images: int | None = None,
) -> tuple[Method, PretrainSettings]:
    """A method for this architecture, and how it is trained.

    Args:
        method: one of `method_names()`.
        architecture: the encoder, and the decoder for mae and autoencoder.
        preset: one of `preset_names(method)`.
        steps: of the whole training, in place of the preset's own length.
        num_images: of the training set; where the preset counts epochs, tells BYOL's moving average how many steps these are (without
            it and without `steps`: as many as in the preset's source).

    Raises:
        ValueError: no such method or preset (says which there are), or an architecture that the method cannot use.
    """
    if preset not in preset_names(method):
        raise ValueError(f"{method} has no preset {preset!r}; there are: {', '.join(_PRESETS[method])}")
    value, settings = _PRESETS[method][preset](architecture)
    if steps is not None:
        settings = dataclasses.replace(settings, phases=(Phase(steps=steps),))
    elif num_images is not None:
        steps = settings.phases[0].count(max(1, num_images // settings.batch_size))
    if steps is not None:
        value = _averaged_over(value, steps)
    return value, settings


def _averaged_over(value: Method, steps: int) -> Method:
    """With BYOL's moving average told how long the training is."""
    byol = value.byol if isinstance(value, BYOLTracIn | BYOLFeatureTransformation) else value
    if not isinstance(byol, BYOL):
        return value
    byol = dataclasses.replace(byol, moving_average=dataclasses.replace(byol.moving_average, steps=steps))
    return dataclasses.replace(value, byol=byol) if isinstance(value, BYOLTracIn | BYOLFeatureTransformation) else byol


_PRESETS: dict[str, dict[str, Preset]] = {
    "mae": {
        "small": reconstruction.mae_small,
        "paper": reconstruction.mae_paper,
        "original": reconstruction.mae_original,
    },
    "autoencoder": {"small": reconstruction.autoencoder_small, "paper": reconstruction.autoencoder_paper},
    "simclr": {
        "small": contrastive.simclr_small,
        "paper": contrastive.simclr_paper,
        "examine": contrastive.simclr_examine,
        "original": contrastive.simclr_original,
        "released_code": contrastive.simclr_released,
    },
    "dcl": {
        "small": contrastive.dcl_small,
        "paper": contrastive.dcl_paper,
        "original": contrastive.dcl_original,
        "released_code": contrastive.dcl_released,
    },
    "dclw": {
        "small": contrastive.dclw_small,
        "original": contrastive.dclw_original,
        "released_code": contrastive.dcl_released,
    },
    "byol": {
        "small": without_negatives.byol_small,
        "paper": without_negatives.byol_paper,
        "original": without_negatives.byol_original,
        "study": extra_positive.byol_study,
    },
    "simsiam": {
        "small": without_negatives.simsiam_small,
        "paper": without_negatives.simsiam_paper,
        "original": without_negatives.simsiam_original,
        "released_code": without_negatives.simsiam_released,
    },
    "vicreg": {
        "small": without_negatives.vicreg_small,
        "paper": without_negatives.vicreg_paper,
        "original": without_negatives.vicreg_original,
        "released_code": without_negatives.vicreg_released,
    },
    **{
        name: {
            "small": extra_positive.ExtraPositivePreset(choice, paper=False),
            "paper": extra_positive.ExtraPositivePreset(choice, paper=True),
        }
        for name, choice in extra_positive.CHOICES.items()
    },
}
