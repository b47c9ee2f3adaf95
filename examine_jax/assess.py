"""The main job: images in, a ranked and illustrated assessment out."""

import dataclasses
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import jax
import numpy as np
from tqdm import tqdm

from examine_jax._shapes import Float, Int, UInt8
from examine_jax.evaluation.control_features import channel_means, raw_pixels
from examine_jax.evaluation.noise_separation import NoiseSeparation, noise_separation
from examine_jax.images import GaussianCorruption, ImageSet, corrupt, exact_duplicates, load_images, sample_images
from examine_jax.models.presets import architecture as named_architecture
from examine_jax.preprocessing import PREPROCESSINGS, FeatureStatistics, Preprocessing, preprocess
from examine_jax.pretraining import MAE, Encoder, Phase, PretrainSettings, load_encoder, pretrain, save_encoder
from examine_jax.pretraining.configuration import claim, to_plain
from examine_jax.pretraining.recipes import recipe
from examine_jax.reporting.tables import rank_by_gap
from examine_jax.scoring import Examination, examine
from examine_jax.scoring.examine import Solver

_REFERENCE_IMAGES = 2000  # training images whose features the z-scores refer to
_MIXED_NOISE = 0.375  # the paper corrupts 60,000 of its 160,000 training images
_CLEAN_STEPS = 2 / 3  # of the training, before the mixed set; the paper does not say


@dataclasses.dataclass(frozen=True)
class AssessSettings:
    """Everything that an assessment depends on but the images themselves.

    Attributes:
        architecture: a preset's name (`models.presets`); unused with a given encoder.
        training: how it is trained; None: the preset's recipe.
        image_size, channels: of what the encoder sees; None: the preset's.
        preprocessing: "none" (the paper's equation), "l2" rows or "zscore"; z-scores are against the clean training images' features
            where they are known, else against the assessed images' own. None: "zscore" for images, "none" for given features.
        pooling: how tokens become features, "mean" or "class_token"; None: the preset's.
        center: examine the features less their mean.
        solver: of the scorer; None: its default.
        noise: the paper's proof of concept (section 4.1): corrupt the assessed images. None: images as they are.
        noise_training: "clean": train on clean images alone; "clean_then_mixed": then on a partly corrupted set, as the paper does. An
            encoder that has seen the noise no longer finds it unusual, and with z-scores separates it less.
        seed: of everything random.
    """

    architecture: str = "small"
    training: PretrainSettings | None = None
    image_size: int | None = None
    channels: int | None = None
    preprocessing: Preprocessing | None = None
    pooling: Literal["mean", "class_token"] | None = None
    center: bool = False
    solver: Solver | None = None
    noise: GaussianCorruption | None = None
    noise_training: Literal["clean", "clean_then_mixed"] = "clean"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.preprocessing is not None and self.preprocessing not in PREPROCESSINGS:
            raise ValueError(f"preprocessing {self.preprocessing!r} is none of {', '.join(PREPROCESSINGS)}")
        if self.noise_training not in ("clean", "clean_then_mixed"):
            raise ValueError(f"noise_training must be 'clean' or 'clean_then_mixed', got {self.noise_training!r}")


@dataclasses.dataclass(frozen=True, eq=False)
class Assessment:
    """What an assessment found; row i of every array is image i.

    Attributes:
        names: of the images (or "row 17" for given features).
        features: [N, D], exactly the matrix that was scored.
        examination: scores, gaps and error bounds, NumPy arrays.
        rank: [N], 1 = best = smallest gap, ties by index.
        preprocessing: what was done to the encoder's features.
        images: the assessed images as the encoder saw them (with their noise), or None for given features.
        level: [N] noise level, or None.
        separations: how well gaps tell the noise levels, for the trained encoder and each control; empty without noise.
        encoder: or None for given features.
        training_loss: (steps, losses), or None where nothing was trained.
        duplicates: groups of indices of images that are exactly alike.
        seconds: of each stage.
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
    progress: bool = True,
) -> Assessment:
    """Train an encoder on images (or take one), embed the images, examine the features.

    The same call in the same workdir goes on where a killed one was, and ends with the same scores.

    Args:
        images: a folder, .npy or .npz file; None: the sample that ships with scikit-image.
        workdir: receives checkpoints/ and encoder/ (the report's files are `reporting`'s to write).
        settings: how.
        pretrain_images: train on these instead; the assessed images are then new to the encoder.
        encoder: a trained encoder's folder: nothing is trained.
        progress: say on stderr what is being done, how fast, and how long it will take.

    Raises:
        ValueError, OSError: a one-line reason and remedy: nothing readable, fewer than two images, settings that do not fit, a workdir
            that holds another run.
    """
    workdir = pathlib.Path(workdir)
    trained = None if encoder is None else load_encoder(encoder)
    if trained is None:
        method = MAE.of(
            named_architecture(settings.architecture, image_size=settings.image_size, channels=settings.channels)
        )
        if settings.pooling is not None:
            method = dataclasses.replace(method, encoder=dataclasses.replace(method.encoder, pooling=settings.pooling))
    else:
        trained = trained if settings.pooling is None else trained.with_pooling(settings.pooling)
        method = trained.method  # type: ignore[assignment]
    sources = {"images": _path(images), "pretrain_images": _path(pretrain_images), "encoder": _path(encoder)}
    claim(workdir / "config.json", {**sources, "settings": to_plain(settings)})
    seconds: dict[str, float] = {}
    kind: Preprocessing = settings.preprocessing or "zscore"

    with _stage("read images", seconds, progress):
        assessed, training = _load(images, pretrain_images, method, trained, progress)
    level, clean_mean = None, float(training.pixels.mean()) / 255
    if settings.noise is not None:
        noisy, level = corrupt(assessed.pixels, settings.noise, seed=settings.seed, mean=clean_mean)
        assessed = dataclasses.replace(assessed, pixels=_as_bytes(noisy))

    loss = None
    if trained is None:
        with _stage("train", seconds, progress):
            trained, loss = _train(method, training.pixels, clean_mean, settings, workdir, progress)
    with _stage("embed", seconds, progress):
        features = _embed(trained, assessed.pixels, progress)
        reference = _reference(trained) if kind == "zscore" else None
        scored = preprocess(features, kind, reference)
    with _stage("score", seconds, progress):
        examination = _examine(scored, settings)
    separations = {}
    if level is not None:
        with _stage("controls", seconds, progress):
            separations = _separations(trained, training.pixels, assessed.pixels, level, examination, kind, settings)
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
    """Examine features that some other encoder made: an .npy file [N, D].

    Raises:
        ValueError, OSError: as `assess_images`; NaN or infinite features (which rows), not a matrix, pickled objects.
    """
    file = pathlib.Path(features)
    if settings.noise is not None:
        raise ValueError("noise levels need images: given features cannot be corrupted; leave --noise_levels out")
    try:
        array = np.load(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(
            f"{file} is no readable .npy file of numbers ({error}); save it with numpy.save(file, array)"
        ) from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{file} holds several arrays; give an .npy file with one matrix [N, D]")
    claim(pathlib.Path(workdir) / "config.json", {"features": _path(features), "settings": to_plain(settings)})
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
    images: Any, pretrain_images: Any, method: MAE, trained: Encoder | None, progress: bool
) -> tuple[ImageSet, ImageSet]:
    size, channels = method.encoder.image_size, method.encoder.channels
    bits = None if trained is None else trained.training.get("bits_stored")

    def load(source: Any, bits: int | None) -> ImageSet:
        with _bar("images", progress) as report:
            return load_images(source, image_size=size, channels=channels, bits_stored=bits, on_progress=report)

    if images is None:
        training, assessed = sample_images(image_size=size, channels=channels)
    else:
        assessed = load(images, bits)
        training = assessed
    if pretrain_images is not None:
        training = load(pretrain_images, bits)
        if images is not None and training.bits_stored != assessed.bits_stored:
            assessed = load(images, training.bits_stored)  # both sets on one scale: the training set's
    if len(assessed) < 2:
        raise ValueError(f"{images} holds one readable image; leaving one out needs at least two")
    return assessed, training


def _train(
    method: MAE,
    clean: UInt8[np.ndarray, "n h w c"],
    mean: float,
    settings: AssessSettings,
    workdir: pathlib.Path,
    progress: bool,
) -> tuple[Encoder, tuple[np.ndarray, np.ndarray]]:
    training = settings.training or recipe(settings.architecture)
    training = dataclasses.replace(training, batch_size=min(training.batch_size, len(clean)), seed=settings.seed)
    sets = [clean]
    if settings.noise is not None and settings.noise_training == "clean_then_mixed" and len(training.phases) == 1:
        corruption = dataclasses.replace(
            settings.noise, levels=tuple(level for level in settings.noise.levels if level > 0), portion=_MIXED_NOISE
        )
        # The assessed images' noise must be new to the encoder: another stream.
        mixed, _ = corrupt(clean, corruption, seed=settings.seed + 1_000_003, mean=mean)
        sets.append(_as_bytes(mixed))
        training = dataclasses.replace(training, phases=_in_two(training.phases[0]))
    result = pretrain(method, sets, training, workdir, progress=progress)
    encoder = Encoder(method, result.params, result.state)
    statistics = FeatureStatistics.of(encoder.embed(_some(clean, settings.seed)))
    remembered = {
        "architecture": settings.architecture,
        "settings": to_plain(training),
        "images": len(clean),
        "steps": len(result.history),
        "final_loss": result.history[-1]["loss"],
        "feature_mean": statistics.mean.tolist(),
        "feature_deviation": statistics.deviation.tolist(),
    }
    save_encoder(workdir / "encoder", method, result.params, result.state, remembered)
    steps = np.array([record["step"] for record in result.history])
    losses = np.array([record["loss"] for record in result.history], np.float64)
    return Encoder(method, result.params, result.state, remembered), (steps, losses)


def _in_two(phase: Phase) -> tuple[Phase, Phase]:
    """The clean phase and the mixed one."""
    if phase.steps is not None:
        first = max(1, round(phase.steps * _CLEAN_STEPS))
        return Phase(steps=first), Phase(steps=max(1, phase.steps - first))
    epochs = phase.epochs or 1.0
    return Phase(epochs=epochs * _CLEAN_STEPS), Phase(epochs=epochs * (1 - _CLEAN_STEPS))


def _some(images: UInt8[np.ndarray, "n h w c"], seed: int) -> UInt8[np.ndarray, "m h w c"]:
    if len(images) <= _REFERENCE_IMAGES:
        return images
    return images[np.sort(np.random.default_rng(seed).choice(len(images), _REFERENCE_IMAGES, replace=False))]


def _reference(encoder: Encoder) -> FeatureStatistics | None:
    """The statistics that the encoder's folder carries; None if it was trained elsewhere."""
    try:
        mean, deviation = (np.array(encoder.training[key], np.float64) for key in ("feature_mean", "feature_deviation"))
    except KeyError:
        return None
    return FeatureStatistics(mean, deviation)


def _embed(encoder: Encoder, pixels: UInt8[np.ndarray, "n h w c"], progress: bool) -> Float[np.ndarray, "n d"]:
    with _bar("embedded", progress) as report:
        return encoder.embed(pixels, on_progress=report)


def _examine(features: np.ndarray, settings: AssessSettings) -> Examination:
    return jax.tree.map(np.asarray, examine(features, solver=settings.solver, center=settings.center))


def _separations(
    encoder: Encoder,
    training: UInt8[np.ndarray, "t h w c"],
    pixels: UInt8[np.ndarray, "n h w c"],
    level: Float[np.ndarray, " n"],
    examination: Examination,
    kind: Preprocessing,
    settings: AssessSettings,
) -> dict[str, NoiseSeparation]:
    """Of the encoder's features, and of what needs no training, treated the same way."""
    reference = _some(training, settings.seed)
    example = {"image": pixels[:1], "index": np.arange(1)}
    untrained = Encoder(encoder.method, *encoder.method.init(jax.random.key(settings.seed), example))
    makers: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "untrained encoder": untrained.embed,
        "raw pixels": raw_pixels,
        "channel means": channel_means,
    }
    found = {"trained encoder": noise_separation(np.asarray(examination.gap), level)}
    for name, make in makers.items():
        features = make(pixels)
        statistics = FeatureStatistics.of(make(reference)) if kind == "zscore" else None
        found[name] = noise_separation(
            np.asarray(_examine(preprocess(features, kind, statistics), settings).gap), level
        )
    if kind != "none":
        found["raw pixels, nothing done"] = noise_separation(
            np.asarray(_examine(raw_pixels(pixels), settings).gap), level
        )
    return found


def _as_bytes(images: np.ndarray) -> UInt8[np.ndarray, "n h w c"]:
    """Noise that was not clipped leaves the range of an image file; the encoder takes bytes, so it is clipped here."""
    return images if images.dtype == np.uint8 else np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)


def _path(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else str(pathlib.Path(path).resolve())


@contextmanager
def _stage(name: str, seconds: dict[str, float], progress: bool) -> Iterator[None]:
    begin = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - begin
    if progress:
        print(f"{name}: {seconds[name]:.1f} s", file=sys.stderr)


@contextmanager
def _bar(unit: str, progress: bool) -> Iterator[Callable[[int, int], None]]:
    with tqdm(unit=f" {unit}", disable=not progress, file=sys.stderr, dynamic_ncols=True) as bar:

        def report(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield report
