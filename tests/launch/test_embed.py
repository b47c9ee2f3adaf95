"""The embedding job, run as its user runs it: its files are what the scorer reads."""

import csv
import pathlib

import jax
import numpy as np
import pytest
from PIL import Image

from examine_jax.encoders import load_encoder, save_encoder
from examine_jax.jobs.embed import embed_images
from examine_jax.models import DecoderConfig, ViTConfig
from examine_jax.pretraining import MAE
from examine_jax.scoring import examine
from tests.support.commands import run, run_each, run_here

NAMES = ["a.png", "b<i>.png", "sub/c.png", "日本.png", "e.png"]
METHOD = MAE(
    ViTConfig(image_size=12, patch_size=4, channels=3, width=8, depth=1, heads=2, mlp_width=16),
    DecoderConfig(width=8, depth=1, heads=2, mlp_width=16),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """Five images and a file that is none; an encoder, untrained."""
    folder = tmp_path_factory.mktemp("embed")
    (folder / "images" / "sub").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for name in NAMES:
        Image.fromarray(generator.integers(0, 256, (12, 12, 3), np.uint8)).save(
            folder / "images" / name
        )
    (folder / "images" / "text.png").write_text("not an image")
    (folder / "no encoder").mkdir()
    params, state = jax.jit(METHOD.init)(
        jax.random.key(0), {"image": np.zeros((1, 12, 12, 3), np.uint8)}
    )
    save_encoder(folder / "encoder", METHOD, params, state)
    return folder


def _read(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_features_are_scored_under_their_images_names(folder: pathlib.Path, suffix: str) -> None:
    output = folder / f"features{suffix}"
    embed = run if suffix == ".npy" else run_here
    code, printed = embed(
        "embed",
        f"--images={folder / 'images'}",
        f"--encoder={folder / 'encoder'}",
        f"--output={output}",
    )
    assert code == 0, printed
    assert "5 x 8 features, 1 skipped" in printed
    skipped = _read(folder / "features.skipped.csv")
    assert [row["image"] for row in skipped] == ["text.png"]
    assert skipped[0]["reason"]
    code, printed = run_here("score", f"--features={output}", f"--output={folder / 'scores.csv'}")
    assert code == 0, printed
    assert sorted(row["image"] for row in _read(folder / "scores.csv")) == sorted(NAMES)


def test_features_are_the_encoders_in_the_order_of_the_names(folder: pathlib.Path) -> None:
    output = folder / "again.npy"
    features, skipped = embed_images(
        folder / "images",
        folder / "encoder",
        output,
        pooling="class_token",
        batch_size=2,
        progress=False,
    )
    assert len(skipped) == 1
    np.testing.assert_array_equal(np.load(output), features)
    encoder = load_encoder(folder / "encoder").with_pooling("class_token")
    for row, record in enumerate(_read(folder / "again.names.csv")):
        pixels = np.asarray(Image.open(folder / "images" / record["image"]))
        np.testing.assert_allclose(
            features[row], encoder.embed(pixels[None])[0], rtol=1e-5, atol=1e-6
        )
        assert int(record["index"]) == row
    assert not np.allclose(
        features, load_encoder(folder / "encoder").embed(np.zeros((5, 12, 12, 3), np.uint8))
    )


def test_images_are_valued_by_the_encoders_features_and_what_cannot_be_read_is_listed(
    folder: pathlib.Path,
) -> None:
    images, encoder, workdir = folder / "images", folder / "encoder", folder / "values"
    flags = [
        f"--images={images}",
        f"--encoder={encoder}",
        f"--workdir={workdir}",
        "--valuers=examine,sharpness",
    ]
    code, printed = run_here("value", *flags)
    assert code == 0, printed
    assert "1 file(s) could not be read" in printed
    assert [row["image"] for row in _read(workdir / "skipped.csv")] == ["text.png"]
    values = _read(workdir / "values.csv")
    assert sorted(row["image"] for row in values) == sorted(NAMES)
    features, _ = embed_images(images, encoder, folder / "valued.npy", progress=False)
    # Values are the score's logarithm, which never underflows.
    scores = np.exp([float(row["examine"]) for row in values])
    np.testing.assert_allclose(scores, np.asarray(examine(features).score), rtol=1e-5)


def test_a_list_of_skipped_files_does_not_outlast_their_repair(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in "ab":
        Image.new("RGB", (12, 12), (9 * ord(name) % 256, 1, 2)).save(folder / f"{name}.png")
    params, state = jax.jit(METHOD.init)(
        jax.random.key(0), {"image": np.zeros((1, 12, 12, 3), np.uint8)}
    )
    encoder = tmp_path / "encoder"
    save_encoder(encoder, METHOD, params, state)

    def both() -> tuple[bool, bool]:
        flags = (f"--images={folder}", f"--encoder={encoder}")
        for script, *more in (
            ("embed", f"--output={tmp_path / 'f.npy'}"),
            ("value", f"--workdir={tmp_path / 'v'}", "--valuers=examine"),
        ):
            code, printed = run_here(script, *flags, *more)
            assert code == 0, printed
        return (tmp_path / "f.skipped.csv").exists(), (tmp_path / "v" / "skipped.csv").exists()

    (folder / "torn.png").write_bytes(b"")
    assert both() == (True, True)
    (folder / "torn.png").unlink()
    assert both() == (False, False)


REFUSED = [
    (["--encoder={}/no encoder"], "no encoder is not an encoder's folder: it has no config.json"),
    (["--encoder={}/nowhere"], "nowhere"),
    (["--encoder="], "--encoder=PATH is missing"),
    (["--images="], "--images=PATH is missing"),
    (["--images={}/nowhere"], "nowhere"),
    (["--output={}/nowhere/f.npy"], "there is no folder"),
    (["--output={}/f.txt"], "must end in .npy or .parquet"),
]


@pytest.fixture(scope="module")
def refused(folder: pathlib.Path) -> list[tuple[int, str]]:
    always = [
        f"--images={folder / 'images'}",
        f"--encoder={folder / 'encoder'}",
        f"--output={folder / 'no.npy'}",
    ]
    return run_each(
        "embed", [[*always, *(flag.format(folder) for flag in flags)] for flags, _ in REFUSED]
    )


@pytest.mark.parametrize("case", range(len(REFUSED)), ids=[" ".join(flags) for flags, _ in REFUSED])
def test_what_cannot_be_done_is_one_line_and_writes_nothing(
    folder: pathlib.Path, refused: list[tuple[int, str]], case: int
) -> None:
    code, printed = refused[case]
    assert code == 1, printed
    lines = [line for line in printed.splitlines() if line.startswith("examine-embed: ")]
    assert len(lines) == 1, printed
    assert REFUSED[case][1] in lines[0]
    assert "Traceback" not in printed
    assert not list(folder.glob("no.*"))
    assert not list(folder.glob("f.*"))
