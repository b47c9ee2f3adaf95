"""What jobs do with headers: names in tables, messages and paths, and groups of boxes."""

import csv
import pathlib
import stat

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from examine_jax.common.keyed_names import read_or_make_key
from examine_jax.images import load_images
from examine_jax.images.decoding.header_identity import HeaderIdentity
from examine_jax.images.header_identities import SourceHeaders
from examine_jax.jobs.assess.deciding import read_known
from examine_jax.jobs.assess.settings import DecisionSettings
from examine_jax.jobs.columns_beside import column_beside, groups_beside
from examine_jax.jobs.detect.detect import DetectSettings
from examine_jax.jobs.detect_train.detect_train import _check_apart
from examine_jax.jobs.headers import JobHeaders, PrivacySettings, names_in_table

ANNA = HeaderIdentity(
    patient="QX-70812",
    study="1.2.826.0.77.1",
    series="1.2.826.0.77.1.2",
    modality="CT",
    people=("Zwiebel^Anna",),
    identifiers=("QX-70812", "5"),
)
TOM = HeaderIdentity(
    patient="QX-70999",
    study="1.2.826.0.88.1",
    series="1.2.826.0.88.1.2",
    modality="MR",
    people=("Tomate^Tom",),
    identifiers=("QX-70999",),
)
FILES = ("anna/QX-70812/a.dcm", "Tomate/b.dcm", "Tomate/c.dcm[0]", "d.png")


def _headers(key: pathlib.Path | None = None, **settings: object) -> JobHeaders:
    source = SourceHeaders({FILES[0]: ANNA, FILES[1]: TOM, "Tomate/c.dcm": TOM}, (), FILES)
    return JobHeaders({"images": source}, PrivacySettings(id_key=key, **settings))  # type: ignore[arg-type]


def test_names_groups_and_modalities_go_by_the_files_headers() -> None:
    headers = _headers()
    shown = headers.names("images", FILES)
    assert [name.rpartition("/")[2] for name in shown[1:]] == ["b.dcm", "c.dcm[0]", "d.png"]
    assert shown[1].startswith("name-")
    assert shown[1].split("/")[0] == shown[2].split("/")[0]
    assert headers.modalities("images", FILES) == ("CT", "MR", "MR", "")
    groups, notes = headers.groups("images", FILES, "patient")
    assert groups[1] == groups[2] != groups[0]
    assert groups[3] == "d.png"
    assert len(notes) == 1
    assert headers.names(None, ("x",)) == ("x",)  # Of the sample.


def test_a_file_may_be_called_as_a_frame_is() -> None:
    source = SourceHeaders({"IM[1]": ANNA, "IM[2]": TOM}, (), ("IM[1]", "IM[2]"))
    headers = JobHeaders({"images": source}, PrivacySettings())
    assert headers.modalities("images", source.files) == ("CT", "MR")
    assert len(set(headers.groups("images", source.files, "patient")[0])) == 2


def test_messages_name_series_by_their_hashes() -> None:
    headers = _headers()
    shown = headers.text(f"series {TOM.series} from 0 to 4095; Tomate/c.dcm[0]: damaged (5 of 7)")
    hidden = headers.names("images", FILES)[2]
    assert shown == (
        f"series {headers.token('series', TOM.series)} from 0 to 4095; {hidden}: damaged (5 of 7)"
    )
    named = f"{headers.token('name', 'Zwiebel')} {headers.token('name', 'Anna')}"
    assert headers.text("none in /x/Zwiebel Anna, by Anna") == f"none in /x/{named}, by Anna"
    assert headers.text("none in y/Anna Zwiebel/z").count("name-") == 2
    with pytest.raises(FileNotFoundError, match=r"no file 'x/name-\w+/b.dcm'"), headers.hiding():
        raise FileNotFoundError("no file 'x/Tomate/b.dcm'")
    with pytest.raises(ValueError, match=r"^as it is$"), headers.hiding():
        raise ValueError("as it is")


def test_settings_hide_paths(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "Zwiebel"
    folder.mkdir()
    shown = _headers().plain({"images": str(folder), "format": "Zwiebel", "steps": 3})
    assert shown["images"].startswith(f"{tmp_path}/name-")
    assert (shown["format"], shown["steps"]) == ("Zwiebel", 3)
    url = "s3://bucket/Zwiebel"
    remote = JobHeaders({url: SourceHeaders({"a.dcm": ANNA})}, PrivacySettings())
    assert remote.plain({"images": url})["images"].startswith("s3://bucket/name-")
    assert _headers(keep_ids=True).plain({"images": str(folder)})["images"] == str(folder)


def test_tables_name_images_either_way(tmp_path: pathlib.Path) -> None:
    shown = _headers().names("images", FILES)
    table = tmp_path / "t.csv"
    for names in (FILES, shown):
        table.write_text(
            "image,group\n" + "".join(f"{name},g{i}\n" for i, name in enumerate(names))
        )
        assert names_in_table(table, "image", FILES, shown) == names
        decision = DecisionSettings(groups=table, labelled=table)
        known = read_known(decision, 4, shown, stored_names=FILES)
        assert known.groups is not None
        assert known.groups.tolist() == ["g0", "g1", "g2", "g3"]
        assert known.labelled.tolist() == [0, 1, 2, 3]
    table.write_text("image,group\n" + "x" * 200_000 + ",g\n")
    with pytest.raises(ValueError, match="field larger than field limit"):
        names_in_table(table, "image", FILES, shown)
    table.write_text("index,group\n0,a\n")
    assert names_in_table(table, "image", FILES, shown) == shown
    assert names_in_table(None, "image", FILES, shown) == shown
    assert names_in_table(tmp_path / "f.npy", "image", FILES, shown) == shown


def test_all_names_are_hidden_if_that_is_asked(tmp_path: pathlib.Path) -> None:
    source = tmp_path / "images"
    (source / "Müller").mkdir(parents=True)
    for name in ("Müller/a.png", "b.png"):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(source / name)
    (source / "c.png").write_text("no image")
    key = tmp_path / "key"
    plain = JobHeaders.read([source], PrivacySettings(), progress=False)
    found = load_images(source, image_size=4, channels=1)
    assert plain.images(source, found) is found
    assert plain.keep_table() == ()
    headers = JobHeaders.read(
        [source], PrivacySettings(id_key=key, anonymous_names=True), progress=False
    )
    shown = headers.images(source, found)
    assert all(name.split("/")[-1].startswith("name-") for name in shown.names)
    assert all(name.endswith(".png") for name in shown.names)
    assert shown.skipped[0].name.startswith("name-")
    assert headers.path(str(source)) == read_or_make_key(key).token("path", str(source))
    headers.keep_table(progress=False)
    (table,) = tmp_path.glob("key.names/*.csv")
    assert stat.S_IMODE(table.parent.stat().st_mode) == 0o700
    with table.open(newline="", encoding="utf-8") as stream:
        leads_to = {row["shown"]: row["stands_for"] for row in csv.DictReader(stream)}
    assert tuple(leads_to[name] for name in shown.names) == found.names
    with pytest.raises(ValueError, match="none of these 2 images has one that names its patient"):
        headers.groups(source, found.names, "patient")


def test_without_need_no_key_is_made(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    files = {"ct/1.dcm": HeaderIdentity(patient="3", people=("Berg^Eva",))}
    headers = JobHeaders({"images": SourceHeaders(files, (), tuple(files))}, PrivacySettings())
    assert headers.names("images", tuple(files)) == tuple(files)
    assert headers.keep_table() == ()
    assert not (tmp_path / "data").exists()
    assert headers.column("images", tuple(files), "patient")[0].startswith("patient-")
    assert (tmp_path / "data").exists()


def test_headers_that_cannot_be_read_are_told() -> None:
    sources = {"images": SourceHeaders({}, ("Zwiebel/a.dcm",), ("Zwiebel/a.dcm",))}
    (note,) = JobHeaders(sources, PrivacySettings()).keep_table(progress=False)
    assert note.startswith("DICOM headers that cannot be read, or name no patient and no study: 1;")
    for settings in (PrivacySettings(keep_ids=True), PrivacySettings(anonymous_names=True)):
        assert JobHeaders(sources, settings).keep_table(progress=False) == ()


@pytest.mark.parametrize(
    "name",
    ["=cmd|' /C'!A0^x", "a\nb^c", "x" * 5000, "[(+*?^$.", "\u202eevil^\u0301", "A^B=C^D=E^F=G"],
)
def test_odd_names_in_headers_do_no_harm(name: str) -> None:
    odd = HeaderIdentity(patient=name, people=(name,), identifiers=(name, "", "-"), places=(name,))
    source = SourceHeaders({"a/1.dcm": odd}, (), ("a/1.dcm", f"{name.replace('/', '')}/2.dcm"))
    headers = JobHeaders({"images": source}, PrivacySettings())
    assert headers.names("images", ["a/1.dcm"]) == ("a/1.dcm",)
    assert len(headers.names("images", source.files)) == 2
    assert headers.text("cannot read a/1.dcm") == "cannot read a/1.dcm"


def test_a_folder_is_hidden_for_all_files_in_it() -> None:
    own = HeaderIdentity(patient="47", people=("Li^Na",), identifiers=("47",))
    files = ("p47/ct/1.dcm", "p47/photo.jpg", "x/p47/2.dcm", "48/47.png", "Li/3.dcm", "Li/4.png")
    headers = JobHeaders(
        {"images": SourceHeaders({files[0]: own, files[4]: own}, (), files)}, PrivacySettings()
    )
    shown = headers.names("images", files)
    folders = [name.split("/")[0] for name in shown]
    assert folders[0] == folders[1] == headers.token("name", "p47")
    assert folders[4] == folders[5] == headers.token("name", "Li")
    assert shown[2:4] == files[2:4]  # Not of this patient, as far as headers say.


def test_a_short_identifier_alone_is_hidden() -> None:
    own = HeaderIdentity(patient="47", identifiers=("47",))
    source = SourceHeaders({"p47/1.dcm": own}, (), ("p47/1.dcm",))
    headers = JobHeaders({"images": source}, PrivacySettings())
    assert headers.names("images", ["p47/1.dcm"]) == (f"{headers.token('name', 'p47')}/1.dcm",)


def test_columns_lie_beside_features(tmp_path: pathlib.Path) -> None:
    features = tmp_path / "f.npy"
    np.save(features, np.eye(3, 2, dtype=np.float32))
    assert column_beside(features, 3, "patient") is None
    table = tmp_path / "f.names.csv"
    table.write_text("image,index,patient\na,0,p\nb,1,\nc[0],2,p\n")
    assert column_beside(features, 3, "patient") == ["p", "", "p"]
    assert column_beside(features, 3, "study") is None
    groups, notes = groups_beside("patient", features, 3, ["a", "b", "c[0]"])
    assert groups.tolist() == ["p", "b", "p"]
    assert len(notes) == 1
    with pytest.raises(ValueError, match="3 names for 4 rows"):
        column_beside(features, 4, "patient")
    np.save(features, np.eye(3, 2, dtype=np.int64))  # Not read for its columns.
    (tmp_path / "n.txt").write_text("a\nb\nc\n")
    assert column_beside(features, 3, "image", tmp_path / "n.txt") == ["a", "b", "c"]
    assert column_beside(features, 3, "patient", tmp_path / "n.txt") is None


def test_a_table_of_names_does_not_hide_the_features_own_columns(tmp_path: pathlib.Path) -> None:
    features, table = tmp_path / "f.parquet", tmp_path / "n.txt"
    columns = {"f0": [0.0, 1.0], "f1": [1.0, 0.0], "image": ["a", "b"], "patient": ["p", "q"]}
    pq.write_table(pa.table(columns), features)
    table.write_text("x\ny\n")
    assert column_beside(features, 2, "image", table) == ["x", "y"]
    assert column_beside(features, 2, "patient", table) == ["p", "q"]
    assert column_beside(features, 2, "study", table) is None


def test_validation_images_are_of_other_patients() -> None:
    headers = _headers()
    _check_apart("patient", "images", FILES[:1], FILES[1:3], headers)
    with pytest.raises(ValueError, match=r"1 groups, such as 'patient-\w+', have training and"):
        _check_apart("patient", "images", FILES[:2], FILES[2:], headers)


def test_groups_of_boxes_need_boxes(tmp_path: pathlib.Path) -> None:
    output = tmp_path / "o.csv"
    with pytest.raises(ValueError, match="--group_by serves the metrics' intervals"):
        DetectSettings("i", "d", output, group_by="patient")
    with pytest.raises(ValueError, match="--groups and --group_by both say the groups"):
        DetectSettings("i", "d", output, boxes="b", groups="g.csv", group_by="patient")
