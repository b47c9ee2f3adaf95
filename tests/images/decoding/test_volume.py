"""Slices of NIfTI volumes against nibabel, and volumes that are none."""

import gzip
import pathlib

import numpy as np
import pytest
from PIL import Image

from examine_jax.images import load_images, stream_images
from examine_jax.images.decoding.decoder import ImageDecoder
from examine_jax.images.decoding.parallel import Budget
from examine_jax.images.decoding.slicing import PLANES, Slicing
from examine_jax.images.decoding.unreadable import UnreadableImage
from examine_jax.images.sources.folder import FolderSource
from examine_jax.images.sources.source import ReadOptions
from examine_jax.images.stored_images import StoredImages

nib = pytest.importorskip("nibabel", reason="volumes need examine-jax[volumes]")

# The patient's axis across each plane's slices, and those down and along one (DICOM's directions).
AXES = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}


def decoder(image_size: tuple[int, int], **settings: object) -> ImageDecoder:
    return ImageDecoder(image_size, 1, None, 10**6, 2**24, Budget(10**6), **settings)


def save(path: pathlib.Path, values: np.ndarray, affine: np.ndarray | None = None) -> pathlib.Path:
    nib.save(nib.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return path


def expected_slices(image: object, plane: str) -> np.ndarray:
    """All slices as bytes by nibabel: reoriented, transposed, on the volume's scale."""
    values = nib.as_closest_canonical(image).get_fdata()
    across, down, along = AXES[plane]
    turned = np.flip(values.transpose(across, down, along), axis=(1, 2))
    low, high = np.percentile(values, [0.5, 99.5])
    return np.rint(np.clip((turned - low) / (high - low), 0, 1) * 255)


def orientations() -> dict[str, np.ndarray]:
    swapped = np.array([[0, 0, 2, 5], [-1, 0.1, 0, 3], [0, 3, 0, 0], [0, 0, 0, 1]], float)
    return {"RAS": np.eye(4), "LPS": np.diag([-1.0, -1, 1, 1]), "PSR": swapped}


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("name", orientations())
@pytest.mark.parametrize("kind", ["int16", "float32 scaled", "nifti2"])
def test_slices_are_nibabels(tmp_path: pathlib.Path, plane: str, name: str, kind: str) -> None:
    generator = np.random.default_rng(0)
    values = generator.normal(100, 300, (7, 9, 11))
    affine = orientations()[name]
    if kind == "int16":
        image = nib.Nifti1Image(values.astype(np.int16), affine)
    elif kind == "nifti2":
        image = nib.Nifti2Image(values.astype(np.float32), affine)
    else:
        image = nib.Nifti1Image(values, affine)
        image.set_data_dtype(np.int16)  # Stored as whole numbers with a slope and intercept.
    path = tmp_path / "v.nii.gz"
    nib.save(image, path)
    image = nib.load(path)
    expected = expected_slices(image, plane)
    found = decoder(expected.shape[1:], slicing=Slicing(plane)).frames(str(path))
    axis = nib.io_orientation(affine)[:, 0].tolist().index(AXES[plane][0])
    count = image.shape[axis]
    assert found.marks == tuple(f"?{'xyz'[axis]}={index}" for index in range(count))
    # nibabel's canonical axis may run the other way.
    if nib.io_orientation(affine)[axis, 1] < 0:
        expected = expected[::-1]
    pixels = np.stack([one.pixels[..., 0] for one in found.images]).astype(int)
    assert np.abs(pixels - expected).max() <= 1
    assert (pixels == expected).mean() > 0.99


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    """Two volumes, one of them below a folder, and a picture."""
    generator = np.random.default_rng(0)
    values = generator.integers(0, 1000, (12, 14, 6), dtype=np.int16)
    values[..., 0] = values[..., 5] = 0
    save(tmp_path / "a.nii.gz", values)
    (tmp_path / "sub").mkdir()
    save(tmp_path / "sub/b.nii", (values / 7).astype(np.float32), np.diag([2.0, -1, 1, 1]))
    Image.new("L", (9, 9), 40).save(tmp_path / "p.png")
    return tmp_path


def test_a_folder_of_volumes_is_loaded_and_streamed_alike(folder: pathlib.Path) -> None:
    images = load_images(folder, image_size=(14, 12))
    a, b = ([f"{name}?z={index}" for index in range(1, 5)] for name in ("a.nii.gz", "sub/b.nii"))
    assert images.names == (*a, "p.png", *b)
    assert images.skipped == ()
    assert images.notes == ("4 slices of 2 volumes have one grey throughout and are left out",)
    assert images.stored_sizes is not None
    assert images.stored_sizes.tolist() == [[14, 12]] * 4 + [[9, 9]] + [[14, 12]] * 4
    assert (images.pixels[:4].max(), images.pixels[:4].min()) == (255, 0)
    streamed = stream_images(folder, image_size=(14, 12))
    assert (streamed.names, streamed.skipped) == (images.names, images.skipped)
    assert streamed.notes == images.notes
    np.testing.assert_array_equal(streamed[np.arange(9)], images.pixels)


def test_every_second_slice_of_another_plane(folder: pathlib.Path) -> None:
    options = ReadOptions((6, 14), 1, slicing=Slicing("sagittal", 5), intensity_range=(0.0, 2000.0))
    images = FolderSource().load(str(folder), options)
    assert images.names == (
        *("a.nii.gz?x=0", "a.nii.gz?x=5", "a.nii.gz?x=10"),
        "p.png",
        *("sub/b.nii?x=0", "sub/b.nii?x=5", "sub/b.nii?x=10"),
    )
    assert 110 < images.pixels[:3].max() <= 128
    streamed = FolderSource().stream(str(folder), options)
    np.testing.assert_array_equal(streamed[np.arange(7)], images.pixels)


def test_a_volume_alone_is_a_source(folder: pathlib.Path) -> None:
    images = load_images(folder / "a.nii.gz", image_size=(14, 12), channels=1)
    assert images.names == tuple(f"a.nii.gz?z={index}" for index in range(1, 5))
    stored = StoredImages.of(folder / "a.nii.gz", images.names)
    np.testing.assert_array_equal(stored.read("a.nii.gz?z=3"), images.pixels[2])
    assert stored.own_file("a.nii.gz?z=3") is None


def test_nibabels_own_volume_is_read() -> None:
    path = pathlib.Path(nib.__file__).parent / "tests/data/anatomical.nii"
    if not path.is_file():
        pytest.skip("nibabel is installed without its test data")
    expected = expected_slices(nib.load(path), "axial")
    images = load_images(path, image_size=expected.shape[1:], channels=1)
    indices = [int(name.rpartition("=")[2]) for name in images.names]
    difference = np.abs(images.pixels[..., 0].astype(int) - expected[indices])
    assert difference.max() <= 1


def bad_volumes(folder: pathlib.Path) -> dict[str, str]:
    """Volumes that are not read: name -> a part of the reason."""
    values = np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32)
    save(folder / "2d.nii", values[..., 0])
    save(folder / "4d.nii.gz", values.reshape(20, 20, 5, 4))
    save(folder / "constant.nii", np.full((5, 5, 5), 7, np.int16))
    save(folder / "line.nii", values[:1])
    save(folder / "near.nii", 2**30 + np.arange(64, dtype=np.int32).reshape(4, 4, 4))
    save(folder / "huge.nii", values.astype(np.float64) * 1e39)
    steep = save(folder / "steep.nii", np.arange(64, dtype=np.int16).reshape(4, 4, 4))
    content = bytearray(steep.read_bytes())
    content[112:116] = np.array([3e38], "<f4").tobytes()
    steep.write_bytes(content)
    save(folder / "complex.nii", values.astype(np.complex64))
    holed = values.copy()
    holed[3, 3, 3] = np.nan
    save(folder / "nan.nii", holed)
    whole = save(folder / "whole.nii.gz", values).read_bytes()
    (folder / "cut.nii.gz").write_bytes(whole[: len(whole) // 2])
    plain = gzip.decompress(whole)
    (folder / "cut.nii").write_bytes(plain[:5000])
    (folder / "text.nii").write_bytes(b"no volume")
    (folder / "empty.nii.gz").write_bytes(b"")
    header = bytearray(plain[:352])
    within = bytearray(plain)
    within[108:112] = np.array([8], "<f4").tobytes()
    (folder / "within.nii").write_bytes(within)
    header[42:48] = np.array([32000, 32000, 32000], "<i2").tobytes()
    (folder / "bomb.nii.gz").write_bytes(gzip.compress(bytes(header) + bytes(100_000)))
    (folder / "whole.nii.gz").unlink()
    return {
        "2d.nii": "2 dimensions (20 x 20); a volume has 3",
        "4d.nii.gz": "4 dimensions (20 x 20 x 5 x 4): several times or channels",
        "bomb.nii.gz": "more than max_bytes",
        "complex.nii": "a volume of complex64",
        "constant.nii": "all its 5 slices are empty",
        "cut.nii": "Expected 32000 bytes, got",
        "cut.nii.gz": "ended before the end-of-stream marker",
        "empty.nii.gz": "empty: 0 bytes",
        "huge.nii": "more than float32 holds",
        "line.nii": "whose axial slices are lines",
        "near.nii": "float32 does not tell them apart (black is 1073741824.",
        "steep.nii": "values up to 1.89e+40, more than float32 holds",
        "nan.nii": "NaN or infinity among its values",
        "text.nii": "its content is no PNG",
        "within.nii": "its values begin within its header",
    }


def test_what_is_no_volume_has_its_reason(
    tmp_path: pathlib.Path, capfd: pytest.CaptureFixture[str]
) -> None:
    expected = bad_volumes(tmp_path)
    save(tmp_path / "good.nii", np.random.default_rng(0).normal(size=(4, 4, 1)))
    for read in (load_images, stream_images):
        images = read(tmp_path, image_size=8)
        assert images.names == ("good.nii?z=0",)
        reasons = {item.name: item.reason for item in images.skipped}
        assert sorted(reasons) == sorted(expected)
        for name, reason in reasons.items():
            assert expected[name] in reason
    assert capfd.readouterr() == ("", "")


def test_a_description_is_of_the_whole_slice_on_the_volumes_scale(folder: pathlib.Path) -> None:
    def describe(pixels: np.ndarray) -> np.ndarray:
        return np.array([pixels.shape[0], pixels.mean()])

    found = decoder((14, 12), describe=describe).frames(str(folder / "a.nii.gz"))
    for image in found.images:
        assert not isinstance(image, UnreadableImage)
        np.testing.assert_allclose(image.description, [14, image.pixels.mean()])


def test_slices_are_asked_of_volumes_alone(folder: pathlib.Path) -> None:
    np.save(folder / "a.npy", np.zeros((2, 9, 9), np.uint8))
    with pytest.raises(ValueError, match="slice_axis and slice_step are for volumes"):
        load_images(folder / "a.npy", image_size=8, slicing=Slicing(step=2))
    named = stream_images(folder, image_size=8, slicing=Slicing(step=2)).names
    assert named[:2] == ("a.nii.gz?z=2", "a.nii.gz?z=4")


def test_slicing_takes_steps_forward() -> None:
    with pytest.raises(ValueError, match="slice_step=0"):
        Slicing(step=0)
