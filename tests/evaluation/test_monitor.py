"""Looking at a run: collapse and classes show, parameters do not change."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from examine_jax.evaluation.monitor import FeatureMonitor
from examine_jax.models import ViTConfig, architecture
from examine_jax.pretraining import MAE, Phase, PretrainSettings, WarmupCosine, pretrain
from examine_jax.training.columns import RowSpec
from examine_jax.training.step import TrainState
from examine_jax.training.throughput import operations_an_example, peak, share_of_peak_a_rate

CONFIG = ViTConfig(image_size=4, patch_size=2, channels=1, width=4, depth=1, heads=1, mlp_width=4)


@dataclasses.dataclass(frozen=True)
class Flat:
    """Pixels times a factor are the features; the loss pulls the factor up."""

    encoder: ViTConfig = CONFIG

    def init(self, key, batch):
        return {"factor": jnp.ones(16)}, {}

    def loss(self, params, state, batch, key):
        return jnp.mean(jnp.square(params["factor"] - 2)) + 0 * batch["image"].mean(), (state, {})

    def after_update(self, params, state, step):
        return state

    def embed(self, params, state, images):
        return params["factor"] * images.reshape(len(images), 16).astype(jnp.float32)


@pytest.fixture(scope="module")
def images():
    """Even and odd images of two classes, which differ in which half is bright."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 60, (90, 4, 4, 1), dtype=np.uint8)
    labels = generator.integers(5, 7, 90)
    pixels[labels == 5, :2] += 150
    pixels[labels == 6, 2:] += 150
    return pixels, labels


def look_at(method, images, labels=None, factor=1.0, neighbours=5):
    observer = FeatureMonitor(images, labels, every=3, neighbours=neighbours).observer(method)
    return observer.observe(3, {"factor": jnp.full(16, factor)}, {})


def test_looks_are_taken_when_due_and_at_the_end(images):
    observer = FeatureMonitor(images[0], every=3).observer(Flat())
    assert [observer.is_due(done, steps=10) for done in (1, 3, 9, 10)] == [False, True, True, True]
    assert [observer.steps_until_due(done) for done in (0, 1, 3, 8)] == [3, 2, 3, 1]


def test_collapse_shows(images):
    spread, same = look_at(Flat(), images[0]), look_at(Flat(), np.full_like(images[0], 7))
    features = images[0].reshape(90, 16).astype(float)
    normalised = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert spread["feature_deviation"] == pytest.approx(normalised.std(axis=0).mean(), rel=1e-4)
    shares = np.linalg.svd(features, compute_uv=False)
    shares = shares / shares.sum() + 1e-7
    assert spread["rank_me"] == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-4)
    assert same["feature_deviation"] == pytest.approx(0, abs=1e-6)
    assert same["rank_me"] == pytest.approx(1, abs=1e-3)


def test_classes_that_lie_apart_are_told_apart(images):
    pixels, labels = images
    assert look_at(Flat(), pixels, labels)["knn_accuracy"] == 1.0
    shuffled = np.random.default_rng(1).permutation(labels)
    assert 0.2 < look_at(Flat(), pixels, shuffled)["knn_accuracy"] < 0.8


def test_a_watched_run_is_the_same_run_with_more_records(images, tmp_path):
    pixels, labels = images
    settings = PretrainSettings((Phase(steps=11),), batch_size=4, schedule=WarmupCosine(0.5))
    alone = pretrain(Flat(), pixels, settings, tmp_path / "alone", progress=False)
    observer = FeatureMonitor(pixels, labels, every=4).observer(Flat())
    watched = pretrain(
        Flat(),
        pixels,
        settings,
        tmp_path / "watched",
        observer=observer,
        tensorboard=True,
        progress=False,
    )
    assert np.array_equal(alone.params["factor"], watched.params["factor"])
    assert [r["step"] for r in watched.history if "rank_me" in r] == [4, 8, 11]
    assert all(r["images_per_second"] > 0 for r in watched.history)
    (file,) = (tmp_path / "watched" / "tensorboard").iterdir()
    logged = scalars(file.read_bytes())
    assert logged[("loss", 11)] == pytest.approx(watched.history[-1]["loss"])
    assert {step for name, step in logged if name == "knn_accuracy"} == {4, 8, 11}


def scalars(content):
    """TFRecords: length, its checksum, the event, its checksum."""
    found, at = {}, 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 8], "little")
        event = Event.FromString(content[at + 12 : at + 12 + length])
        found |= {(value.tag, event.step): value.simple_value for value in event.summary.value}
        at += 12 + length + 4
    return found


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda images: FeatureMonitor(images, every=0), "every"),
        (lambda images: FeatureMonitor(images[:1]), "1 images show no spread"),
        (lambda images: FeatureMonitor(images, np.arange(3)), "3 labels for 90 images"),
        (lambda images: FeatureMonitor(images[:, :2, :2]).observer(Flat()), r"takes \(4, 4, 1\)"),
    ],
)
def test_what_cannot_be_watched_is_refused(images, make, message):
    with pytest.raises(ValueError, match=message):
        make(images[0])


def test_operations_of_a_vit_b_step_are_counted():
    """The count by hand is 38 GFLOP an image.

    An image has 72 pixels and a patch 8. 40 % of the patches are hidden. A step costs three
    forward passes.
    """
    method = MAE.of(architecture("vit_b8"), mask_ratio=0.4)
    batch = {
        "image": jax.ShapeDtypeStruct((2, 72, 72, 3), jnp.uint8),
        "index": jax.ShapeDtypeStruct((2,), jnp.int32),
    }
    params, method_state = jax.eval_shape(method.init, jax.random.key(0), batch)
    state = TrainState(jnp.int32(0), params, method_state, {})
    assert operations_an_example(
        method, state, RowSpec.of({"image": np.zeros((1, 72, 72, 3), np.uint8)}), 2
    ) == pytest.approx(38e9, rel=0.15)


@pytest.mark.parametrize(
    ("kind", "dtype", "teraflops"),
    [
        ("NVIDIA H200", "bfloat16", 989),
        ("NVIDIA H100 80GB HBM3", "float32", 495),
        ("NVIDIA H100 PCIe", "bfloat16", 756),
        ("NVIDIA A100-SXM4-40GB", "bfloat16", 312),
        ("NVIDIA A10G", "bfloat16", 125),
        ("NVIDIA L4", "bfloat16", 121),
        ("NVIDIA L40S", "bfloat16", 362),
    ],
)
def test_peaks_are_those_of_the_data_sheets(kind, dtype, teraflops):
    assert peak(kind, dtype) == teraflops * 1e12


def test_a_cpu_has_no_known_peak():
    state = TrainState(jnp.int32(0), {}, {}, {})
    assert (
        share_of_peak_a_rate(
            Flat(),
            state,
            RowSpec.of({"image": np.zeros((1, 4, 4, 1), np.uint8)}),
            1,
            jax.devices("cpu"),
        )
        is None
    )
