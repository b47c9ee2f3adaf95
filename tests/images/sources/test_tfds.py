"""TFDS data sets: the official ones with TFDS's mocked data, and a small one prepared here."""

import io
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow_datasets", reason="TFDS sources need examine-jax[tfds]")
pytest.importorskip(
    "array_record", reason="TFDS sources need array-record, which is built for Linux alone"
)

import tensorflow_datasets as tfds

from examine_jax.images import load_images, prefetch, stream_images
from examine_jax.images.sources import tfds as tfds_source
from examine_jax.images.sources.tfds import load_tfds, stream_tfds
from examine_jax.images.sources.tfds_trust import check_encoded

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 20, 24, 3), dtype=np.uint8)


class MiniatureTissue(tfds.core.GeneratorBasedBuilder):
    """Nine images with labels."""

    VERSION = tfds.core.Version("1.2.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["healthy", "tumour"]),
            "position": tfds.features.Tensor(shape=(2,), dtype=np.float32),
        }
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: object) -> dict:
        return {
            "train": self._generate_examples(range(6)),
            "test": self._generate_examples(range(6, 9)),
        }

    def _generate_examples(self, indices: range):
        for index in indices:
            stream = io.BytesIO()
            Image.fromarray(PIXELS[index]).save(stream, "PNG")
            yield (
                f"{index}",
                {
                    "image": stream.getvalue(),
                    "label": index % 2,
                    "position": np.zeros(2, np.float32),
                },
            )


class UnreachableTissue(MiniatureTissue):
    """A data set that cannot be downloaded."""

    def _split_generators(self, dl_manager: object) -> dict:
        raise ConnectionError("no route to host")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("tfds")
    MiniatureTissue(data_dir=folder, file_format="array_record").download_and_prepare()
    return folder / "miniature_tissue" / "1.2.0"


def order(images) -> list[int]:
    """The index in PIXELS of each image: TFDS shuffles what it writes."""
    return [int(np.flatnonzero((image == PIXELS).all(axis=(1, 2, 3)))[0]) for image in images]


def by_pillow(row: int, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(PIXELS[row]).resize((size, size), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("parent", [0, 1])
def test_a_prepared_folder_or_its_parent_is_read(prepared: pathlib.Path, parent: int) -> None:
    folder = (prepared, prepared.parent)[parent]
    images = load_tfds(folder, "train", image_size=16)
    assert images.names == tuple(f"train[{row}]" for row in range(6))
    assert images.pixels.shape == (6, 16, 16, 3)
    assert images.resized_up == 0
    expected = {by_pillow(row, 16).tobytes(): row % 2 for row in range(6)}
    assert [expected[image.tobytes()] for image in images.pixels] == images.labels.tolist()
    wide = load_tfds(folder, "train", image_size=(10, 22))
    assert (wide.pixels.shape, wide.resized_up) == ((6, 10, 22, 3), 0)
    first = next(
        row for row in range(9) if by_pillow(row, 16).tobytes() == images.pixels[0].tobytes()
    )
    shown = Image.fromarray(PIXELS[first]).resize((22, 10), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(wide.pixels[0], np.asarray(shown))
    stream = stream_tfds(folder, "train", image_size=(10, 22))
    np.testing.assert_array_equal(stream[np.arange(6)], wide.pixels)


def test_by_name_from_the_folder_of_prepared_data_sets(prepared: pathlib.Path) -> None:
    images = load_tfds(
        "miniature_tissue", "test", image_size=32, channels=1, data_dir=prepared.parents[1]
    )
    assert images.pixels.shape == (3, 32, 32, 1)
    assert images.resized_up == 3
    assert images.stored_sizes is not None
    assert images.stored_sizes.tolist() == [[20, 24]] * 3


def test_parts_of_splits(prepared: pathlib.Path) -> None:
    whole = load_tfds(prepared, "train+test", image_size=16)
    part = load_tfds(prepared, "train[50%:]", image_size=16, label_feature=None)
    assert len(whole) == 9
    assert np.array_equal(part.pixels, whole.pixels[3:6])
    assert part.names[0] == "train[50%:][0]"
    assert part.labels is None


def test_streamed_records_are_the_loaded_ones_also_read_ahead_by_threads(
    prepared: pathlib.Path,
) -> None:
    loaded = load_tfds(prepared, "train+test", image_size=16, channels=1)
    streamed = stream_tfds(prepared, "train+test", image_size=16, channels=1)
    assert streamed.shape == (9, 16, 16, 1)
    assert streamed.names == loaded.names
    batches = [np.array([8, 0, 3], np.int32), np.array([5, 5, 1], np.int32)] * 10
    for indices, pixels in prefetch(streamed, iter(batches), 3, 4):
        assert np.array_equal(pixels, loaded.pixels[indices])


@pytest.mark.parametrize(
    ("name", "split", "size"),
    [("patch_camelyon", "validation", 96), ("colorectal_histology", "train", 150)],
)
def test_the_official_data_sets_in_their_official_shape(name: str, split: str, size: int) -> None:
    with tfds.testing.mock_data(num_examples=4):
        images = load_tfds(name, split, image_size=size)
        small = load_tfds(name, split, image_size=24, channels=1)
        streamed = stream_tfds(name, split, image_size=24)
        assert streamed[np.array([1, 3])].shape == (2, 24, 24, 3)
    assert images.pixels.shape == (4, size, size, 3)
    assert images.labels.shape == (4,)
    assert small.pixels.shape == (4, 24, 24, 1)
    assert np.ptp(images.pixels) > 0


def test_what_is_not_prepared_says_where_to_put_it_and_downloads_nothing(
    tmp_path: pathlib.Path,
) -> None:
    with pytest.raises(
        FileNotFoundError, match="nothing is downloaded unasked; put its prepared"
    ) as failure:
        load_tfds("patch_camelyon", image_size=16, data_dir=tmp_path)
    assert str(tmp_path / "patch_camelyon" / "2.0.0") in str(failure.value)
    assert "(--images=FOLDER)" in str(failure.value)
    assert not list(tmp_path.iterdir())


def test_on_request_a_named_data_set_is_prepared(tmp_path: pathlib.Path) -> None:
    images = load_tfds("miniature_tissue", image_size=16, data_dir=tmp_path, download=True)
    assert len(images) == 6
    assert (tmp_path / "miniature_tissue" / "1.2.0" / "dataset_info.json").is_file()


def test_a_failed_download_says_where_to_put_the_prepared_folder(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no route to host.*put the folder at") as failure:
        load_tfds("unreachable_tissue", image_size=16, data_dir=tmp_path, download=True)
    assert str(tmp_path) in str(failure.value)
    assert "\n" not in str(failure.value)


def test_tfrecord_is_refused_with_the_remedy(
    prepared: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    folder = tmp_path / "miniature_tissue" / "1.2.0"
    shutil.copytree(prepared, folder)
    information = json.loads((folder / "dataset_info.json").read_text())
    information["fileFormat"] = "tfrecord"
    (folder / "dataset_info.json").write_text(json.dumps(information))
    with pytest.raises(ValueError, match="prepare it anew with file_format='array_record'"):
        load_tfds(folder, image_size=16)


@pytest.mark.parametrize(
    ("dataset", "arguments", "message"),
    [
        ("prepared", {"split": "nothing"}, r"split 'nothing': Unknown split.*'train'"),
        ("prepared", {"split": "train[:0]"}, "0 length"),
        ("prepared", {"image_feature": "picture"}, "no feature 'picture'; it has 'image'"),
        ("prepared", {"image_feature": "position"}, "float32"),
        ("prepared", {"label_feature": "position"}, "no whole number"),
        ("prepared", {"max_bytes": 1000}, "more than max_bytes=1000"),
        ("prepared", {"channels": 2}, "channels=2"),
        ("empty", {}, "here is none"),
        ("no_such_data_set", {}, "TFDS knows no data set"),
        ("no/such/folder", {}, "no TFDS folder at"),
    ],
)
def test_what_does_not_fit_is_named(
    prepared: pathlib.Path, tmp_path: pathlib.Path, dataset: str, arguments: dict, message: str
) -> None:
    named = {"prepared": prepared, "empty": tmp_path}.get(dataset, dataset)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as failure:
        load_tfds(named, **{"image_size": 16, **arguments})
    assert "\n" not in str(failure.value)


def test_a_damaged_record_is_named(prepared: pathlib.Path, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "miniature_tissue" / "1.2.0"
    shutil.copytree(prepared, folder)
    shard = next(folder.glob("*train.array_record*"))
    content = bytearray(shard.read_bytes())
    written = np.flatnonzero(
        np.frombuffer(bytes(content), np.uint8)
    )  # Shards are padded with zeros.
    for place in written[len(written) // 4 : len(written) // 2]:
        content[place] ^= 255
    shard.write_bytes(content)
    with pytest.raises(ValueError, match=r"train\[\d\]: cannot be read.*prepare the data set anew"):
        load_tfds(folder, image_size=16)


def test_no_tensorflow_is_brought_in() -> None:
    code = "import sys, examine_jax.images.sources.tfds; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "False", done.stderr


def test_images_of_any_source_may_be_a_prepared_folder_or_a_name(prepared: pathlib.Path) -> None:
    loaded = load_images(prepared, image_size=16)
    assert np.array_equal(loaded.pixels, load_tfds(prepared, "train", image_size=16).pixels)
    streamed = stream_images(prepared, image_size=16, split="test")
    assert streamed.names == ("test[0]", "test[1]", "test[2]")
    with tfds.testing.mock_data(num_examples=3):
        assert load_images("tfds:patch_camelyon", image_size=16, split="test").pixels.shape == (
            3,
            16,
            16,
            3,
        )
        assert stream_images("tfds:patch_camelyon", image_size=16).shape == (3, 16, 16, 3)


@pytest.fixture
def copied(prepared: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    folder = tmp_path / "miniature_tissue" / "1.2.0"
    shutil.copytree(prepared, folder)
    return folder


@pytest.mark.parametrize("key", ["pythonClassName", "type"])
@pytest.mark.parametrize("by_name", [False, True])
def test_no_code_that_a_folder_names_is_run(
    copied: pathlib.Path, monkeypatch: pytest.MonkeyPatch, key: str, by_name: bool
) -> None:
    (copied.parents[1] / "hostile_features.py").write_text("raise SystemExit('it was run')")
    monkeypatch.syspath_prepend(str(copied.parents[1]))
    features = {key: "hostile_features.Image", "content": {}}
    (copied / "features.json").write_text(json.dumps({"a": [features]}))
    where: dict = {"data_dir": copied.parents[1]} if by_name else {}
    with pytest.raises(
        ValueError, match=r"names a feature of other code, 'hostile_features\.Image'"
    ):
        load_tfds("miniature_tissue" if by_name else copied, image_size=8, **where)


@pytest.mark.parametrize("content", ["", "[" * 10**5, '{"a": ', "{}"])
@pytest.mark.parametrize("name", ["features.json", "dataset_info.json"])
def test_damaged_descriptions_are_value_errors(
    copied: pathlib.Path, name: str, content: str
) -> None:
    (copied / name).write_text(content)
    with pytest.raises(ValueError, match=r"1\.2\.0"):
        load_tfds(copied, image_size=8)


def test_more_records_than_there_are(copied: pathlib.Path) -> None:
    description = json.loads((copied / "dataset_info.json").read_text())
    for split in description["splits"]:
        split["shardLengths"] = [str(10**9)]
    (copied / "dataset_info.json").write_text(json.dumps(description))
    for read in (load_tfds, stream_tfds):
        with pytest.raises(ValueError, match=r"train\[999999999\]: cannot be read"):
            read(copied, image_size=8)


def test_large_images_are_refused_by_their_header(
    prepared: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfds_source, "MAX_PIXELS", 20 * 24)
    assert len(load_tfds(prepared, image_size=8)) == 6
    monkeypatch.setattr(tfds_source, "MAX_PIXELS", 20 * 24 - 1)
    with pytest.raises(ValueError, match="24 x 20 pixels, more than 479"):
        load_tfds(prepared, image_size=8)


def test_headers_of_encoded_images() -> None:
    stream = io.BytesIO()
    Image.fromarray(PIXELS[0]).save(stream, "JPEG")
    check_encoded(stream.getvalue(), 480)
    with pytest.raises(ValueError, match="24 x 20 pixels, more than 479"):
        check_encoded(stream.getvalue(), 479)
    with pytest.raises(ValueError, match="no image that is read"):
        check_encoded(b"text", 10)
