"""Images that are read while training, against the same images on the device."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.models import DecoderConfig, ViTConfig
from examine_jax.pretraining import MAE, Phase, PretrainSettings, WarmupCosine, pretrain
from examine_jax.training import feeding
from examine_jax.training.devices import data_mesh, local_rows, place_batch

METHOD = MAE(
    ViTConfig(image_size=8, patch_size=4, channels=1, width=8, depth=1, heads=2, mlp_width=16),
    DecoderConfig(width=8, depth=1, heads=2, mlp_width=16),
)
SETTINGS = PretrainSettings((Phase(steps=12),), batch_size=4, schedule=WarmupCosine(0.1))


class OnDisk:
    """Images that are read when they are asked for."""

    def __init__(self, images, folder):
        self.shape = images.shape
        self.file = folder / "images.npy"
        np.save(self.file, images)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, indices):
        return np.load(self.file, mmap_mode="r")[np.asarray(indices)]


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (18, 8, 8, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def resident(images, tmp_path_factory):
    return pretrain(METHOD, images, SETTINGS, tmp_path_factory.mktemp("resident"), progress=False)


@pytest.fixture(scope="module")
def streamed_workdir(tmp_path_factory):
    return tmp_path_factory.mktemp("streamed")


@pytest.fixture(scope="module")
def streamed(images, streamed_workdir):
    return pretrain(
        METHOD, OnDisk(images, streamed_workdir), SETTINGS, streamed_workdir / "run", progress=False
    )


def close(run, other):
    losses = [np.array([record["loss"] for record in each.history]) for each in (run, other)]
    np.testing.assert_allclose(*losses, rtol=1e-5)
    for found, expected in zip(
        jax.tree.leaves(run.params), jax.tree.leaves(other.params), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_streamed_images_train_as_resident_ones(streamed, resident):
    close(streamed, resident)


def test_an_array_beyond_its_share_of_memory_is_streamed(images, resident, tmp_path, monkeypatch):
    monkeypatch.setattr(feeding, "_RESIDENT_SHARE", 0.0)
    assert not feeding.fits({"image": images}, data_mesh(4))
    close(pretrain(METHOD, images, SETTINGS, tmp_path, progress=False), resident)


def test_a_streamed_run_resumes_to_the_same_parameters(images, streamed, tmp_path, monkeypatch):
    from examine_jax.training import loop

    pixels = OnDisk(images, tmp_path)
    whole = streamed
    records = loop._records

    def fail_late(columns, done, *others):
        if done >= 5:
            raise KeyboardInterrupt
        return records(columns, done, *others)

    monkeypatch.setattr(loop, "_records", fail_late)
    with pytest.raises(KeyboardInterrupt):
        pretrain(METHOD, pixels, SETTINGS, tmp_path / "cut", checkpoint_seconds=0.0, progress=False)
    monkeypatch.undo()
    cut = pretrain(METHOD, pixels, SETTINGS, tmp_path / "cut", progress=False)
    assert len(cut.history) == 12
    for found, expected in zip(
        jax.tree.leaves(cut.params), jax.tree.leaves(whole.params), strict=True
    ):
        assert np.array_equal(found, expected)


def test_other_images_behind_the_same_name_are_refused(
    images, streamed, streamed_workdir, tmp_path
):
    other = OnDisk(images[::-1], tmp_path)
    with pytest.raises(ValueError, match=r"images\[0\]\.sha256_of_some"):
        pretrain(METHOD, other, SETTINGS, streamed_workdir / "run", progress=False)


def test_an_image_that_cannot_be_read_stops_the_run_with_its_reason(images, tmp_path):
    class Broken(OnDisk):
        def __getitem__(self, indices):
            if 8 in indices:  # not among those by which a set is told from another
                raise OSError("slide 8.dcm: truncated")
            return super().__getitem__(indices)

    with pytest.raises(OSError, match=r"slide 8\.dcm: truncated"):
        pretrain(METHOD, Broken(images, tmp_path), SETTINGS, tmp_path / "run", progress=False)


def test_batches_are_placed_ahead():
    """The next batch is asked for before the one before it is handed out."""
    asked = []

    def batches():
        for number in range(4):
            asked.append(number)
            yield {"index": number}

    ahead = feeding._ahead(batches())
    assert next(ahead) == {"index": 0}
    assert asked == [0, 1]
    assert [batch["index"] for batch in ahead] == [1, 2, 3]


def test_one_process_feeds_all_rows():
    mesh = data_mesh(6)
    assert local_rows(mesh, 6).tolist() == list(range(6))
    assert place_batch(mesh, np.arange(6), 6).tolist() == list(range(6))
    assert jnp.asarray(place_batch(mesh, np.zeros((6, 2), np.uint8), 6)).dtype == np.uint8
