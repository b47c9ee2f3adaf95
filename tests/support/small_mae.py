"""A masked autoencoder that trains in a moment, its images, and where its programs are kept."""

import contextlib

import jax
import numpy as np

from examine_jax.models import DecoderConfig, ViTConfig
from examine_jax.pretraining import MAE, Phase, PretrainSettings, WarmupCosine

METHOD = MAE(
    ViTConfig(
        image_size=16,
        patch_size=4,
        channels=1,
        width=16,
        depth=1,
        heads=2,
        mlp_width=32,
        class_token=False,
    ),
    DecoderConfig(width=8, depth=1, heads=2, mlp_width=16),
)
STEPS = 150


def settings(steps=STEPS, **changes):
    """A run's settings. Each number of steps is a program of its own."""
    return PretrainSettings(
        phases=(Phase(steps=steps),), batch_size=8, schedule=WarmupCosine(0.1), **changes
    )


def smooth_blobs():
    """44 images, which can be painted in from their surroundings."""
    generator = np.random.default_rng(0)
    centre = generator.uniform(0, 16, (44, 2, 1, 1))
    row, column = np.mgrid[:16, :16]
    return (255 * np.exp(-((row - centre[:, 0]) ** 2 + (column - centre[:, 1]) ** 2) / 60)).astype(
        np.uint8
    )[..., None]


@contextlib.contextmanager
def programs_kept_in(folder):
    """Keeps compiled programs in a folder; yields the environment by which children do it too.

    The runs of a test's module are of few programs: each is compiled once.
    """
    settings = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0.1,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    try:
        yield {name.upper(): str(value) for name, value in settings.items()}
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def same(a, b):
    """Whether the leaves of two trees are equal."""
    return all(
        np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )
