"""examine_jax: which unlabelled medical images are no use, which to label, and scores of all.

The scorer is here at once and needs jax and numpy alone; what trains, reads images or writes
reports is imported when first asked for.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from examine_jax.scoring import (
    AdaptiveSecular,
    DenseSVD,
    Diagnostics,
    Examination,
    GroupExamination,
    KyFanExamination,
    MaskedPower,
    Newcomers,
    Path,
    Secular,
    SpectralSummary,
    Spectrum,
    examine,
    examine_chunks,
    examine_groups,
    examine_ky_fan,
    examine_new_chunks,
    leave_one_out_singular_values,
    summarise_chunks,
)

if TYPE_CHECKING:
    from examine_jax.encoders import Encoder, load_encoder, save_encoder
    from examine_jax.encoders.save import export_vit_mae
    from examine_jax.images import GaussianCorruption, ImageSet, corrupt, load_images, sample_images
    from examine_jax.jobs.assess.assess import assess_features, assess_images
    from examine_jax.jobs.assess.assessment import Assessment
    from examine_jax.jobs.assess.page import write_assessment
    from examine_jax.jobs.assess.settings import AssessSettings
    from examine_jax.jobs.embed import embed_images
    from examine_jax.jobs.pretrain.pretrain import TrainedEncoder, train_encoder
    from examine_jax.jobs.pretrain.settings import TrainingSettings
    from examine_jax.pretraining import MAE, PretrainSettings, method_preset, pretrain
    from examine_jax.selection import Selection, select

_LATER = {
    "AssessSettings": "examine_jax.jobs.assess.settings",
    "Assessment": "examine_jax.jobs.assess.assessment",
    "assess_features": "examine_jax.jobs.assess.assess",
    "assess_images": "examine_jax.jobs.assess.assess",
    "write_assessment": "examine_jax.jobs.assess.page",
    "embed_images": "examine_jax.jobs.embed",
    "TrainedEncoder": "examine_jax.jobs.pretrain.pretrain",
    "TrainingSettings": "examine_jax.jobs.pretrain.settings",
    "train_encoder": "examine_jax.jobs.pretrain.pretrain",
    "GaussianCorruption": "examine_jax.images",
    "ImageSet": "examine_jax.images",
    "corrupt": "examine_jax.images",
    "load_images": "examine_jax.images",
    "sample_images": "examine_jax.images",
    "MAE": "examine_jax.pretraining",
    "Encoder": "examine_jax.encoders",
    "PretrainSettings": "examine_jax.pretraining",
    "export_vit_mae": "examine_jax.encoders",
    "load_encoder": "examine_jax.encoders",
    "method_preset": "examine_jax.pretraining",
    "pretrain": "examine_jax.pretraining",
    "Selection": "examine_jax.selection",
    "select": "examine_jax.selection",
    "save_encoder": "examine_jax.encoders",
}

__all__ = [
    "AdaptiveSecular",
    "DenseSVD",
    "Diagnostics",
    "Examination",
    "GroupExamination",
    "KyFanExamination",
    "MaskedPower",
    "Newcomers",
    "Path",
    "Secular",
    "Selection",
    "SpectralSummary",
    "Spectrum",
    "examine",
    "examine_chunks",
    "examine_groups",
    "examine_ky_fan",
    "examine_new_chunks",
    "leave_one_out_singular_values",
    "select",
    "summarise_chunks",
]

# `from examine_jax import *` imports all of these names: without the extra `assess`, the scorer's.
if all(importlib.util.find_spec(package) for package in ("flax", "optax", "PIL", "skimage")):
    __all__ += [
        "MAE",
        "AssessSettings",
        "Assessment",
        "Encoder",
        "GaussianCorruption",
        "ImageSet",
        "PretrainSettings",
        "TrainedEncoder",
        "TrainingSettings",
        "assess_features",
        "assess_images",
        "corrupt",
        "embed_images",
        "export_vit_mae",
        "load_encoder",
        "load_images",
        "method_preset",
        "pretrain",
        "sample_images",
        "save_encoder",
        "train_encoder",
        "write_assessment",
    ]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'examine_jax' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_LATER[name]), name)
    except ModuleNotFoundError as error:
        raise ImportError(
            f"examine_jax.{name} needs the package {error.name!r}: pip install "
            "'examine-jax[assess]'"
        ) from error


def __dir__() -> list[str]:
    return sorted({*__all__, *_LATER})
