"""The main job: trains an encoder on images, embeds them and scores their features."""

import dataclasses
import os
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import jax
import numpy as np

from examine_jax.common.configuration import check_or_write_config, to_plain
from examine_jax.common.progress import progress_bar
from examine_jax.common.settings import setting
from examine_jax.common.shapes import Float, Int, UInt8
from examine_jax.encoders import Encoder, load_encoder
from examine_jax.encoders.train import train_and_save
from examine_jax.evaluation.noise_experiment import (
    clean_then_mixed,
    clip_to_bytes,
    mixed_training_set,
    separations_with_controls,
)
from examine_jax.evaluation.noise_separation import NoiseSeparation
from examine_jax.features.preprocessing import (
    PREPROCESSINGS,
    FeatureStatistics,
    Preprocessing,
    preprocess,
)
from examine_jax.images import (
    GaussianCorruption,
    ImageSet,
    corrupt,
    exact_duplicates,
    load_images,
    sample_images,
)
from examine_jax.images.sources.load import check_dicom_settings, dicom_settings
from examine_jax.images.sources.scan import check_workdir
from examine_jax.models.architectures import ARCHITECTURES
from examine_jax.models.architectures import architecture as named_architecture
from examine_jax.pretraining import Method, PretrainSettings, method_names, method_preset
from examine_jax.pretraining.recipes import recipe
from examine_jax.reporting.tables import rank_by_gap
from examine_jax.scoring import Examination, Solver, examine
from examine_jax.scoring.registry import SOLVERS


@dataclasses.dataclass(frozen=True)
class AssessSettings:
    """Everything that an assessment depends on, apart from the images.

    Z-scores use the statistics of the clean training images where the encoder's folder has them,
    otherwise those of the assessed images. An encoder that has seen the noise no longer finds it
    unusual: with `noise_training="clean_then_mixed"`, z-scored features separate the noise less.

    Attributes:
        training: the training settings. None: the architecture's recipe.
        noise: corrupts the assessed images, as the paper's proof of concept does (section 4.1).
            None: images as they are.
    """

    method: str = setting(
        "mae",
        "The method that trains the encoder, with its preset `small`.",
        known=method_names,
        metavar="NAME",
        main=True,
    )
    architecture: str = setting(
        "small", "The encoder's architecture.", known=ARCHITECTURES, metavar="NAME", main=True
    )
    training: PretrainSettings | None = None
    image_size: int | None = setting(
        None,
        "Images are resized to this side. If not given: the architecture's.",
        minimum=1,
        main=True,
    )
    channels: int | None = setting(
        None, "1: grey, 3: colour. If not given: the architecture's.", minimum=1
    )
    preprocessing: Preprocessing | None = setting(
        None, "Of features before scoring. If not given: zscore for images, none for --features."
    )
    pooling: Literal["mean", "class_token"] | None = setting(
        None, "How tokens become features. If not given: the architecture's."
    )
    center: bool = setting(False, "Subtract the features' mean before scoring.")
    solver: Solver | None = setting(
        None,
        "The scorer's solver. If not given: the fastest exact one.",
        known=SOLVERS,
        metavar="NAME",
    )
    noise: GaussianCorruption | None = None
    noise_training: Literal["clean", "clean_then_mixed"] = setting(
        "clean",
        "With --noise_levels: train on clean images, or then also on corrupted ones, as the paper.",
    )
    seed: int = setting(0, "Of all random numbers.", minimum=0, main=True)

    def __post_init__(self) -> None:
        if self.preprocessing is not None and self.preprocessing not in PREPROCESSINGS:
            raise ValueError(
                f"preprocessing {self.preprocessing!r} is none of {', '.join(PREPROCESSINGS)}"
            )
        if self.noise_training not in ("clean", "clean_then_mixed"):
            raise ValueError(
                f"noise_training must be 'clean' or 'clean_then_mixed', got {self.noise_training!r}"
            )


@dataclasses.dataclass(frozen=True, eq=False)
class Assessment:
    """The results of an assessment. Row i of every array is image i.

    Attributes:
        names: the images' names ("row 17" for given features).
        features: [N, D], the matrix that was scored.
        examination: scores, gaps and error bounds, as NumPy arrays.
        rank: [N]. Rank 1 has the smallest gap; ties go by index.
        preprocessing: of the encoder's features.
        images: the assessed images as the encoder saw them, with their noise; None for given
            features.
        level: [N], the noise levels, or None.
        separations: how well gaps separate the noise levels, by features: the trained encoder's
            and each control's. Empty without noise.
        encoder: the encoder; None for given features.
        training_loss: (steps, losses), or None if nothing was trained.
        duplicates: groups of indices of identical images.
        seconds: the time of each stage.
    """

    names: tuple[str, ...]
    features: Float[np.ndarray, "n d"]
    examination: Examination
    rank: Int[np.ndarray, " n"]
    preprocessing: Preprocessing
    images: ImageSet | None = None
    level: Float[np.ndarray, " n"] | None = None
    separations: dict[str, NoiseSeparation] = dataclasses.field(default_factory=dict)
    encoder: Encoder | None = None
    training_loss: tuple[Int[np.ndarray, " t"], Float[np.ndarray, " t"]] | None = None
    duplicates: tuple[tuple[int, ...], ...] = ()
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)


def assess_images(
    images: str | os.PathLike[str] | None,
    workdir: str | os.PathLike[str],
    settings: AssessSettings = AssessSettings(),
    *,
    pretrain_images: str | os.PathLike[str] | None = None,
    encoder: str | os.PathLike[str] | None = None,
    intensity_range: tuple[float, float] | None = None,
    dicom_window: int | None = None,
    progress: bool = True,
) -> Assessment:
    """Trains an encoder on images (or loads one), embeds the images and examines the features.

    The same call in the same workdir continues a killed run, and ends with the same scores.

    Args:
        images: a folder, .npy or .npz file. None: the sample that ships with scikit-image.
        workdir: receives config.json, checkpoints/ and encoder/. `write_assessment` writes the
            other files.
        settings: the settings.
        pretrain_images: the encoder is trained on these instead; the assessed images are then new
            to it.
        encoder: the folder of a trained encoder. Nothing is trained.
        intensity_range: (black, white) of grey DICOM values after rescaling, in place of their
            windows. None: as in the training of the given encoder, else as the files say.
        dicom_window: which of a DICOM file's windows. None: as in the training of the given
            encoder, else the first.
        progress: print the stages, their speed and the time left on stderr.

    Returns:
        The assessment.

    Raises:
        ValueError: no readable image, fewer than two images, settings that do not fit, or a
            workdir that holds another run. The message is one line with the reason and a remedy.
        OSError: a file cannot be read or written.
    """
    workdir = pathlib.Path(workdir)
    check_workdir(workdir, images, pretrain_images)
    trained = None if encoder is None else load_encoder(encoder)
    if trained is None:
        method, training = _method(settings)
    else:
        _check_fits(settings, trained)
        trained = trained if settings.pooling is None else trained.with_pooling(settings.pooling)
        method, training = trained.method, None
    sources: dict[str, Any] = {
        "images": _path(images),
        "pretrain_images": _path(pretrain_images),
        "encoder": _path(encoder),
    }
    asked = {"intensity_range": intensity_range, "dicom_window": dicom_window}
    sources |= {name: to_plain(value) for name, value in asked.items() if value is not None}
    if images is None and pretrain_images is None:
        check_dicom_settings("sample:training", intensity_range, dicom_window)
    check_or_write_config(workdir / "config.json", {**sources, "settings": to_plain(settings)})
    seconds: dict[str, float] = {}
    kind: Preprocessing = settings.preprocessing or "zscore"

    with _stage("read images", seconds, progress):
        assessed, images_trained_on = _load(
            images, pretrain_images, method, trained, asked, progress
        )
    level, clean_mean = None, float(images_trained_on.pixels.mean()) / 255
    if settings.noise is not None:
        noisy, level = corrupt(assessed.pixels, settings.noise, seed=settings.seed, mean=clean_mean)
        assessed = dataclasses.replace(assessed, pixels=clip_to_bytes(noisy))

    loss = None
    if trained is None:
        with _stage("train", seconds, progress):
            assert training is not None  # without a given encoder, `_method` returns it
            trained, loss = _train(
                method,
                training,
                images_trained_on,
                clean_mean,
                settings,
                workdir,
                asked,
                progress,
            )
    with _stage("embed", seconds, progress):
        features = _embed(trained, assessed.pixels, progress)
        reference = _reference(trained) if kind == "zscore" else None
        scored = preprocess(features, kind, reference)
    with _stage("score", seconds, progress):
        examination = _examine(scored, settings)
    separations = {}
    if level is not None:
        with _stage("controls", seconds, progress):
            separations = separations_with_controls(
                trained,
                images_trained_on.pixels,
                assessed.pixels,
                level,
                examination,
                kind,
                solver=settings.solver,
                center=settings.center,
                seed=settings.seed,
            )
    return Assessment(
        names=assessed.names,
        features=scored,
        examination=examination,
        rank=rank_by_gap(np.asarray(examination.gap)),
        preprocessing=kind,
        images=assessed,
        level=level,
        separations=separations,
        encoder=trained,
        training_loss=loss,
        duplicates=exact_duplicates(assessed),
        seconds=seconds,
    )


def assess_features(
    features: str | os.PathLike[str],
    workdir: str | os.PathLike[str],
    settings: AssessSettings = AssessSettings(),
    *,
    progress: bool = True,
) -> Assessment:
    """Examines features that another encoder made.

    Args:
        features: an .npy file [N, D].
        workdir: receives config.json.
        settings: the settings; those of images and encoders are not used.
        progress: print the stages on stderr.

    Returns:
        The assessment.

    Raises:
        ValueError: NaN or infinite features (the message names the rows), an array that is not a
            matrix, pickled objects, or a workdir that holds another run.
        OSError: a file cannot be read or written.
    """
    file = pathlib.Path(features)
    if settings.noise is not None:
        raise ValueError(
            "noise levels need images, but features are given; leave --noise_levels out"
        )
    try:
        array = np.load(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"{file} is not a readable .npy file of numbers ({error}); "
            "save it with numpy.save(file, array)"
        ) from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{file} holds several arrays; give an .npy file with one matrix [N, D]")
    check_or_write_config(
        pathlib.Path(workdir) / "config.json",
        {"features": _path(features), "settings": to_plain(settings)},
    )
    kind: Preprocessing = settings.preprocessing or "none"
    if array.dtype.kind == "f" and array.ndim == 2:
        array = preprocess(array, kind)
    seconds: dict[str, float] = {}
    with _stage("score", seconds, progress):
        examination = _examine(array, settings)
    return Assessment(
        names=tuple(f"row {index}" for index in range(len(array))),
        features=array,
        examination=examination,
        rank=rank_by_gap(np.asarray(examination.gap)),
        preprocessing=kind,
        seconds=seconds,
    )


def _load(
    images: Any,
    pretrain_images: Any,
    method: Method,
    trained: Encoder | None,
    asked: Mapping[str, Any],
    progress: bool,
) -> tuple[ImageSet, ImageSet]:
    """(the assessed images, the training images)"""
    size, channels = method.encoder.image_size, method.encoder.channels
    bits = None if trained is None else trained.training.get("bits_stored")

    def load(source: Any, bits: int | None) -> ImageSet:
        with progress_bar("images", progress) as report:
            found = load_images(
                source,
                image_size=size,
                channels=channels,
                bits_stored=bits,
                **dicom_settings(source, trained.training if trained else {}, **asked),
                on_progress=report,
            )
        for note in found.notes if progress else ():
            print(f"images: {note}", file=sys.stderr)
        return found

    if images is None:
        training, assessed = sample_images(image_size=size, channels=channels)
    else:
        assessed = load(images, bits)
        training = assessed
    if pretrain_images is not None:
        training = load(pretrain_images, bits)
        if images is not None and training.bits_stored != assessed.bits_stored:
            assessed = load(images, training.bits_stored)  # both sets need the training set's scale
    if len(assessed) < 2:
        raise ValueError(f"{images} holds one readable image; leaving one out needs at least two")
    return assessed, training


def _check_fits(settings: AssessSettings, trained: Encoder) -> None:
    """Refuses another image size or number of channels than the given encoder's."""
    for name in ("image_size", "channels"):
        asked, own = getattr(settings, name), getattr(trained, name)
        if asked not in (None, own):
            raise ValueError(f"{name} {asked}, but the encoder has {own}: leave {name} out")


def _method(settings: AssessSettings) -> tuple[Method, PretrainSettings]:
    """The method, and the training settings before the number of images is known."""
    chosen = named_architecture(
        settings.architecture, image_size=settings.image_size, channels=settings.channels
    )
    if settings.pooling is not None:
        encoder: Any = chosen.encoder
        if not hasattr(encoder, "pooling"):
            raise ValueError(
                f"pooling needs a vision transformer's tokens: {settings.architecture} has none"
            )
        chosen = dataclasses.replace(
            chosen, encoder=dataclasses.replace(encoder, pooling=settings.pooling)
        )
    training = settings.training or recipe(settings.architecture, settings.method)
    method, _ = method_preset(settings.method, chosen, steps=training.phases[0].steps)
    return method, training


def _train(
    method: Method,
    training: PretrainSettings,
    images: ImageSet,
    mean: float,
    settings: AssessSettings,
    workdir: pathlib.Path,
    asked: Mapping[str, Any],
    progress: bool,
) -> tuple[Encoder, tuple[np.ndarray, np.ndarray]]:
    clean = images.pixels
    training = dataclasses.replace(
        training, batch_size=min(training.batch_size, len(clean)), seed=settings.seed
    )
    sets = [clean]
    if (
        settings.noise is not None
        and settings.noise_training == "clean_then_mixed"
        and len(training.phases) == 1
    ):
        sets.append(mixed_training_set(clean, settings.noise, mean, settings.seed))
        training = dataclasses.replace(training, phases=clean_then_mixed(training.phases[0]))
    encoder, history = train_and_save(
        method,
        sets,
        training,
        workdir,
        architecture=settings.architecture,
        names=images.names,
        bits_stored=images.bits_stored,
        intensity_range=asked["intensity_range"],
        dicom_window=asked["dicom_window"] or 1,
        progress=progress,
    )
    steps = np.array([record["step"] for record in history])
    losses = np.array([record["loss"] for record in history], np.float64)
    return encoder, (steps, losses)


def _reference(encoder: Encoder) -> FeatureStatistics | None:
    """The feature statistics in the encoder's folder; None if it was trained elsewhere."""
    try:
        mean, deviation = (
            np.array(encoder.training[key], np.float64)
            for key in ("feature_mean", "feature_deviation")
        )
    except KeyError:
        return None
    return FeatureStatistics(mean, deviation)


def _embed(
    encoder: Encoder, pixels: UInt8[np.ndarray, "n h w c"], progress: bool
) -> Float[np.ndarray, "n d"]:
    with progress_bar("embedded", progress) as report:
        return encoder.embed(pixels, on_progress=report)


def _examine(features: np.ndarray, settings: AssessSettings) -> Examination:
    return jax.tree.map(
        np.asarray, examine(features, solver=settings.solver, center=settings.center)
    )


def _path(path: str | os.PathLike[str] | None) -> str | None:
    """The path, absolute. A name that is no path, as `tfds:NAME`, stays as it is."""
    if path is None or (":" in os.fspath(path) and not pathlib.Path(path).exists()):
        return None if path is None else os.fspath(path)
    return str(pathlib.Path(path).resolve())


@contextmanager
def _stage(name: str, seconds: dict[str, float], progress: bool) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - begin
    if progress:
        print(f"{name}: {seconds[name]:.1f} s", file=sys.stderr)
