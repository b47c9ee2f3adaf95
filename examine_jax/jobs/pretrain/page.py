"""A training's page: loss, what was watched, what the method sees."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from examine_jax.common.atomic_files import write_bytes
from examine_jax.common.configuration import to_plain
from examine_jax.jobs.pretrain.pretrain import TrainedEncoder, TrainingSettings
from examine_jax.pretraining import MAE, Autoencoder
from examine_jax.reporting.charts import galleries, training_curves
from examine_jax.reporting.page import Illustration, Report, package_versions, write_report
from examine_jax.reporting.tables import write_skipped

_WATCHED = {
    "feature_deviation": "Standard deviation of normalised features: 0 is collapse (all images alike).",
    "rank_me": "Effective rank of the features of some images (RankMe): near 1 is collapse.",
    "knn_accuracy": "Share of watched images that their nearest neighbours' labels tell rightly. The training saw no label.",
}


def write_training(
    workdir: pathlib.Path, trained: TrainedEncoder, settings: TrainingSettings, *, source: str, device: str
) -> pathlib.Path:
    """Write training.html, its figures as PNG and skipped.csv; returns the page's path.

    Raises:
        OSError: a file cannot be written (which).
    """
    if trained.skipped:
        write_skipped(workdir / "skipped.csv", trained.skipped)
    illustrations = _illustrations(trained)
    for name, illustration in illustrations.items():
        write_bytes(workdir / f"{name}.png", illustration.png)
    last = trained.history[-1]
    page = workdir / "training.html"
    watched = {name: f"{last[name]:.4g}" for name in _WATCHED if name in last}
    write_report(
        page,
        Report(
            title=f"Training of an encoder: {settings.method}",
            headline=f"{settings.method} ({settings.preset}) on {trained.images} images from {source}: "
            f"loss {trained.history[0]['loss']:.4g} at the first of {len(trained.history)} steps, {last['loss']:.4g} at the last.",
            summary={
                "images": str(trained.images),
                "steps": str(len(trained.history)),
                "batch": str(trained.settings.batch_size),
                "files skipped": str(len(trained.skipped)),
                "device": device,
                **{name.replace("_", " "): value for name, value in watched.items()},
            },
            highest=(),
            lowest=(),
            figures=tuple(illustrations.values()),
            skipped=trained.skipped,
            warnings=_warnings(trained),
            settings={"method": to_plain(trained.encoder.method), "training": to_plain(trained.settings)},
            versions=package_versions(),
        ),
    )
    return page


def _illustrations(trained: TrainedEncoder) -> dict[str, Illustration]:
    def column(name: str) -> tuple[np.ndarray, np.ndarray]:
        records = [record for record in trained.history if name in record]
        return np.array([record["step"] for record in records]), np.array([record[name] for record in records], float)

    made = {
        "training_loss": Illustration(
            "Training loss", training_curves.loss_curve(*column("loss")), "Should have levelled off.", "Loss by step"
        )
    }
    for name, caption in _WATCHED.items():
        steps, values = column(name)
        if len(steps):
            title = name.replace("_", " ")
            made[name] = Illustration(title, training_curves.monitored_curve(steps, values, title), caption, f"{title} by step")
    method, params, key = trained.encoder.method, trained.encoder.params, jax.random.key(0)
    examples = trained.examples
    if isinstance(method, MAE):
        pictures = galleries.reconstructions(examples, *trained.encoder.reconstruct(examples, key))
        made["reconstructions"] = Illustration(
            "Reconstructions",
            pictures,
            "Original, what the encoder saw, what was painted in.",
            "Images and reconstructions",
        )
    elif isinstance(method, Autoencoder):
        painted = np.asarray(jax.jit(method.reconstruct)(params, jnp.asarray(examples)))
        made["reconstructions"] = Illustration(
            "Reconstructions",
            galleries.before_and_after(examples, painted),
            "Above the original, below what came out of the autoencoder.",
            "Images and reconstructions",
        )
    elif hasattr(method, "augmentation"):
        views = jax.jit(method.augmentation)(key, jnp.asarray(examples))
        made["views"] = Illustration(
            "Pairs of views",
            galleries.view_pairs(examples, *map(np.asarray, views)),
            "What the method takes for the same thing. If you would not, change the augmentation.",
            "Images and their two augmented views",
        )
    return made


def _warnings(trained: TrainedEncoder) -> tuple[str, ...]:
    found = []
    last = trained.history[-1]
    features = trained.encoder.method.encoder.features
    if last.get("feature_deviation", 1.0) < 0.1 / features**0.5:
        found.append(
            "The features have collapsed: all images look alike to this encoder. Lower the learning rate or take another method."
        )
    if trained.resized_up:
        found.append(f"{trained.resized_up} images were smaller than the encoder's input and were enlarged.")
    return tuple(found)
