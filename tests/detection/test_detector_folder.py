"""A detector's folder: written whole, read back equal, refused by name where it is damaged."""

import json

import jax
import numpy as np
import pytest

from examine_jax.detection.detector_folder import load_detector, save_detector
from examine_jax.detection.presets import PRESETS
from examine_jax.detection.training import Detector


def detector(preset="small"):
    method = PRESETS[preset](("a cell", "b/c"))
    shapes = jax.eval_shape(lambda key: method.init(key, {}), jax.random.key(0))
    generator = np.random.default_rng(0)
    params, state = jax.tree.map(
        lambda leaf: generator.standard_normal(leaf.shape).astype(leaf.dtype), shapes
    )
    return Detector(method, params, state, {"images": 3})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "detector"
    made = detector()
    save_detector(folder, made)
    return folder, made


def test_what_is_read_is_what_was_written(saved):
    folder, made = saved
    found = load_detector(folder)
    assert (found.method, found.training) == (made.method, made.training)
    there, here = (
        jax.tree.leaves_with_path((found.params, found.state)),
        jax.tree.leaves_with_path((made.params, made.state)),
    )
    assert [path for path, _ in there] == [path for path, _ in here]
    assert all(np.array_equal(one, other) for (_, one), (_, other) in zip(there, here))


@pytest.mark.parametrize("preset", ["paper", "released_code"])
def test_the_settings_of_every_preset_can_be_read(preset, tmp_path):
    from examine_jax.common.configuration import from_plain, to_plain
    from examine_jax.detection.detector_folder import KNOWN

    method = PRESETS[preset](("a",))
    plain = json.loads(json.dumps(to_plain(method)))
    assert from_plain(plain, KNOWN, "here") == method


def test_the_folder_above_is_refused_with_the_right_one(saved):
    with pytest.raises(ValueError, match=r"did you mean .*detector"):
        load_detector(saved[0].parent)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda plain: plain.pop("detector"), "describes no detector"),
        (lambda plain: plain.update(format_version=99), "format_version is 99"),
        (lambda plain: plain["detector"].update(classes=["a"]), "config.json asks for"),
        (lambda plain: plain["detector"].update(type="Anything"), "none of the known settings"),
    ],
)
def test_a_changed_configuration_is_refused(saved, tmp_path, change, message):
    folder = tmp_path / "detector"
    folder.mkdir()
    (folder / "model.safetensors").symlink_to(saved[0] / "model.safetensors")
    plain = json.loads((saved[0] / "config.json").read_text())
    change(plain)
    (folder / "config.json").write_text(json.dumps(plain))
    with pytest.raises(ValueError, match=message):
        load_detector(folder)


def test_another_folder_is_not_replaced(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="not a detector's folder"):
        save_detector(tmp_path, detector())
    assert (tmp_path / "notes.txt").read_text() == "mine"
