"""The transfer study: labels, figures, refusals, and a small run from files to the page."""

import csv
import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from examine_jax.encoders.save import save_encoder
from examine_jax.evaluation.untrained import untrained_encoder
from examine_jax.labelled.sets import LabelledImages, LabelledSource, read_labelled
from examine_jax.models.architectures import Architecture
from examine_jax.models.resnet import ResNetConfig
from examine_jax.pretraining import method_preset
from examine_jax.studies import transfer
from examine_jax.studies.transfer.classifying import figures, macro_auroc, repeated
from examine_jax.studies.transfer.encoders import read_encoders
from examine_jax.studies.transfer.results import COLOURS, RANDOM, SELF, SOURCE
from examine_jax.studies.transfer.sets import divide, label_order, shared_images
from examine_jax.studies.transfer.settings import TransferSettings, transfer_preset


def network(channels: int = 3) -> Architecture:
    config = ResNetConfig(
        image_size=16, channels=channels, depths=(1,), width=8, stem="small_image"
    )
    return Architecture(config, None)


def miniature(**changes: Any) -> TransferSettings:
    return dataclasses.replace(
        TransferSettings(
            shares=(0.1, 1.0),
            network=network(),
            image_size=24,
            steps=2,
            minutes=None,
            source_factor=1.0,
            tuning_steps=2,
            tuning_batch=8,
            draws=20,
            seeds=(0,),
        ),
        **changes,
    )


@pytest.fixture(scope="module", autouse=True)
def programs_compile_fast_and_run_slowly() -> Iterator[None]:
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


def write_images(folder: pathlib.Path, seed: int, brightness: int) -> list[str]:
    """Writes three classes of 12 images, which differ in colour; returns lines of groups."""
    rng, rows = np.random.default_rng(seed), ["image,group"]
    for number, name in enumerate("abc"):
        (folder / name).mkdir(parents=True)
        for index in range(12):
            pixels = rng.integers(60, 140, (24, 24, 3), dtype=np.uint8) + np.uint8(brightness)
            pixels[..., number] += 60
            Image.fromarray(pixels).save(folder / name / f"{index:02d}.png")
            rows.append(f"{name}/{index:02d}.png,{name}{index // 2}")
    return rows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    home = tmp_path_factory.mktemp("transfer")
    rows = write_images(home / "target", 0, 0)
    (home / "groups.csv").write_text("\n".join(rows) + "\n")
    write_images(home / "other", 1, 20)
    return home


@pytest.fixture(scope="module")
def images(folder: pathlib.Path) -> LabelledImages:
    source = LabelledSource(folder / "target", groups=folder / "groups.csv")
    return read_labelled(source, image_size=24, channels=3)


def encoder_folder(path: pathlib.Path, channels: int) -> pathlib.Path:
    method, _ = method_preset("simclr", network(channels))
    encoder = untrained_encoder(method, np.zeros((2, 16, 16, channels), np.uint8), 0)
    save_encoder(path, encoder.method, encoder.params, encoder.state)
    return path


def test_splits_keep_groups_whole_and_labels_are_nested(images: LabelledImages) -> None:
    settings = miniature(shares=(0.01, 0.3, 1.0))
    split, other = divide(images, settings, 0), divide(images, settings, 1)
    assert images.groups is not None
    assert not set(images.groups[split.pool]) & set(images.groups[split.test])
    assert not np.array_equal(split.pool, other.pool)
    few, some, every = (split.labelled[share] for share in settings.shares)
    assert sorted(images.labels[few]) == [0, 1, 2]  # one a class, though 1% is no image
    assert len(some) == round(0.3 * len(split.pool))
    assert set(few) < set(some) < set(every) == set(split.pool)


def test_the_order_of_labels_has_the_classes_shares() -> None:
    labels = np.repeat([0, 1, 2], (60, 30, 1))
    order = label_order(labels, 0)
    assert sorted(order) == list(range(91))
    assert sorted(labels[order[:3]]) == [0, 1, 2]
    for count in (10, 31, 60):
        counts = np.bincount(labels[order[:count]], minlength=3)
        assert abs(counts[0] - 2 * counts[1]) <= 3
    np.testing.assert_array_equal(order, label_order(labels, 0))
    assert not np.array_equal(order, label_order(labels, 1))


@pytest.mark.parametrize("classes", [2, 3])
def test_auroc_is_scikit_learns(classes: int) -> None:
    rng = np.random.default_rng(classes)
    labels = np.append(rng.integers(0, classes, 40), np.arange(classes))
    scores = np.round(rng.random((len(labels), classes)), 1)  # with ties
    expected = np.mean([roc_auc_score(labels == one, scores[:, one]) for one in range(classes)])
    assert macro_auroc(labels, scores) == pytest.approx(expected, abs=1e-12)
    assert np.isnan(macro_auroc(np.zeros(4, int), scores[:4]))


def test_rows_are_repeated_evenly() -> None:
    rows = np.array([3, 8, 5])
    found = repeated(rows, 8, 0)
    assert np.bincount(found)[[3, 5, 8]].tolist() in ([2, 3, 3], [3, 2, 3], [3, 3, 2])
    assert sorted(repeated(rows, 2, 0))[0] in rows
    assert len(set(repeated(np.arange(9), 4, 0))) == 4


def test_intervals_draw_groups_whole() -> None:
    rng = np.random.default_rng(0)
    labels = np.tile([0, 1], 40)
    scores = rng.random((80, 2))
    settings = miniature(draws=200)
    alone = figures(scores, labels, None, settings, 0)
    # Copies of an image in one group add nothing: the interval stays about as wide.
    groups = np.repeat(np.arange(80), 4)
    copied = figures(np.repeat(scores, 4, 0), np.repeat(labels, 4), groups, settings, 0)
    for name in ("balanced_accuracy", "auroc"):
        value, low, high, undefined = alone[name]
        assert low < value < high
        assert undefined == 0
        assert copied[name][:3] == pytest.approx(alone[name][:3], abs=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uses": ("frozen", "copied")}, "uses frozen, copied"),
        ({"uses": ()}, "uses \\(none\\)"),
        ({"shares": (0.1, 0.05)}, "ascending"),
        ({"shares": (0.0, 0.1)}, "above 0"),
        ({"shares": (0.5, 1.5)}, "at most 1"),
        ({"test_share": 1.0}, "test_share 1.0"),
        ({"l2": 0.0}, "l2 0.0"),
        ({"source_factor": float("nan")}, "source_factor nan"),
        ({"tuning_rate": float("inf")}, "tuning_rate inf"),
        ({"tuning_batch": 1}, "tuning_batch 1 at least 2"),
        ({"batch_size": 1}, "batch_size 1"),
        ({"lora_rank": 0}, "lora_rank 0"),
        ({"layer_decay": 1.5}, "layer_decay 1.5"),
        ({"minutes": 1.0}, "either steps or minutes"),
        ({"seeds": (1, 1)}, "seeds"),
        ({"method": "mae"}, "choose a ViT architecture"),
    ],
)
def test_settings_are_refused_at_once(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        miniature(**change)


def test_presets() -> None:
    assert transfer_preset("small").seeds == (0, 1, 2)
    assert transfer_preset("smoke").steps == 3
    assert transfer_preset("full").chosen().encoder.image_size == 224
    with pytest.raises(ValueError, match="no preset is named 'paper'"):
        transfer_preset("paper")


def test_given_encoders_are_named_and_checked(tmp_path: pathlib.Path) -> None:
    first = encoder_folder(tmp_path / "first" / "encoder", 3)
    grey = encoder_folder(tmp_path / "grey", 1)
    found = read_encoders([str(first), f"mine={first}"], miniature())
    assert [one.name for one in found] == ["first", "mine"]
    for texts, message in (
        ([str(first), str(first)], "two encoders are named 'first': tell them apart"),
        ([f"source={first}"], "named 'source', as one of the study's own"),
        ([f"a/b={first}"], "'a/b' is no name"),
        ([str(grey)], "takes 1 channels, and the network from scratch 3"),
        ([str(tmp_path / "none")], "none"),
    ):
        with pytest.raises((ValueError, OSError), match=message):
            read_encoders(texts, miniature())
    with pytest.raises(ValueError, match="LoRA"):
        read_encoders([str(first)], miniature(lora_rank=2))


def test_a_target_of_one_class_is_refused(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a").symlink_to(folder / "target" / "a")
    with pytest.raises(ValueError, match="one sub-folder with images, a"):
        transfer.run(
            miniature(),
            LabelledSource(tmp_path / "one"),
            tmp_path / "out",
            source=folder / "other",
            progress=False,
        )
    assert not (tmp_path / "out").exists()


def test_a_source_that_is_the_target_is_refused(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    target = LabelledSource(folder / "target")
    for source, message in (
        (folder / "target", "both the source and the target"),
        (folder / "target" / "a", "all 12 images of the source .* are images of the target"),
        (None, "needs an encoder from elsewhere"),
    ):
        with pytest.raises(ValueError, match=message):
            transfer.run(miniature(), target, tmp_path / "out", source=source, progress=False)
    assert not (tmp_path / "out").exists()


def test_shared_images_are_counted_pixel_for_pixel(images: LabelledImages) -> None:
    changed = images.pixels[:5].copy()
    changed[0, 0, 0, 0] ^= 1
    assert shared_images(changed, images.pixels) == 4


@pytest.mark.study
def test_a_run_ends_on_the_page_and_goes_on_where_it_was_killed(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    target = LabelledSource(folder / "target", groups=folder / "groups.csv")
    settings = miniature()
    out = tmp_path / "out"
    found = transfer.run(settings, target, out, source=folder / "other", progress=False)
    lines = [(one.encoder, one.use) for one in found if one.share == 1.0]
    assert lines == [
        (COLOURS, "frozen"),
        (RANDOM, "frozen"),
        (RANDOM, "fine_tuned"),
        (SELF, "frozen"),
        (SELF, "fine_tuned"),
        (SOURCE, "frozen"),
        (SOURCE, "fine_tuned"),
        (SOURCE, "adapted"),
    ]
    page = (out / "transfer.html").read_text()
    assert "supervised from scratch" in page
    assert "One seed has no standard error" in page
    assert "one a class" in page
    names = "balanced_accuracy", "auroc", "verdicts", "against_scratch", "adaptation", "trainings"
    assert all((out / f"{name}.csv").exists() for name in names)
    with (out / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * len(lines)
    for row in rows:
        low, value, high = (float(row[f"balanced_accuracy{end}"]) for end in ("_low", "", "_high"))
        assert 0 <= low <= value <= high <= 1
    with (out / "trainings.csv").open() as file:
        trained = [row["encoder"] for row in csv.DictReader(file)]
    assert trained == [SOURCE, SELF, f"{SOURCE} (adapted)"]

    # A killed run lacks some files; it computes these alone, and ends with the same results.
    home = out / "seed_0"
    lost = (home / "adapted" / SOURCE / "features.npz", home / "scratch" / "tuned_0.1.json")
    for file in (*lost, home / "adapted" / SOURCE / "probed_1.json"):
        file.unlink()
    before = {file: file.stat().st_mtime_ns for file in out.glob("**/*.json")}
    again = transfer.run(settings, target, out, source=folder / "other", progress=False)
    assert again == found
    assert {file: file.stat().st_mtime_ns for file in before} == before

    # The same encoder, given, has the same results; it may be added later, and other settings not.
    encoder = f"given={out / 'source' / 'training' / 'encoder'}"
    few = dataclasses.replace(settings, uses=("frozen",))
    more = transfer.run(few, target, out, encoders=[encoder], progress=False)
    assert [one.balanced_accuracy for one in more if one.encoder == "given"] == [
        one.balanced_accuracy for one in found if (one.encoder, one.use) == (SOURCE, "frozen")
    ]
    changed = dataclasses.replace(few, l2=2.0)
    with pytest.raises(ValueError, match="holds another run"):
        transfer.run(changed, target, out, encoders=[encoder], progress=False)
