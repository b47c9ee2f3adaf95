"""Two patients' CT, MR, US, PET and SEG: what each command makes of their headers.

No text of a header that names a patient reaches an output, be it a file or what is printed.
"""

import base64
import csv
import dataclasses
import os
import pathlib
import re

import jax
import numpy as np
import pytest
from PIL import Image

from examine_jax.encoders import save_encoder
from examine_jax.jobs.assess.assess import assess_features
from examine_jax.jobs.assess.settings import DecisionSettings
from examine_jax.jobs.embed import embed_images
from examine_jax.jobs.headers import JobHeaders, PrivacySettings
from examine_jax.jobs.score import ScoreSettings, score_features
from examine_jax.jobs.select import SelectSettings, select_features
from examine_jax.models import DecoderConfig, ViTConfig
from examine_jax.pretraining import MAE
from tests.support.commands import run_here
from tests.support.patients import PATIENTS, SECRETS, write_patients, zipped

METHOD = MAE(
    ViTConfig(image_size=12, patch_size=6, channels=1, width=8, depth=1, heads=2, mlp_width=16),
    DecoderConfig(width=8, depth=1, heads=2, mlp_width=16),
)
_PICTURE = re.compile(rb"base64,[A-Za-z0-9+/=]+")


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the images, the encoder and the results are."""

    images: pathlib.Path
    encoder: pathlib.Path
    results: pathlib.Path
    names: tuple[str, ...]
    key: pathlib.Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp("patients")
    names = write_patients(root / "images" / PATIENTS[0].identifier)
    params, state = jax.jit(METHOD.init)(
        jax.random.key(0), {"image": np.zeros((1, 12, 12, 1), np.uint8)}
    )
    save_encoder(root / "encoder", METHOD, params, state)
    (root / "results").mkdir()
    (root / "private").mkdir()
    images = root / "images" / PATIENTS[0].identifier
    return Place(images, root / "encoder", root / "results", names, root / "private" / "key")


@pytest.fixture(scope="module")
def embedded(place: Place) -> pathlib.Path:
    """The features of all images, with their columns beside them."""
    privacy = PrivacySettings(id_key=place.key)
    output = place.results / "f.npy"
    embed_images(place.images, place.encoder, output, privacy=privacy, progress=False)
    return output


def _rows(path: pathlib.Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _check_silent(*outputs: pathlib.Path | str) -> None:
    """No output, nor the name of one, holds a text of the headers."""
    for output in outputs:
        if isinstance(output, str):
            texts = [output.encode()]
        else:
            files = [output] if output.is_file() else sorted(output.rglob("*"))
            texts = [_PICTURE.sub(b"", file.read_bytes()) for file in files if file.is_file()]
            texts += [str(file.relative_to(output.parent)).encode() for file in files]
        for text in texts:
            lower = text.decode("utf-8", "replace").lower()
            assert not [secret for secret in SECRETS if secret in lower]


def test_the_check_finds_what_it_looks_for(tmp_path: pathlib.Path) -> None:
    (tmp_path / "f.txt").write_text("x SÉAMUS y")
    with pytest.raises(AssertionError):
        _check_silent(tmp_path)
    (tmp_path / "f.txt").write_bytes(b"base64," + base64.b64encode(b"pixels"))
    _check_silent(tmp_path)


def test_embed_writes_columns_of_hashes(place: Place, embedded: pathlib.Path) -> None:
    rows = _rows(embedded.with_suffix(".names.csv"))
    assert len(rows) == len(place.names) == 16
    assert list(rows[0]) == ["image", "index", "patient", "study", "series", "modality"]
    for column, different in (("patient", 2), ("study", 2), ("series", 8), ("image", 16)):
        assert len({row[column] for row in rows}) == different
    assert all(re.fullmatch(r"patient-[0-9a-f]{16}", row["patient"]) for row in rows)
    assert [row["modality"] for row in rows[:4]] == ["CT", "CT", "MR", "MR"]
    # One folder a patient and modality: folders stay folders.
    assert len({row["image"].rpartition("/")[0] for row in rows}) == 8
    skipped = _rows(embedded.with_suffix(".skipped.csv"))
    assert len(skipped) == 2
    assert all("Segmentation" in row["reason"] for row in skipped)
    _check_silent(place.results)


def test_the_table_beside_the_key_leads_back(place: Place, embedded: pathlib.Path) -> None:
    (table,) = place.key.with_name("key.names").iterdir()
    assert table.stat().st_mode & 0o777 == 0o600
    stands_for = {row["shown"]: row["stands_for"] for row in _rows(table)}
    rows = _rows(embedded.with_suffix(".names.csv"))
    assert tuple(stands_for[row["image"]] for row in rows) == place.names
    assert {stands_for[row["patient"]] for row in rows} == {one.identifier for one in PATIENTS}
    assert {stands_for[row["study"]] for row in rows} == {one.uid(1) for one in PATIENTS}


def test_features_are_scored_and_chosen_by_patient(place: Place, embedded: pathlib.Path) -> None:
    output = place.results / "groups.csv"
    score_features(ScoreSettings(embedded, output, group_by="patient"), progress=False)
    assert [row["images"] for row in _rows(output)] == ["8", "8"]
    chosen = place.results / "chosen.csv"
    settings = SelectSettings(embedded, "2", chosen, group_by="patient", per_group=1)
    select_features(settings, progress=False)
    patients = {row["patient"] for row in _rows(embedded.with_suffix(".names.csv"))}
    assert {row["group"] for row in _rows(chosen)} == patients
    assessment = assess_features(
        embedded,
        place.results / "assessed",
        decision=DecisionSettings(group_by="series"),
        progress=False,
    )
    assert assessment.groups is not None
    assert len(set(assessment.groups)) == 8
    assert sorted(set(assessment.modalities)) == ["CT", "MR", "PT", "US"]
    _check_silent(place.results)


def test_features_without_the_columns_are_refused(
    tmp_path: pathlib.Path, embedded: pathlib.Path
) -> None:
    np.save(tmp_path / "f.npy", np.load(embedded))
    settings = ScoreSettings(tmp_path / "f.npy", tmp_path / "o.csv", group_by="study")
    with pytest.raises(ValueError, match="needs a column 'study' beside the images' names"):
        score_features(settings, progress=False)
    names = [row["image"] for row in _rows(embedded.with_suffix(".names.csv"))]
    (tmp_path / "f.names.csv").write_text("image\n" + "".join(f"{name}\n" for name in names))
    with pytest.raises(ValueError, match="embed the images again"):
        score_features(settings, progress=False)


def test_assess_decides_within_a_modality(place: Place) -> None:
    workdir = place.results / "assess"
    labelled = place.results.parent / "labelled.csv"
    labelled.write_text(f'image\n"{place.names[0]}"\n', encoding="utf-8")
    code, printed = run_here(
        "assess",
        f"--images={place.images}",
        f"--encoder={place.encoder}",
        f"--workdir={workdir}",
        f"--id_key={place.key}",
        "--group_by=patient",
        "--per_group=2",
        "--budget=3",
        f"--labelled={labelled}",
        "--hand_over=list,png",
    )
    assert code == 0, printed
    scores = _rows(workdir / "scores.csv")
    assert [row["modality"] for row in scores[:8]] == [
        "CT",
        "CT",
        "MR",
        "MR",
        "PT",
        "PT",
        "US",
        "US",
    ]
    for modality in ("CT", "MR", "PT", "US"):
        own = [row for row in scores if row["modality"] == modality]
        own.sort(key=lambda row: int(row["rank"]))
        assert [int(row["rank_in_modality"]) for row in own] == [1, 2, 3, 4]
    chosen = _rows(workdir / "to_label.csv")
    pictures = sorted((workdir / "to_label").iterdir())
    assert len(chosen) == len(pictures) == 3
    for picture in pictures:
        with Image.open(picture) as image:
            assert image.width == 24  # As they are stored.
    assert scores[0]["image"] not in {row["image"] for row in chosen}  # It is labelled already.
    page = (workdir / "report.html").read_text(encoding="utf-8")
    assert "4 images have text in the pixels (BurnedInAnnotation is YES)" in page
    assert "few: only what is certainly damaged is found" in page
    assert "16 images are of a modality with fewer than 10" in page
    assert "Maker M0" in page
    assert "24 x 20" in page
    # The path of the images holds an identifier, and is what the user typed.
    _check_silent(workdir, printed)


def test_one_key_gives_one_hash_in_each_command(place: Place, embedded: pathlib.Path) -> None:
    archive = place.results.parent / "images.zip"
    zipped(place.images, archive)
    listed = place.results.parent / "list.txt"
    listed.write_text("".join(f"{place.images / name}\n" for name in place.names), "utf-8")
    rows = _rows(embedded.with_suffix(".names.csv"))
    columns = [[row[by] for row in rows] for by in ("image", "patient", "series")]
    for source in (place.images, archive, listed):
        headers = JobHeaders.read([source], PrivacySettings(id_key=place.key), progress=False)
        names = [name for name in headers.of(source).files if "/SEG/" not in name]
        shown = [name.rpartition("images/")[2] for name in headers.names(source, names)]
        assert [name.split("/")[-3:] for name in shown] == [
            name.split("/")[-3:] for name in columns[0]
        ]
        for by, column in zip(("patient", "series"), columns[1:]):
            assert headers.column(source, names, by) == column
    other = JobHeaders.read([place.images], PrivacySettings(), progress=False)
    assert not set(other.column(place.images, place.names, "patient")) & set(columns[1])


def test_identifiers_are_kept_if_that_is_asked(place: Place, tmp_path: pathlib.Path) -> None:
    headers = JobHeaders.read([place.images], PrivacySettings(keep_ids=True), progress=False)
    assert headers.names(place.images, place.names) == place.names
    patients = headers.column(place.images, place.names, "patient")
    assert set(patients) == {one.identifier for one in PATIENTS}
    assert headers.keep_table() == ()
    with pytest.raises(ValueError, match="--keep_ids hides nothing"):
        PrivacySettings(keep_ids=True, anonymous_names=True)


def test_errors_hide_names_too(place: Place, tmp_path: pathlib.Path) -> None:
    table = tmp_path / "labelled.csv"
    table.write_text(f'image\n"{place.names[0]}"\n"{place.names[1]}x"\n', encoding="utf-8")
    code, printed = run_here(
        "assess",
        f"--images={place.images}",
        f"--encoder={place.encoder}",
        f"--workdir={tmp_path / 'out'}",
        f"--labelled={table}",
        "--budget=1",
    )
    assert code == 1
    assert "there is no image" in printed
    _check_silent(printed)
    code, printed = run_here(
        "assess", f"--images={place.images}", f"--workdir={tmp_path}", f"--id_key={tmp_path / 'k'}"
    )
    assert code == 1
    assert "among the results that it protects" in printed
    assert not os.path.lexists(tmp_path / "k")
