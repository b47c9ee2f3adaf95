"""DICOM series: put together, ordered by position, cut; against highdicom and by hand."""

import pathlib
import shutil

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="DICOM needs examine-jax[dicom]")

from examine_jax.images import ImageSet, load_images, stream_images
from examine_jax.images.decoding.slice_stacks import Placement, find_stacks
from examine_jax.images.decoding.slicing import Slicing
from examine_jax.images.stored_images import StoredImages
from tests.images.sources.test_archive import pack
from tests.support.dicom_series import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    enhanced,
    slice_of,
    volume,
    with_odd_position,
    write_series,
)

SHUFFLED = (3, 0, 4, 1, 2)


def read(folder: pathlib.Path, size: tuple[int, int] = (7, 9), **slicing: object) -> ImageSet:
    """The images of a source, loaded; streamed, they are the same."""
    options = {"image_size": size, "channels": 1, "slicing": Slicing(**slicing)}
    loaded, streamed = load_images(folder, **options), stream_images(folder, **options)
    assert streamed.names == loaded.names
    assert streamed.skipped == loaded.skipped
    assert streamed.notes == loaded.notes
    np.testing.assert_array_equal(streamed.stored_sizes, loaded.stored_sizes)
    np.testing.assert_array_equal(streamed[np.arange(len(loaded))], loaded.pixels)
    return loaded


def shown(values: np.ndarray) -> np.ndarray:
    """By the window of `slice_of` (LINEAR, PS3.3 C.11.2.1.2.1)."""
    return np.rint(np.clip((values + 0.5) / 1999 + 0.5, 0, 1) * 255)


def close(pixels: np.ndarray, values: np.ndarray) -> bool:
    return bool(np.abs(pixels[..., 0].astype(int) - shown(values)).max() <= 1)


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL, (0.8, 0.6, 0, -0.6, 0.8, 0)])
def test_a_series_is_ordered_as_by_highdicom(tmp_path: pathlib.Path, orientation: tuple) -> None:
    highdicom = pytest.importorskip("highdicom")
    values = volume()
    written = write_series(tmp_path, values, SHUFFLED, orientation=orientation)
    images = read(tmp_path)
    assert images.names == ("IM01.dcm", "IM03.dcm", "IM04.dcm", "IM00.dcm", "IM02.dcm")
    assert close(images.pixels, values)
    assert images.notes == images.skipped == ()
    expected = highdicom.get_volume_from_series(written, apply_modality_transform=False).array
    ours = values if np.array_equal(expected[0], values[0]) else values[::-1]
    np.testing.assert_array_equal(expected, ours)


def test_a_real_series_is_ordered_as_by_highdicom() -> None:
    highdicom = pytest.importorskip("highdicom")
    folder = pathlib.Path(pydicom.__file__).parent / "data/test_files/dicomdirtests/98892001/CT5N"
    written = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    images = load_images(folder, image_size=8)
    expected = highdicom.get_volume_from_series(written).get_plane_positions()
    positions = {path.name: pydicom.dcmread(path).ImagePositionPatient for path in folder.iterdir()}
    ours = np.array([positions[name] for name in images.names], float)
    theirs = np.array([list(one[0].ImagePositionPatient) for one in expected], float)
    assert np.allclose(ours, theirs) or np.allclose(ours, theirs[::-1])


def test_files_lie_in_folders_archives_and_lists(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "folder"
    write_series(folder / "b", volume(), SHUFFLED)
    write_series(folder / "a", volume(seed=1), SHUFFLED, SeriesInstanceUID="1.2.3.9")
    (folder / "a" / "IM04.dcm").rename(folder / "c")
    content = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    expected = read(folder)
    assert expected.names == (
        *("a/IM01.dcm", "a/IM03.dcm", "c", "a/IM00.dcm", "a/IM02.dcm"),
        *("b/IM01.dcm", "b/IM03.dcm", "b/IM04.dcm", "b/IM00.dcm", "b/IM02.dcm"),
    )
    (folder / "list.txt").write_text("\n".join(content))
    sources = [pack(tmp_path / "packed.zip", content), folder / "list.txt"]
    for source in [*sources, pack(tmp_path / "packed.tar.gz", content)]:
        images = read(source)
        assert images.names == expected.names
        np.testing.assert_array_equal(images.pixels, expected.pixels)


def test_every_second_slice_and_no_empty_ones(tmp_path: pathlib.Path) -> None:
    values = volume(6)
    values[[0, 4]] = 7
    write_series(tmp_path, values, (5, 0, 4, 1, 2, 3))
    assert read(tmp_path).names == ("IM03.dcm", "IM04.dcm", "IM05.dcm", "IM00.dcm")
    assert read(tmp_path).notes == (
        "2 slices of 1 DICOM series have one value throughout and are left out",
    )
    assert read(tmp_path, step=2).names == ("IM04.dcm",)
    assert read(tmp_path, step=3).names == ("IM05.dcm",)
    (tmp_path / "IM05.dcm").unlink()
    with pytest.raises(ValueError, match="all 2 slices of its volume are empty"):
        load_images(tmp_path, image_size=8, slicing=Slicing(step=3))


def test_another_plane_is_cut(tmp_path: pathlib.Path) -> None:
    values = volume()
    write_series(tmp_path / "s", values, SHUFFLED)
    coronal = read(tmp_path, (5, 9), plane="coronal")
    assert coronal.names == tuple(f"s/IM01.dcm?y={row}" for row in range(7))
    assert close(coronal.pixels, values.transpose(1, 0, 2)[:, ::-1])
    assert coronal.stored_sizes.tolist() == [[5, 9]] * 7
    sagittal = read(tmp_path, (5, 7), plane="sagittal", step=4)
    assert sagittal.names == ("s/IM01.dcm?x=0", "s/IM01.dcm?x=4", "s/IM01.dcm?x=8")
    assert close(sagittal.pixels, values.transpose(2, 0, 1)[::4, ::-1])
    assert read(tmp_path, plane="axial").names == read(tmp_path).names
    stored = StoredImages.of(tmp_path, coronal.names[:2], slicing=Slicing("coronal"))
    assert close(stored.read("s/IM01.dcm?y=1")[None], values[None, ::-1, 1])
    assert stored.own_file("s/IM01.dcm?y=1") is None


def test_a_cut_has_the_scale_of_its_volume(tmp_path: pathlib.Path) -> None:
    values = np.abs(volume())
    bare = {"WindowCenter": None, "WindowWidth": None, "PixelRepresentation": 0, "Modality": "MR"}
    write_series(tmp_path, values, **bare)
    own = read(tmp_path).pixels[..., 0]
    cut = read(tmp_path, (5, 9), plane="coronal").pixels[..., 0]
    np.testing.assert_array_equal(cut, own.transpose(1, 0, 2)[:, ::-1])


def test_duplicates_are_listed_and_other_images_of_a_place_are_kept(
    tmp_path: pathlib.Path,
) -> None:
    values = volume()
    written = write_series(tmp_path, values, SHUFFLED)
    written[2].SOPInstanceUID = "1.2.3.99"
    written[2].InstanceNumber = 77
    written[2].save_as(tmp_path / "again.dcm")
    shutil.copy(tmp_path / "IM00.dcm", tmp_path / "copy.dcm")
    other = slice_of(values[0], written[1].ImagePositionPatient, InstanceNumber=78)
    other.PixelData = values[3].tobytes()
    other.save_as(tmp_path / "other.dcm", enforce_file_format=True)
    images = read(tmp_path)
    kept = ("IM01.dcm", "IM03.dcm", "IM04.dcm", "IM00.dcm", "IM02.dcm")
    assert images.names == (*kept, "other.dcm")
    reason = "a duplicate: it lies in the same place of the same volume as {}, which is read"
    assert [(one.name, one.reason) for one in images.skipped] == [
        ("again.dcm", reason.format("IM02.dcm")),
        ("copy.dcm", reason.format("IM00.dcm")),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"TemporalPositionIdentifier": (1, 2)},
        {"EchoTime": (2.5, 10)},
        {"DiffusionBValue": (0.0, 1000.0)},
        {"ImageType": (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"])},
        {"AcquisitionTime": ("101010", "101112")},
        {"InstanceNumber": (1, 20)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_volumes_of_a_series_are_not_mixed(tmp_path: pathlib.Path, changes: dict) -> None:
    (name, pair), values = next(iter(changes.items())), volume(8)
    for phase in (1, 0):
        for place in (2, 0, 3, 1):
            own = pair[phase] + place if name == "InstanceNumber" else pair[phase]
            one = slice_of(
                values[4 * phase + place],
                (0, 0, 3 * place),
                **{"InstanceNumber": 2 * place + phase} | {name: own},
            )
            one.save_as(tmp_path / f"{place}{phase}.dcm", enforce_file_format=True)
    images = read(tmp_path)
    assert images.names == tuple(f"{place}{phase}.dcm" for phase in (0, 1) for place in range(4))
    assert images.skipped == images.notes == ()
    assert len(read(tmp_path, step=4)) == 2


@pytest.mark.parametrize("differing", ["PatientID", "StudyInstanceUID"])
@pytest.mark.parametrize("windows", [(2000, 300), (None, None)])
def test_patients_are_not_mixed_whose_series_have_one_identifier(
    tmp_path: pathlib.Path, differing: str, windows: tuple
) -> None:
    alone = tmp_path.parent / f"{tmp_path.name}_alone"
    alone.mkdir()
    for k, values in enumerate(volume(6)):
        own = {differing: f"1.{k % 2}", "InstanceNumber": k, "WindowWidth": windows[k % 2]}
        own["WindowCenter"] = own["WindowWidth"] and 0
        one = slice_of(values // (1 + 7 * (k % 2)), (0, 0, k), **own, Modality="MR")
        one.save_as(tmp_path / f"{k}.dcm")
        one.SeriesInstanceUID = f"1.{k % 2}"
        one.save_as(alone / f"{k}.dcm")
    np.testing.assert_array_equal(read(tmp_path).pixels, read(alone).pixels)
    assert not any("|" in note for note in read(tmp_path).notes)
    names = ("0.dcm", "2.dcm", "4.dcm", "1.dcm", "3.dcm", "5.dcm")
    assert read(tmp_path).names == names
    assert len(read(tmp_path, plane="coronal")) == 14


@pytest.mark.parametrize("about", [0.0, -125.005])
def test_positions_that_differ_by_little_tell_no_volumes_apart(about: float) -> None:
    slices = [
        Placement(
            "s",
            (4, 4),
            orientation=AXIAL,
            position=(about + float(x), 0.0, float(z)),
            number=n,
            digest=f"{n}{z}",
        )
        for n, signs in enumerate([(1, -1, 1, -1), (-1, 1, -1, 1)])
        for z, x in enumerate(1e-4 * np.array(signs))
    ]
    stacks = find_stacks(slices).stacks
    assert [stack.indices for stack in stacks] == [(0, 1, 2, 3), (4, 5, 6, 7)]


def test_localizers_and_other_sizes_stand_apart(tmp_path: pathlib.Path) -> None:
    values = volume()
    write_series(tmp_path, values, SHUFFLED)
    slice_of(values[0], (0, 0, 0), ImageOrientationPatient=list(CORONAL)).save_as(
        tmp_path / "AA.dcm", enforce_file_format=True
    )
    slice_of(values[1, :5], (-10, 20, 32)).save_as(tmp_path / "small.dcm", enforce_file_format=True)
    scout = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    slice_of(values[0], (-10, 20, 33), **scout).save_as(tmp_path / "scout.dcm")
    stack = ("IM01.dcm", "IM03.dcm", "IM04.dcm", "IM00.dcm", "IM02.dcm")
    images = read(tmp_path)
    assert images.names == ("AA.dcm", *stack, "scout.dcm", "small.dcm")
    assert images.notes == images.skipped == ()
    cut = read(tmp_path, plane="sagittal")
    reasons = {one.name: one.reason for one in cut.skipped}
    assert reasons["AA.dcm"] == "a single coronal slice, where sagittal ones are asked for"
    assert set(reasons) == {"AA.dcm", "scout.dcm", "small.dcm"}


def test_gaps_and_missing_positions_are_said(tmp_path: pathlib.Path) -> None:
    values = volume(6)
    write_series(tmp_path / "gap", values)
    (tmp_path / "gap" / "IM03.dcm").unlink()
    bare = {"ImagePositionPatient": None, "SeriesInstanceUID": "1.2.3.7"}
    for place in range(3):
        write_series(tmp_path / f"n{place}", values[:1], InstanceNumber=9 - place, **bare)
    write_series(tmp_path / "z", values[:1], SliceLocation=3, **bare | {"SeriesInstanceUID": "1.8"})
    write_series(
        tmp_path / "y", values[1:2], SliceLocation=7, **bare | {"SeriesInstanceUID": "1.8"}
    )
    images = read(tmp_path)
    assert images.names[5:] == (*(f"n{k}/IM00.dcm" for k in (2, 1, 0)), "z/IM00.dcm", "y/IM00.dcm")
    assert images.notes == (
        "1 gaps in DICOM series, where neighbouring slices are more than 1.5 times as far apart as "
        "others: in that of gap/IM00.dcm",
        "1 DICOM series without positions are ordered by SliceLocation",
        "1 DICOM series without positions are ordered by InstanceNumber",
    )
    with pytest.raises(ValueError, match="not evenly spaced, with 1 gaps") as raised:
        load_images(tmp_path / "gap", image_size=8, slicing=Slicing("coronal"))
    assert "leave slice_axis out" in str(raised.value)


@pytest.mark.parametrize(
    "text", [b"nan\\20\\30", b"inf\\20\\30", b"1e308\\9\\9", b"a\\b\\c", b"1\\2", b""]
)
def test_positions_that_are_none_are_left_out(tmp_path: pathlib.Path, text: bytes) -> None:
    write_series(tmp_path, volume(4))
    with_odd_position(tmp_path / "IM02.dcm", text)
    images = read(tmp_path)
    assert sorted(images.names) == [f"IM0{k}.dcm" for k in range(4)]
    assert images.skipped == ()


def test_tilted_and_damaged_volumes_are_not_cut(tmp_path: pathlib.Path) -> None:
    values = volume(4)
    for place in range(4):
        one = slice_of(values[place], (0, place, 3 * place), InstanceNumber=place)
        one.save_as(tmp_path / f"{place}.dcm", enforce_file_format=True)
    assert len(read(tmp_path)) == 4
    with pytest.raises(ValueError, match="tilted to its axis"):
        load_images(tmp_path, image_size=8, slicing=Slicing("coronal"))
    write_series(tmp_path / "cut", values, SeriesInstanceUID="1.9")
    path = tmp_path / "cut" / "IM02.dcm"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match=r"its slice IM02\.dcm cannot be read: truncated"):
        load_images(tmp_path / "cut", image_size=8, slicing=Slicing("coronal"))


def test_frames_are_ordered_and_cut(tmp_path: pathlib.Path) -> None:
    values = volume()
    values[4] = 3
    positions = [(0, 0, 2 * place) for place in (3, 1, 0, 2, 4)]
    enhanced(values, positions).save_as(tmp_path / "e.dcm", enforce_file_format=True)
    images = read(tmp_path)
    assert images.names == ("e.dcm[2]", "e.dcm[1]", "e.dcm[3]", "e.dcm[0]")
    assert close(images.pixels, values[[2, 1, 3, 0]])
    assert "1 slices of 1 DICOM series have one value" in images.notes[0]
    assert read(tmp_path, step=3).names == ("e.dcm[2]", "e.dcm[0]")
    cut = read(tmp_path, (5, 9), plane="coronal")
    assert cut.names == tuple(f"e.dcm?y={row}" for row in range(7))
    assert close(cut.pixels, values[[2, 1, 3, 0, 4]].transpose(1, 0, 2)[:, ::-1])


def test_the_volumes_of_one_file_are_not_mixed(tmp_path: pathlib.Path) -> None:
    values = volume(6)
    positions = [(0, 0, place) for place in (1, 1, 0, 0, 0, 1)]
    times = [{"FrameContentSequence": {"TemporalPositionIndex": time}} for time in (2, 1, 2, 1)]
    again = [{"FrameContentSequence": {"TemporalPositionIndex": 1}}, times[0]]
    values[4] = values[3]
    dataset = enhanced(values, positions, times + again)
    dataset.save_as(tmp_path / "e.dcm", enforce_file_format=True)
    images = read(tmp_path)
    assert images.names == ("e.dcm[3]", "e.dcm[1]", "e.dcm[2]", "e.dcm[0]", "e.dcm[5]")
    assert [one.name for one in images.skipped] == ["e.dcm[4]"]
    assert "as frame 3" in images.skipped[0].reason
    with pytest.raises(ValueError, match="2 volumes in one file"):
        load_images(tmp_path, image_size=8, slicing=Slicing("coronal"))
