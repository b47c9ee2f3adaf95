"""What is handed over of a folder: each image's own file, also one that browsers do not show."""

import dataclasses
import json
import pathlib

import numpy as np
from PIL import Image

from examine_jax.images import ImageSet
from examine_jax.images.decoding.header_identity import HeaderIdentity
from examine_jax.images.header_identities import SourceHeaders
from examine_jax.images.stored_images import StoredImages
from examine_jax.jobs.assess.assessment import Assessment
from examine_jax.jobs.assess.to_label import write_chosen
from examine_jax.jobs.headers import JobHeaders, PrivacySettings
from examine_jax.scoring import examine
from examine_jax.selection import Random, Selection

NAMES = ("a.tif", "b.png", "c.tif[0]", "c.tif[1]")


def test_originals_are_kept_whatever_browsers_show(tmp_path: pathlib.Path) -> None:
    images, workdir = tmp_path / "images", tmp_path / "o"
    images.mkdir()
    workdir.mkdir()
    pictures = [Image.fromarray(np.full((6, 5), 40 * i, np.uint8)) for i in range(4)]
    pictures[0].save(images / "a.tif")
    pictures[1].save(images / "b.png")
    pictures[2].save(images / "c.tif", save_all=True, append_images=pictures[3:])
    features = np.eye(4, dtype=np.float32)
    chosen = np.array([2, 0, 3, 1])
    selection = Selection(
        indices=chosen,
        covers=np.ones(4, np.int64),
        nearest_chosen=np.array([-1, 2, 2, 0]),
        nearest_distance=np.array([np.inf, 1, 1, 1]),
        representative=np.arange(4),
        distance=np.zeros(4),
        num_usable=4,
        strategy=Random(),
        facts={},
    )
    assessment = Assessment(
        names=NAMES,
        features=features,
        examination=examine(features),
        rank=np.arange(1, 5),
        preprocessing="none",
        images=ImageSet(NAMES, np.zeros((4, 2, 2, 1), np.uint8)),
        selection=selection,
        asked=True,
    )
    order = {NAMES[index]: f"{place:04}" for place, index in enumerate(chosen, 1)}
    originals = {f"{order['a.tif']}.tif": "a.tif", f"{order['b.png']}.png": "b.png"}
    frames = {f"{order[name]}.png" for name in NAMES[2:]}
    stored = StoredImages.of(images, NAMES)

    write_chosen(workdir, assessment, stored, None, True)
    written = {file.name for file in (workdir / "to_label").iterdir()}
    assert written == {*originals, *frames}
    for copy, name in originals.items():
        assert (workdir / "to_label" / copy).read_bytes() == (images / name).read_bytes()

    write_chosen(workdir, assessment, stored, ["label_studio"], True)
    written = {file.name for file in (workdir / "to_label").iterdir()}
    assert written == {*originals, *frames, f"{order['a.tif']}.png"}
    tasks = json.loads((workdir / "label_studio.json").read_text())
    assert all(task["data"]["image"].endswith(".png") for task in tasks)

    # FiftyOne gets absolute paths: the folder of all images may name a patient.
    named = tmp_path / "AB-47110"
    images.rename(named)
    own = HeaderIdentity(patient="AB-47110", identifiers=("AB-47110",))
    headers = JobHeaders({"s": SourceHeaders({"d.dcm": own})}, PrivacySettings())
    for one, shows in (
        (assessment, True),
        (dataclasses.replace(assessment, headers=headers), False),
    ):
        browsers = dataclasses.replace(one, names=("b.png",) * 4, stored_names=None)
        write_chosen(workdir, browsers, StoredImages.of(named, NAMES), ["fiftyone"], False)
        assert (named.name in (workdir / "fiftyone/data.json").read_text()) == shows
