"""Slices of one series whose windows differ are shown by one window."""

import pathlib

import numpy as np
import pytest

from examine_jax.images.decoding.series_windows import Slice, Window, common_windows, window_notes

LINEAR = "LINEAR_EXACT"


def window(centre: float, width: float, function: str = LINEAR) -> Window:
    return Window(float(centre), float(width), function)


def test_the_common_window_is_the_median_of_centres_and_widths() -> None:
    windows = [window(40, 400), window(60, 300), window(900, 9000, "LINEAR")]
    found = common_windows(Slice("1.2", one) for one in windows)
    assert found == {"1.2": window(60.0, 400.0)}


@pytest.mark.parametrize("windows", [[window(40, 400)] * 3, [None, None], [], [window(40, 400)]])
def test_slices_that_agree_have_no_common_window(windows: list) -> None:
    assert common_windows(Slice("1.2", one) for one in windows) == {}


def test_a_slice_without_a_window_takes_the_others() -> None:
    slices = [Slice("1.2", None), Slice("1.2", window(40, 400)), Slice("3", None)]
    assert common_windows(slices) == {"1.2": window(40, 400)}


def test_functions_are_chosen_by_number_and_then_by_name() -> None:
    slices = [Slice("1", window(1, 2, name)) for name in ("SIGMOID", "LINEAR", "SIGMOID", "LINEAR")]
    assert common_windows([*slices, Slice("1", window(9, 2, "LINEAR"))])["1"].function == "LINEAR"
    assert common_windows(slices)["1"].function == "LINEAR"


def test_the_note_names_the_series() -> None:
    (note,) = window_notes({"1.2": window(60.5, 400)})
    assert note.endswith("by the medians: series 1.2 by centre 60.5 and width 400")
    assert window_notes({}) == ()
    (note,) = window_notes({str(name): window(1, 2) for name in range(5)})
    assert note.endswith("and 2 more")


pydicom = pytest.importorskip("pydicom", reason="DICOM needs examine-jax[dicom]")

from examine_jax.images import load_folder, stream_folder
from tests.images.decoding.test_dicom import decoder, grey

RAMP = (np.add.outer(np.arange(32), np.arange(32)) * 16).astype(np.uint16)  # 0 to 992


def read(folder: pathlib.Path, **settings: object) -> tuple[np.ndarray, tuple[str, ...]]:
    """Images [N, 32, 32] read into memory, and on demand the same; and the notes."""
    loaded = load_folder(folder, image_size=32, channels=1, **settings)  # type: ignore[arg-type]
    streamed = stream_folder(folder, image_size=32, channels=1, **settings)  # type: ignore[arg-type]
    assert streamed.names == loaded.names
    assert np.array_equal(streamed[np.arange(len(loaded))], loaded.pixels)
    return loaded.pixels[..., 0], loaded.notes


def series(folder: pathlib.Path, windows: list, **tags: object) -> None:
    for row, one in enumerate(windows):
        own = {} if one is None else {"WindowCenter": one[0], "WindowWidth": one[1]}
        own |= {"VOILUTFunction": LINEAR, "SeriesInstanceUID": "1.2.3"} | tags
        grey(12, RAMP, **own).save_as(folder / f"{row}.dcm")


def shown(centre: float, width: float) -> np.ndarray:
    return np.rint(255 * np.clip((RAMP.astype(float) - centre) / width + 0.5, 0, 1))


WINDOWS = [(300, 500), (400, 700), (900, 4000)]


def test_one_tissue_has_one_grey_in_all_slices(tmp_path: pathlib.Path) -> None:
    series(tmp_path, WINDOWS)
    pixels, notes = read(tmp_path)
    for image in pixels:
        assert np.abs(image - shown(400, 700)).max() <= 1
    assert "series 1.2.3 by centre 400 and width 700" in notes[-1]


def test_a_slice_without_a_window_is_shown_as_the_others(tmp_path: pathlib.Path) -> None:
    series(tmp_path, [(300, 500), None, (300, 500)])
    pixels, notes = read(tmp_path)
    assert (pixels == pixels[0]).all()
    assert len(notes) == 1


def test_a_range_that_is_named_comes_first(tmp_path: pathlib.Path) -> None:
    series(tmp_path, WINDOWS)
    pixels, notes = read(tmp_path, intensity_range=(100.0, 900.0))
    assert np.abs(pixels - shown(500, 800)).max() <= 1
    assert notes == ()


def test_the_chosen_windows_decide_whether_slices_agree(tmp_path: pathlib.Path) -> None:
    series(tmp_path, [([500, 40], [900, 80]), ([500, 60], [900, 80])])
    pixels, notes = read(tmp_path)
    assert np.abs(pixels - shown(500, 900)).max() <= 1
    assert notes == ()
    pixels, notes = read(tmp_path, dicom_window=2)
    assert np.abs(pixels - shown(50, 80)).max() <= 1
    assert len(notes) == 1


@pytest.mark.parametrize(
    "tags", [{"Modality": "MG"}, {"SeriesInstanceUID": ""}, {"Modality": "CR"}]
)
def test_views_and_files_without_a_series_keep_their_windows(
    tmp_path: pathlib.Path, tags: dict
) -> None:
    series(tmp_path, WINDOWS, **tags)
    pixels, notes = read(tmp_path)
    for image, own in zip(pixels, WINDOWS):
        assert np.abs(image - shown(*own)).max() <= 1
    assert notes == ()


def test_frames_of_an_enhanced_file_are_slices(tmp_path: pathlib.Path) -> None:
    groups = []
    for centre, width in WINDOWS:
        item, group = pydicom.Dataset(), pydicom.Dataset()
        item.WindowCenter, item.WindowWidth, item.VOILUTFunction = centre, width, LINEAR
        group.FrameVOILUTSequence = [item]
        groups.append(group)
    own = {"PerFrameFunctionalGroupsSequence": groups, "SeriesInstanceUID": "1.2.3"}
    grey(12, np.stack([RAMP] * 3), **own).save_as(tmp_path / "a.dcm")
    pixels, _ = read(tmp_path)
    assert np.abs(pixels - shown(400, 700)).max() <= 1


def test_a_frame_without_a_window_has_none_of_its_neighbours(tmp_path: pathlib.Path) -> None:
    groups = [pydicom.Dataset() for _ in range(3)]
    item = pydicom.Dataset()
    item.WindowCenter, item.WindowWidth = 300, 500
    groups[0].FrameVOILUTSequence = [item]
    own = {"PerFrameFunctionalGroupsSequence": groups, "SeriesInstanceUID": "1.2.3"}
    grey(12, np.stack([RAMP] * 3), **own).save_as(tmp_path / "a.dcm")
    for slices in (slices_of(tmp_path), slices_of(tmp_path)):
        assert slices[0] is not None
        series = slices[0].series
        assert series.partition("|")[0] == "1.2.3"
        assert slices[0].window == window(300, 500, "LINEAR")
        assert slices[1:] == (Slice(series, None),) * 2


def slices_of(folder: pathlib.Path) -> tuple[Slice | None, ...]:
    return decoder(32).read_header(str(folder / "a.dcm")).slices


def test_inverted_slices_stay_inverted(tmp_path: pathlib.Path) -> None:
    series(tmp_path, WINDOWS, PhotometricInterpretation="MONOCHROME1")
    pixels, _ = read(tmp_path)
    assert np.abs(pixels - (255 - shown(400, 700))).max() <= 1
