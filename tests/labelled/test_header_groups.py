"""Groups that headers tell: patients, studies and series of DICOM files."""

import pathlib
import typing

import numpy as np
import pytest
from pydicom.dataset import Dataset

from examine_jax.images.decoding import decoder
from examine_jax.images.decoding.dicom_identity import identity_of
from examine_jax.images.decoding.file_part import FilePart
from examine_jax.images.decoding.header_identity import HeaderIdentity
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.header_identities import read_headers
from examine_jax.images.sources.registry import scan_of
from examine_jax.labelled.header_groups import (
    GroupBy,
    group_codes_of,
    groups_by_header,
    groups_of_images,
    header_column,
)
from examine_jax.labelled.sets import LabelledSource, read_labelled
from launch.group_by import GroupBy as FlagGroupBy
from tests.support.patients import PATIENTS, write_patients, zipped


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("tree")
    write_patients(folder, slices=1)
    return folder


def test_headers_are_read_from_folders_archives_and_lists(
    folder: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    found = read_headers(folder)
    assert len(found.identities) == len(found.files) == 10
    assert found.unread == ()
    for name, identity in found.identities.items():
        (patient,) = (one for one in PATIENTS if name.startswith(one.folder))
        assert identity.patient == patient.identifier
        assert identity.modality == name.split("/")[1]
        assert identity.study == patient.uid(1)
        assert patient.name in identity.people
        assert patient.accession in identity.identifiers
        assert identity.birth_dates == (patient.born,)
    zipped(folder, tmp_path / "a.zip")
    assert read_headers(tmp_path / "a.zip").identities == found.identities
    (tmp_path / "l.txt").write_text("".join(f"{folder / name}\n" for name in found.files), "utf-8")
    assert set(read_headers(tmp_path / "l.txt").identities.values()) == set(
        found.identities.values()
    )
    assert read_headers(None).identities == read_headers("sample:training").identities == {}


def test_damaged_headers_are_named_and_cost_nothing_else(tmp_path: pathlib.Path) -> None:
    write_patients(tmp_path, slices=1)
    files = sorted(file for file in tmp_path.rglob("*") if file.is_file())
    files[0].write_bytes(files[0].read_bytes()[:400])
    (tmp_path / "text.dcm").write_text("no DICOM file")
    (tmp_path / "meta.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 64)
    (tmp_path / "empty.dcm").touch()
    found = read_headers(tmp_path)
    assert len(found.files) == 13
    cut = files[0].relative_to(tmp_path).as_posix()
    assert sorted(found.unread) == sorted((cut, "meta.dcm"))
    assert len(set(found.identities) - set(found.unread)) == 9


def test_the_beginning_of_a_file_in_an_archive_or_at_a_url_says_it(
    folder: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = read_headers(folder)
    storage = pytest.importorskip("fsspec").filesystem("memory")
    for file in folder.rglob("*"):
        if file.is_file():
            storage.pipe(f"/tree/{file.relative_to(folder).as_posix()}", file.read_bytes())
    zipped(folder, tmp_path / "a.zip")
    members = scan_of(tmp_path / "a.zip")
    assert members is not None
    reader = decoder.ImageDecoder(1, 1, None, 10**6, 10**6, Budget(10**6))
    for length in (
        *range(200, 1500, 97),
        2**17,
    ):  # Less than the header, than the file, and all of it.
        monkeypatch.setattr(decoder, "HEADER_BYTES", length)
        for member in members.candidates:
            assert isinstance(member.place, FilePart)
            assert reader.identity(member.place) == found.identities[member.name]
    assert read_headers("memory://tree").identities == found.identities
    storage.rm("/tree", recursive=True)


@pytest.mark.parametrize(
    ("elements", "patient"),
    [
        ({"PatientID": " 7 ", "PatientName": "A^B"}, "7"),
        ({"PatientID": "7", "IssuerOfPatientID": "East"}, "7 of East"),
        (
            {"PatientName": "Doe^Jane^^", "PatientBirthDate": "19800101"},
            "named doe^jane, born 19800101",
        ),
        ({"PatientName": "DOE ^JANE"}, "named doe^jane"),
        ({"PatientID": "ANON", "PatientName": "Anonymized"}, ""),
        ({"PatientID": "Unknown", "PatientName": "Doe^Jane"}, "named doe^jane"),
        ({"PatientID": "", "PatientName": "^^=^"}, ""),
        ({}, ""),
    ],
)
def test_a_patient_is_told_by_identifier_or_name(elements: dict[str, str], patient: str) -> None:
    header = Dataset()
    for name, value in elements.items():
        setattr(header, name, value)
    assert identity_of(header).patient == patient


PERSON = HeaderIdentity(patient="7 of A", study="1.2", series="1.2.3")


def test_identifiers_are_shown_by_their_tokens() -> None:
    identities = [PERSON, None, PERSON, HeaderIdentity(patient="8")]
    shown = header_column(identities, "patient", lambda by, text: f"{by}({text})")
    assert shown == ["patient(7 of A)", "", "patient(7 of A)", "patient(8)"]
    assert header_column(identities, "study", lambda by, text: text) == ["1.2", "", "1.2", ""]


def test_files_without_a_header_are_groups_of_their_own() -> None:
    names = ["a.dcm", "b/v.nii?z=1", "b/v.nii?z=2", "c.png"]
    groups, notes = groups_by_header(["p", "", "", ""], names, "patient")
    assert groups.tolist() == ["p", "b/v.nii", "b/v.nii", "c.png"]
    (note,) = notes
    assert note.startswith("3 of 4 images have no header that names their patient")
    assert groups_by_header(["p", "q"], names[:2], "patient")[1] == ()


def test_groups_that_say_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="none of these 2 images has one that names its series"):
        groups_by_header(["", ""], ["a.png", "b.png"], "series")
    with pytest.raises(ValueError, match="all images are of one patient"):
        groups_by_header(["p", "p"], ["a", "b"], "patient")
    with pytest.raises(ValueError, match="needs a column 'study' beside"):
        groups_of_images("study", ["a", "b"], lambda _: None)
    assert groups_of_images("folder", ["x/a", "y/b"], lambda _: None)[0].tolist() == ["x", "y"]
    assert typing.get_args(GroupBy) == typing.get_args(FlagGroupBy)


def test_studies_keep_patients_whole(folder: pathlib.Path, tmp_path: pathlib.Path) -> None:
    names = [name for name in read_headers(folder).files if "/SEG/" not in name]
    codes = group_codes_of(folder, names, "patient")
    assert codes.tolist() == [name.startswith("Zwiebelmann") for name in names]
    labels = tmp_path / "labels.csv"
    rows = (f'"{name}",{index % 2}\n' for index, name in enumerate(names))
    labels.write_text("image,label\n" + "".join(rows), encoding="utf-8")
    source = LabelledSource(folder, labels, group_by="patient")
    read = read_labelled(source, image_size=8, channels=1)
    assert read.groups is not None
    assert np.array_equal(read.groups, codes)
    with pytest.raises(ValueError, match="--groups and --group_by both say the groups"):
        LabelledSource(folder, labels, labels, group_by="patient")
