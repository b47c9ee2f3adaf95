"""Two processes of two devices each do every job as one process does it."""

import csv
import json
import pathlib
import socket

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from examine_jax.common.cluster import Cluster, join
from examine_jax.encoders import save_encoder
from examine_jax.features.feature_chunks import open_features
from examine_jax.jobs.assess import page
from examine_jax.jobs.embed import embed_images
from examine_jax.jobs.score import ScoreSettings, score_features
from examine_jax.models import DecoderConfig, ViTConfig
from examine_jax.pretraining import MAE
from examine_jax.scoring import SpectralSummary
from examine_jax.valuation import value_features
from tests.launch.cluster_process import commands_of, game, no_pictures, values_settings
from tests.support.commands import run_here
from tests.support.processes import flags_of_processes, free_port, run_together

METHOD = MAE(
    ViTConfig(image_size=8, patch_size=4, channels=3, width=8, depth=1, heads=2, mlp_width=16),
    DecoderConfig(width=8, depth=1, heads=2, mlp_width=16),
)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, list[tuple[int, str]]]:
    """The folder of two processes, and how each ended."""
    folder = tmp_path_factory.mktemp("together")
    random = np.random.default_rng(0)
    (folder / "features").mkdir()
    rows = (random.normal(size=(61, 5)) * np.exp(-np.arange(5))).astype(np.float32)
    for number, part in enumerate(np.split(rows, [7, 40])):
        lists = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), 5)
        table = pa.table(
            [pa.array([f"{number}-{i}" for i in range(len(part))]), lists], ["image", "f"]
        )
        pq.write_table(table, folder / "features" / f"{number}.parquet", row_group_size=9)
    np.save(folder / "few.npy", rows[:1] + 1)  # fewer rows than processes
    (folder / "images").mkdir()
    (folder / "clean").mkdir()
    for number in range(17):
        pixels = random.integers(0, 256, (8, 8, 3), np.uint8)
        into = "images" if number < 7 else "clean"
        Image.fromarray(pixels).save(folder / into / f"{number}.png")
    whole = (folder / "images" / "3.png").read_bytes()
    (folder / "images" / "damaged.png").write_bytes(whole[:-40])  # its header can be read
    (folder / "labelled.csv").write_text("image\n5.png\n")
    groups = "".join(f"{row},{row // 9}\n" for row in range(61))
    (folder / "groups.csv").write_text(f"index,group\n{groups}")
    (folder / "together").mkdir()
    params, state = jax.jit(METHOD.init)(
        jax.random.key(0), {"image": np.zeros((1, 8, 8, 3), np.uint8)}
    )
    save_encoder(folder / "encoder", METHOD, params, state)
    own = flags_of_processes(2, free_port())
    ended = run_together("tests.launch.cluster_process", [[folder, *flags] for flags in own])
    for process, (_, printed) in enumerate(ended):
        assert (folder / f"found_{process}.npz").exists(), printed
    return folder, ended


@pytest.fixture(scope="module")
def folder(ended: tuple[pathlib.Path, list[tuple[int, str]]]) -> pathlib.Path:
    """What two processes found and wrote."""
    return ended[0]


@pytest.fixture(scope="module")
def found(folder: pathlib.Path) -> list[dict[str, np.ndarray]]:
    return [dict(np.load(folder / f"found_{process}.npz")) for process in range(2)]


def test_values_are_exchanged_as_they_are(found: list[dict[str, np.ndarray]]) -> None:
    assert [one["share"].tolist() for one in found] == [[0, 1, 2], [3, 4]]
    for one in found:
        np.testing.assert_array_equal(one["floats"], np.arange(3) / 7)
        assert one["numbers"].tolist() == [0, 1]
        assert one["decided"].tolist() == ["0", "text"]


def test_all_are_told_where_they_differ(found: list[dict[str, np.ndarray]]) -> None:
    for one in found:
        same, shared, features, rows, room = one["refusals"].tolist()
        assert "process 1 of 2 has other flags than process 0 (seed: 0 in process 0, 1 in" in same
        assert "is not shared" in shared
        assert "not seen by process 1 of 2" in shared
        assert "process 1 of 2 has other features than process 0" in features
        assert "process 1 of 2 has other rows to value than process 0" in rows
        assert "few.npy/x: Not a directory; make room or name another folder" in room


def test_scores_are_those_of_one_process(
    folder: pathlib.Path, found: list[dict[str, np.ndarray]]
) -> None:
    alone = folder / "alone"
    alone.mkdir()
    own = score_features(
        ScoreSettings(folder / "features", alone / "scores.csv", save_summary=alone / "s.npz"),
        progress=False,
    )
    for one in found:
        np.testing.assert_allclose(one["gap"], own.gap, rtol=1e-6, atol=0)
    np.testing.assert_allclose(
        SpectralSummary.load(folder / "summary.npz").scatter,
        SpectralSummary.load(alone / "s.npz").scatter,
        rtol=1e-12,
        atol=1e-12,
    )
    written, expected = (_read(path / "scores.csv") for path in (folder, alone))
    assert [(row["image"], row["rank"]) for row in written] == [
        (row["image"], row["rank"]) for row in expected
    ]


def test_fewer_new_rows_than_processes_are_scored(
    folder: pathlib.Path, found: list[dict[str, np.ndarray]]
) -> None:
    new = ScoreSettings(
        folder / "few.npy", folder / "again.csv", against=folder / "summary.npz", center=True
    )
    own = score_features(new, progress=False)
    for one in found:
        np.testing.assert_array_equal(one["new gap"], own.gap)
    assert (folder / "again.csv").read_bytes() == (folder / "new.csv").read_bytes()


def test_values_are_those_of_one_process_bit_for_bit(
    folder: pathlib.Path, found: list[dict[str, np.ndarray]]
) -> None:
    rows, validation = game()
    (folder / "values alone").mkdir()
    own = value_features(rows, folder / "values alone", values_settings(), validation=validation)
    for one in found:
        np.testing.assert_array_equal(one["tmc_shapley"], own.valuations["tmc_shapley"].values)
    kept = [np.load(folder / name / "state/tmc_shapley.npz") for name in ("values", "values alone")]
    for name in ("indices", "contributions"):
        np.testing.assert_array_equal(kept[0][name], kept[1][name])


def test_shards_hold_the_features_of_one_process(folder: pathlib.Path) -> None:
    features, skipped = embed_images(
        folder / "images", folder / "encoder", folder / "one.npy", batch_size=2, progress=False
    )
    shards = open_features(folder / "shards")
    np.testing.assert_allclose(np.concatenate(list(shards)), features, rtol=1e-6, atol=1e-6)
    assert shards.image_names() == [f"{number}.png" for number in range(7)]
    manifest = json.loads((folder / "shards" / "manifest.json").read_text())
    assert [one["rows"] for one in manifest["files"]] == [3, 3, 1]
    assert (manifest["rows"], manifest["width"], manifest["skipped"]) == (7, 8, 1)
    listed = _read(folder / "shards" / "skipped.csv")
    assert [row["image"] for row in listed] == [one.name for one in skipped] == ["damaged.png"]
    assert not [file.name for file in (folder / "shards").iterdir() if ".tmp" in file.name]


def test_shards_of_other_settings_are_refused(folder: pathlib.Path) -> None:
    code, printed = run_here(
        "embed",
        f"--images={folder / 'images'}",
        f"--encoder={folder / 'encoder'}",
        f"--output={folder / 'shards'}",
        "--shard_rows=4",
    )
    assert code == 1
    assert "holds another run (shard_rows: 3 there, 4 here)" in printed


def test_boxes_of_both_processes_are_put_together(found: list[dict[str, np.ndarray]]) -> None:
    for one in found:  # the first process has the images 0 to 3, the second one image 4
        assert one["image"].tolist() == [0, 0, 2, 4, 4, 4]
        assert one["score"].tolist() == [0, 1, 2, 0, 1, 2]
        assert one["label"].tolist() == [0, 0, 0, 0, 0, 0]


def test_seeds_are_spread_and_the_first_process_ends_the_study(
    found: list[dict[str, np.ndarray]],
) -> None:
    runs = [["(3, 5)", "(3, 4, 5)", "(3, 5)"], ["(4,)", "(4,)"]]
    assert [one["seeds"].tolist() for one in found] == runs
    for one in found:  # the other seeds ran, and all processes end with the reason
        assert one["failed"] == "the seeds (4,) diverge"


def test_whole_commands_write_what_one_process_writes(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page, "_illustrations", no_pictures)
    (folder / "one").mkdir()
    for command in commands_of(folder, "one"):
        code, printed = run_here(*command)
        assert code == 0, printed
    files = [
        {path.relative_to(top) for path in top.rglob("*") if path.is_file()}
        for top in (folder / "one", folder / "together")
    ]
    assert files[0] == files[1]
    for name in ("to_label.csv", "assessed/to_label.csv", "assessed/skipped.csv"):
        assert (folder / "together" / name).read_bytes() == (folder / "one" / name).read_bytes()
    features, expected = (
        np.load(folder / name / "assessed" / "features.npy") for name in ("together", "one")
    )
    np.testing.assert_allclose(features, expected, rtol=1e-6, atol=1e-6)
    scores, expected_scores = (
        _read(folder / name / "assessed" / "scores.csv") for name in ("together", "one")
    )
    for row, other in zip(scores, expected_scores, strict=True):
        for column in ("image", "rank", "usable", "findings"):
            assert row[column] == other[column]
        assert float(row["gap"]) == pytest.approx(float(other["gap"]), rel=1e-4)


def test_a_command_of_two_processes_and_one_that_is_killed(
    ended: tuple[pathlib.Path, list[tuple[int, str]]],
) -> None:
    """The other process ends too, says why, and leaves no half file."""
    folder, ends = ended
    assert ends[1][0] == -9
    code, printed = ends[0]
    assert code == 1
    assert "process 0 of 2: jobs: another process has ended or cannot be reached" in printed
    assert "start all processes again" in printed
    assert "Traceback" not in printed
    left = [file.name for file in (folder / "killed").iterdir()]
    assert [name for name in left if not name.startswith(".")] == ["first.txt"]
    assert len(left) == 2  # and the hidden file of the killed process


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (["--distributed"], "cannot be joined any more"),  # JAX is in use here
        (["--distributed", "--coordinator=node1"], "must be HOST:PORT"),
        (["--distributed", "--coordinator=node1:0"], "must be HOST:PORT"),
        (
            ["--distributed", "--process_id=2", "--num_processes=2"],
            "process_id 2 is none of the 2 processes",
        ),
        (["--process_id=1"], "without --distributed there is one process"),
        (["--wait_seconds=9"], "without --distributed there is one process"),
    ],
)
def test_flags_that_do_not_fit_are_refused(
    tmp_path: pathlib.Path, given: list[str], reason: str
) -> None:
    jax.devices()
    np.save(tmp_path / "f.npy", np.eye(3))
    code, printed = run_here(
        "score", f"--features={tmp_path / 'f.npy'}", f"--output={tmp_path / 's.csv'}", *given
    )
    assert code == 1
    assert reason in printed
    assert not (tmp_path / "s.csv").exists()


def test_one_file_of_features_and_fused_boxes_are_of_one_process() -> None:
    flags = ("--images=I", "--encoder=E", "--output=F.npy", "--distributed")
    assert "name a folder in place of F.npy" in run_here("embed", *flags)[1]
    flags = ("--boxes=B.csv", "--output=F.csv", "--distributed")
    assert "one process fuses boxes" in run_here("fuse_boxes", *flags)[1]


def test_nobody_at_the_coordinators_address_is_named() -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(ValueError, match=f"nobody answers at the coordinator {address} after 1 s"):
        join(Cluster(address, 1, 2, wait_seconds=1), pytest.fail)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"process 0 cannot wait at 127.0.0.1:{port}"):
            join(Cluster(f"127.0.0.1:{port}", 0, 2), pytest.fail)


def _read(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))
