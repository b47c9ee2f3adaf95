"""The training job, run as its user runs it, and what each method's page shows."""

import json
import pathlib
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from examine_jax.encoders import load_encoder
from examine_jax.jobs.pretrain.page import write_training
from examine_jax.jobs.pretrain.pretrain import train_encoder
from examine_jax.jobs.pretrain.settings import TrainingSettings
from tests.support.commands import run, run_each, run_here
from tests.support.tiny_architecture import TINY

NAMES = [f"{index:02d}.png" for index in range(10)]
QUICK = (f"--architecture={TINY}", "--steps=4", "--batch_size=4", "--watch_every=2", "--device=cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Ten images of two classes, one file that is none, and tables of labels beside them."""
    folder = tmp_path_factory.mktemp("pretrain")
    (folder / "images").mkdir()
    generator = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(generator.integers(0, 256, (16, 16, 3), np.uint8)).save(
            folder / "images" / name
        )
    (folder / "images" / "text.png").write_text("not an image")
    lines = [f"{name},{'ab'[index % 2]}" for index, name in enumerate(NAMES)]
    (folder / "labels.csv").write_text("\n".join(["image,label", *lines]))
    (folder / "strange.csv").write_text("\n".join(["image,label", *lines, "nowhere.png,a"]))
    return folder


@pytest.fixture(scope="module")
def flags(folder: pathlib.Path) -> list[str]:
    return [f"--images={folder / 'images'}", f"--labels={folder / 'labels.csv'}", *QUICK]


@pytest.fixture(scope="module")
def finished(folder: pathlib.Path, flags: list[str]) -> pathlib.Path:
    code, told = run("pretrain", f"--workdir={folder / 'out'}", *flags)
    assert code == 0, told
    assert "device: cpu" in told
    assert str(folder / "out" / "training.html") in told
    return folder / "out"


def test_an_encoder_its_history_and_a_page_are_left_behind(finished: pathlib.Path) -> None:
    history = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in history] == [1, 2, 3, 4]
    assert [
        step["step"]
        for step in history
        if {"feature_deviation", "rank_me", "knn_accuracy"} <= set(step)
    ] == [2, 4]
    encoder = load_encoder(finished / "encoder")
    assert (encoder.image_size, encoder.channels) == (16, 3)
    assert encoder.training["images"] == 10
    assert encoder.training["final_loss"] == history[-1]["loss"]
    assert len(encoder.training["feature_mean"]) == encoder.method.encoder.features
    page = (finished / "training.html").read_text(encoding="utf-8")
    assert "mae (small) on 10 images from images" in page
    assert "text.png" in page
    assert "text.png" in (finished / "skipped.csv").read_text()
    for name in (
        "training_loss",
        "feature_deviation",
        "rank_me",
        "knn_accuracy",
        "reconstructions",
    ):
        with Image.open(finished / f"{name}.png") as picture:
            assert picture.width >= 500


def test_the_same_command_again_goes_on_to_the_same_encoder(
    folder: pathlib.Path, flags: list[str], finished: pathlib.Path
) -> None:
    before = (finished / "encoder" / "model.safetensors").read_bytes()
    newest = max(
        int(step.name) for step in (finished / "checkpoints").iterdir() if step.name.isdigit()
    )
    for path in ("encoder/model.safetensors", "encoder/config.json", "training.html"):
        (finished / path).unlink()
    (finished / "encoder").rmdir()
    code, told = run_here("pretrain", f"--workdir={finished}", *flags)
    assert code == 0, told
    assert newest == 4
    assert (finished / "encoder" / "model.safetensors").read_bytes() == before
    assert (finished / "training.html").is_file()


def test_it_goes_on_from_an_encoder_with_pairs_and_compares(
    folder: pathlib.Path, flags: list[str], finished: pathlib.Path
) -> None:
    out = folder / "adapted"
    code, told = run_here(
        "pretrain",
        *(flag for flag in flags if "architecture" not in flag),
        f"--workdir={out}",
        f"--init={finished / 'encoder'}",
        *("--lora_rank=2", "--lora_layers=mlp", "--layer_decay=.5", "--watch_every=0"),
    )
    assert code == 0, told
    assert (out / "encoder" / "adapter.safetensors").is_file()
    assert (out / "from_scratch" / "encoder" / "model.safetensors").is_file()
    encoder = load_encoder(out / "encoder")
    assert encoder.training["base"]["name"] == "out/encoder"
    assert encoder.image_size == 16
    page = (out / "training.html").read_text(encoding="utf-8")
    assert "going on from the encoder out/encoder by low-rank pairs (rank 2)" in page
    for text in ("from scratch", "balanced accuracy of a linear probe", "Made artefacts, by kind"):
        assert text in page
    with Image.open(out / "coverage.png") as picture:
        assert picture.width >= 500


REFUSED_STARTS = [
    (["--architecture=vit_s8"], r"tensor .* there"),
    (["--channels=1"], r"patch_embedding.kernel is \[192, 16\] there.* \[64, 16\]"),
    (["--image_size=17"], r"at 17 pixels: .*patch_size"),
    (["--lora_rank=1", "--lora_layers=norm"], "LowRank: layers must be some of qkv, out, mlp"),
    (["--layer_decay=0"], "layer_decay must be above 0"),
]


@pytest.mark.parametrize(("changes", "message"), REFUSED_STARTS)
def test_what_does_not_fit_the_encoder_is_refused(
    folder: pathlib.Path, finished: pathlib.Path, changes: list[str], message: str
) -> None:
    always = [f"--images={folder / 'images'}", f"--init={finished / 'encoder'}", "--steps=1"]
    code, told = run_here("pretrain", *always, f"--workdir={folder / 'refused'}", *changes)
    assert code != 0
    assert re.search(message, told), told
    assert not (folder / "refused" / "encoder").exists()


def test_an_image_size_is_the_encoders_own_affair() -> None:
    asked = TrainingSettings(init="elsewhere", image_size=98)  # no multiple of small's patches
    assert not asked.needs_labels()


def test_pairs_need_an_encoder() -> None:
    with pytest.raises(ValueError, match="lora_rank trains beside the weights of an encoder"):
        TrainingSettings(lora_rank=4)


REFUSED = [
    (["--batch_size=11"], "a batch of 11 out of 10 images; choose a batch size up to 10"),
    (["--method=mea"], "no method is named 'mea'; there are: mae, autoencoder, simclr"),
    (["--preset=medium"], "small"),
    (["--architecture=huge"], "unknown architecture 'huge': choose from small, examine_paper"),
    (["--architecture=resnet18"], "choose a ViT architecture, or another method"),
    (["--labels={}/strange.csv"], "'nowhere.png'"),
    (["--labels={}/labels.csv", "--watch_every=0"], "--watch_every=0"),
    (["--method=byol_ft", "--labels={}/labels.csv", "--watch_every=0"], "--watch_every=0"),
    (["--labels={}/labels.csv", "--label_column=grade"], "column 'grade'"),
    (["--method=byol_sup"], "byol_sup trains with labels: give a CSV file of labels"),
    (["--workdir="], "--workdir=FOLDER is missing"),
    (["--images={}/nothing"], "nothing"),
    (["--image_size=17"], "17"),
]


@pytest.fixture(scope="module")
def refused(folder: pathlib.Path) -> list[tuple[int, str]]:
    always = [f"--images={folder / 'images'}", "--image_size=16", "--steps=1"]
    commands = [
        [
            *always,
            f"--workdir={folder / f'refused{case}'}",
            *(flag.format(folder) for flag in flags),
        ]
        for case, (flags, _) in enumerate(REFUSED)
    ]
    return run_each("pretrain", commands)


@pytest.mark.parametrize("case", range(len(REFUSED)), ids=[" ".join(flags) for flags, _ in REFUSED])
def test_what_cannot_be_done_is_one_line_and_leaves_no_encoder(
    folder: pathlib.Path, refused: list[tuple[int, str]], case: int
) -> None:
    code, told = refused[case]
    assert code == 1, told
    lines = [line for line in told.splitlines() if line.startswith("examine-pretrain: ")]
    assert len(lines) == 1, told
    assert REFUSED[case][1] in lines[0]
    assert "Traceback" not in told
    assert not (folder / f"refused{case}" / "encoder").exists()


@pytest.mark.parametrize(
    ("method", "picture"),
    [("autoencoder", "reconstructions"), ("simclr", "views")],  # BYOL's are those of byol_sup below
)
def test_the_page_shows_what_the_method_sees(
    folder: pathlib.Path, tmp_path: pathlib.Path, method: str, picture: str
) -> None:
    settings = TrainingSettings(method=method, architecture=TINY, steps=1, batch_size=4)
    trained = train_encoder(folder / "images", tmp_path, settings, watch_every=None, progress=False)
    assert len(trained.history) == 1
    assert (
        load_encoder(tmp_path / "encoder").embed(trained.examples).shape[0]
        == len(trained.examples)
        == 8
    )
    page = write_training(tmp_path, trained, settings, source="images", device="cpu")
    assert method in page.read_text(encoding="utf-8")
    with Image.open(tmp_path / f"{picture}.png") as shown:
        assert shown.width >= 500


def test_extra_positives_of_known_classes_are_counted_and_no_label_is_kept_in_the_encoder(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    settings = TrainingSettings(method="byol_sup", architecture=TINY, steps=1, batch_size=8)
    trained = train_encoder(
        folder / "images",
        tmp_path,
        settings,
        labels=folder / "labels.csv",
        watch_every=None,
        progress=False,
    )
    assert trained.history[0]["extra_positives_right"] == 1
    assert 0 < trained.history[0]["extra_positives_chance"] < 1
    assert "labels" not in json.loads((tmp_path / "encoder" / "config.json").read_text())["method"]
    page = write_training(tmp_path, trained, settings, source="images", device="cpu")
    assert "byol_sup" in page.read_text(encoding="utf-8")
    with Image.open(tmp_path / "views.png") as shown:
        assert shown.width >= 500


def test_labels_of_some_images_are_enough_to_report_by_and_not_to_train_by(
    folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "some.csv"
    table.write_text(
        "\n".join(
            ["image,label", "text.png,a", *(f"{name},{name[1]}" for name in NAMES[:6]), "06.png,0"]
        )
    )
    settings = TrainingSettings(method="byol_fs", architecture=TINY, steps=1, batch_size=8)
    trained = train_encoder(
        folder / "images", tmp_path, settings, labels=table, watch_every=1, progress=False
    )
    assert {"extra_positives_right", "knn_accuracy"} <= trained.history[0].keys()
    assert "some.csv has labels for 7 of 10 images" in capsys.readouterr().err
    settings = TrainingSettings(method="byol_sup", architecture=TINY, steps=1, batch_size=8)
    with pytest.raises(ValueError, match=r"has no row for '07\.png'"):
        train_encoder(folder / "images", tmp_path / "sup", settings, labels=table, progress=False)
    table.write_text("image,label\ntext.png,a\n")
    settings = TrainingSettings(image_size=16, steps=1, batch_size=8)
    with pytest.raises(ValueError, match=r"some\.csv has no label for any of the 10 images"):
        train_encoder(folder / "images", tmp_path / "mae", settings, labels=table, progress=False)


@pytest.mark.parametrize("changes", [{"dtype": "bfloat16"}, {"remat": True}])
def test_settings_reach_the_network_and_the_training(changes: dict[str, Any]) -> None:
    method, training = TrainingSettings(image_size=16, accumulate=2, seed=3, **changes).resolve(10)
    assert changes.items() <= vars(method.encoder).items()
    assert (training.batch_size, training.accumulate, training.seed) == (10, 2, 3), (
        "a preset's batch is cut down"
    )
