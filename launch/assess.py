"""Assess a folder of unlabelled images: which are worth labelling?

python -m launch.assess --images=DIR --workdir=OUT      (without --images: the sample that ships with scikit-image)
python -m launch.assess --features=F.npy --workdir=OUT  (features from any encoder)
"""

import dataclasses
import pathlib
import sys

from absl import flags

from .command import choose_device, run

FLAGS = flags.FLAGS
_IMAGES = flags.DEFINE_string("images", None, "A folder of images, or an .npy or .npz file; the sample if not given.")
_FEATURES = flags.DEFINE_string("features", None, "An .npy file [N, D] of features made elsewhere, instead of images.")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Where everything is written; the same command goes on where it was killed."
)
_PRETRAIN = flags.DEFINE_string("pretrain_images", None, "Train the encoder on these images instead.")
_ENCODER = flags.DEFINE_string("encoder", None, "A trained encoder's folder; nothing is trained.")
_METHOD = flags.DEFINE_string(
    "method", "mae", "How to train it: mae, autoencoder, simclr, dcl, dclw, byol, simsiam or vicreg."
)
_ARCHITECTURE = flags.DEFINE_string(
    "architecture", "small", "What to train: small, examine_paper, vit_s8, vit_b8, resnet18 or resnet50."
)
_STEPS = flags.DEFINE_integer("steps", None, "Training steps; the architecture's recipe if not given.", lower_bound=1)
_BATCH = flags.DEFINE_integer("batch_size", None, "Images a training step; the recipe's if not given.", lower_bound=1)
_SIZE = flags.DEFINE_integer(
    "image_size", None, "Side that images are resized to; the architecture's if not given.", lower_bound=1
)
_CHANNELS = flags.DEFINE_integer(
    "channels", None, "1 for grey, 3 for colour; the architecture's if not given.", lower_bound=1
)
_PREPROCESSING = flags.DEFINE_enum(
    "preprocessing",
    None,
    ["none", "l2", "zscore"],
    "Of features before scoring: zscore for images, none for --features if not given.",
)
_POOLING = flags.DEFINE_enum(
    "pooling", None, ["mean", "class_token"], "How tokens become features; the architecture's if not given."
)
_CENTER = flags.DEFINE_bool("center", False, "Examine the features less their mean.")
_SOLVER = flags.DEFINE_enum(
    "solver", None, ["secular", "masked_power", "dense_svd"], "Of the scorer; its best if not given."
)
_LEVELS = flags.DEFINE_list(
    "noise_levels", None, "The paper's proof of concept: corrupt the images at these levels, as in 0,.1,.3,.5,1."
)
_SPREAD = flags.DEFINE_enum(
    "noise_spread", "variance", ["variance", "standard_deviation"], "What the second argument of N(d, d*m) is."
)
_NOISE_TRAINING = flags.DEFINE_enum(
    "noise_training",
    "clean",
    ["clean", "clean_then_mixed"],
    "With --noise_levels: train on clean images alone, or as the paper.",
)
_SEED = flags.DEFINE_integer("seed", 0, "Of everything random.", lower_bound=0)


def main() -> None:
    run(_job, "examine-assess")


def _job() -> None:
    _check_flags()
    device = choose_device()
    from examine_jax.jobs.assess.assess import assess_features, assess_images
    from examine_jax.jobs.assess.page import write_assessment

    settings = _settings()
    workdir = pathlib.Path(_WORKDIR.value or "")
    if _FEATURES.value is not None:
        assessment = assess_features(_FEATURES.value, workdir, settings)
        source = f"the file {pathlib.Path(_FEATURES.value).name}"
    else:
        assessment = assess_images(
            _IMAGES.value, workdir, settings, pretrain_images=_PRETRAIN.value, encoder=_ENCODER.value
        )
        source = "scikit-image's sample picture" if _IMAGES.value is None else f"{pathlib.Path(_IMAGES.value).name}"
    page = write_assessment(workdir, assessment, settings, source=source, device=device)
    skipped = 0 if assessment.images is None else len(assessment.images.skipped)
    told = f"{len(assessment.names)} scored" + (f", {skipped} skipped (see skipped.csv)" if skipped else "")
    print(f"{told}; open {page}", file=sys.stderr)


def _check_flags() -> None:
    if not _WORKDIR.value:
        raise ValueError("--workdir=FOLDER is missing: where should the results be written?")
    if _FEATURES.value is not None:
        given = [
            name for name in ("images", "pretrain_images", "encoder", "noise_levels") if FLAGS[name].value is not None
        ]
        if given:
            raise ValueError(f"--features are made already: leave out --{given[0]}")
    if _ENCODER.value is not None and (_PRETRAIN.value is not None or _STEPS.value is not None):
        raise ValueError("--encoder is trained already: leave out --pretrain_images and --steps")


def _settings():  # type: ignore[no-untyped-def]
    from examine_jax.images import GaussianCorruption
    from examine_jax.jobs.assess.assess import AssessSettings
    from examine_jax.pretraining import Phase
    from examine_jax.pretraining.recipes import recipe
    from examine_jax.scoring import DenseSVD, MaskedPower, Secular

    training = None
    if _ENCODER.value is None and _FEATURES.value is None:
        training = recipe(_ARCHITECTURE.value, _METHOD.value)
        if _STEPS.value is not None:
            training = dataclasses.replace(training, phases=(Phase(steps=_STEPS.value),))
        if _BATCH.value is not None:
            training = dataclasses.replace(training, batch_size=_BATCH.value)
    noise = None
    if _LEVELS.value is not None:
        try:
            levels = tuple(float(level) for level in _LEVELS.value)
        except ValueError as error:
            raise ValueError(
                f"--noise_levels takes numbers, as in 0,.1,.3,.5,1; got {','.join(_LEVELS.value)}"
            ) from error
        noise = GaussianCorruption(levels=levels, portion=1.0, spread=_SPREAD.value)
        if len(set(levels)) < 2 or max(levels) == 0:
            raise ValueError("--noise_levels needs at least two different levels, as in 0,.1,.3,.5,1")
    solver = {None: None, "secular": Secular(), "masked_power": MaskedPower(), "dense_svd": DenseSVD()}[_SOLVER.value]
    return AssessSettings(
        method=_METHOD.value,
        architecture=_ARCHITECTURE.value,
        training=training,
        image_size=_SIZE.value,
        channels=_CHANNELS.value,
        preprocessing=_PREPROCESSING.value,
        pooling=_POOLING.value,
        center=_CENTER.value,
        solver=solver,
        noise=noise,
        noise_training=_NOISE_TRAINING.value,
        seed=_SEED.value,
    )


if __name__ == "__main__":
    main()
