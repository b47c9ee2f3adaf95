"""The methods by name with their presets, and the classes that config.json may hold.

A new method is a new file in methods/ and one line in METHODS.

Presets:
    small: for two CPU cores and tiles of tissue of 72 to 96 pixels: a batch of 64, some ten
        minutes. No paper's numbers: narrow heads, AdamW, a temperature for few negatives, views
        for tissue (`presets_shared.small_views`).
    quick: mae with a third of the images of `small`, in half of the CPU time: batches of 16,
        scaled pixels.
    paper: as the seed paper trains it. EXAMINE (section 4.1: 200 epochs, batch 256, AdamW(.9, .95)
        with weight decay .05, cosine; "the same strategy" for its other encoders) for mae,
        autoencoder and byol; Exploring SSL for Low-Resource Medical Image Analysis (section 3.1:
        SGD .01, 250 epochs, the batch of 64 of its best kNN results) for simclr, dcl, simsiam and
        vicreg.
    examine: simclr as EXAMINE trains it.
    study: byol as BYOL-TracIn's paper may have trained it, like `paper` of byol_tracin and its
        variants.
    original: the method's own paper and code on ImageNet.
    released_code: github.com/soumitri2001/SmallDataSSL, which differs from the low-resource paper's
        text.

What a source leaves open is said beside the value in the method's file. The architecture is an
argument of its own: the papers' are `examine_paper` and `resnet50`.
"""

import dataclasses
import importlib

from examine_jax.images.augmentation import AUGMENTATIONS
from examine_jax.models import CONFIGURATIONS
from examine_jax.models.architectures import Architecture
from examine_jax.models.architectures import architecture as named_architecture
from examine_jax.pretraining.methods import (
    autoencoder,
    byol,
    byol_feature_transformation,
    byol_tracin,
    dcl,
    mae,
    simclr,
    simsiam,
    vicreg,
)
from examine_jax.pretraining.named_method import NamedMethod
from examine_jax.pretraining.pixels import PixelScale
from examine_jax.training.method import IMAGE, Method, for_steps, required_columns
from examine_jax.training.settings import Phase, PretrainSettings

METHODS: tuple[NamedMethod, ...] = (
    *mae.NAMED,
    *autoencoder.NAMED,
    *simclr.NAMED,
    *dcl.NAMED,
    *byol.NAMED,
    *simsiam.NAMED,
    *vicreg.NAMED,
    *byol_tracin.NAMED,
    *byol_feature_transformation.NAMED,
)
_SHARED_SETTINGS: tuple[type, ...] = (*CONFIGURATIONS, PixelScale, *AUGMENTATIONS)


def known_settings() -> tuple[type, ...]:
    """The classes that an encoder's config.json may hold."""
    return tuple(
        dict.fromkeys([*(one for method in METHODS for one in method.settings), *_SHARED_SETTINGS])
    )


def method_names() -> tuple[str, ...]:
    """The methods that need only images; byol_sup, which needs labels, is not among them."""
    return tuple(method.name for method in METHODS if _columns(method) == (IMAGE,))


def _columns(method: NamedMethod) -> tuple[str, ...]:
    first = next(iter(method.presets.values()))
    return required_columns(first(named_architecture("small"))[0])


def find_method(name: str) -> NamedMethod:
    """The registered method of that name, or the one at "package.module:ATTRIBUTE".

    Raises:
        ValueError: there is none (says which there are), or it is no NamedMethod.
    """
    if ":" in name:
        return _outside_method(name)
    for method in METHODS:
        if method.name == name:
            return method
    raise ValueError(
        f"no method is named {name!r}; there are: {', '.join(method.name for method in METHODS)}"
    )


def _outside_method(name: str) -> NamedMethod:
    module, _, attribute = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"method {name!r} cannot be imported ({error}); give package.module:ATTRIBUTE"
        ) from error
    if not isinstance(found, NamedMethod):
        raise ValueError(f"method {name!r} is a {type(found).__name__}; it must be a NamedMethod")
    return found


def preset_names(method: str) -> tuple[str, ...]:
    """The presets of a method.

    Raises:
        ValueError: no such method (says which there are).
    """
    return tuple(find_method(method).presets)


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
        method: a name of the registry, or "package.module:ATTRIBUTE" of a `NamedMethod`.
        architecture: the encoder, and the decoder for mae and autoencoder.
        preset: one of `preset_names(method)`.
        steps: length of the training in place of the preset's own.
        num_images: size of the training set. If the preset counts epochs, it tells BYOL's moving
            average how many steps these are (without it and without `steps`: as many as in the
            preset's source).

    Raises:
        ValueError: no such method or preset (says which there are), or an architecture that the
            method cannot use.
    """
    presets = find_method(method).presets
    if preset not in presets:
        raise ValueError(f"{method} has no preset {preset!r}; there are: {', '.join(presets)}")
    value, settings = presets[preset](architecture)
    if steps is not None:
        settings = dataclasses.replace(settings, phases=(Phase(steps=steps),))
    elif num_images is not None:
        steps = settings.phases[0].count(max(1, num_images // settings.batch_size))
    return (value if steps is None else for_steps(value, steps)), settings
