"""Training sets of named columns: what a batch holds, what is refused, what a run is known by."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from examine_jax.training import feeding
from examine_jax.training.loop import train
from examine_jax.training.observer import Observer
from examine_jax.training.optimiser import SGD, Constant
from examine_jax.training.settings import Phase, PretrainSettings


@dataclasses.dataclass(frozen=True)
class Regression:
    """Linear regression of "target" on "features", without image and encoder.

    Its metrics sum each batch.
    """

    columns: tuple[str, ...] = ("features", "target")

    def init(self, key, batch):
        return {"weight": jnp.zeros(batch["features"].shape[1])}, {}

    def loss(self, params, state, batch, key):
        error = batch["features"] @ params["weight"] - batch["target"]
        sums = {name: values.sum(dtype=jnp.float32) for name, values in batch.items()}
        return jnp.square(error).mean(), (
            state,
            {f"sum_{name}": value for name, value in sums.items()},
        )

    def after_update(self, params, state, step):
        return state


STEPS, BATCH = 9, 4
SETTINGS = PretrainSettings(
    (Phase(steps=STEPS),), BATCH, SGD(momentum=0.0, weight_decay=0.0), Constant(0.05)
)


@pytest.fixture(scope="module")
def columns():
    generator = np.random.default_rng(0)
    features = generator.standard_normal((10, 3)).astype(np.float32)
    return {
        "features": features,
        "target": features.sum(axis=1),
        "boxes": np.arange(40).reshape(10, 2, 2),
    }


@pytest.fixture(scope="module")
def trained(columns, tmp_path_factory):
    return train(
        Regression(), columns, SETTINGS, tmp_path_factory.mktemp("resident"), progress=False
    )


def test_a_batch_has_the_rows_of_every_column(columns, trained):
    from examine_jax.training.batches import BatchOrder

    indices = BatchOrder(10, BATCH, seed=0).indices(0, STEPS)
    for record, rows in zip(trained.history, indices, strict=True):
        assert record["sum_index"] == rows.sum()
        assert record["sum_boxes"] == columns["boxes"][rows].sum()
        assert record["sum_features"] == pytest.approx(
            columns["features"][rows].sum(), rel=1e-4, abs=1e-4
        )
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]


def test_streamed_columns_train_as_resident_ones(columns, trained, tmp_path, monkeypatch):
    monkeypatch.setattr(feeding, "_RESIDENT_SHARE", 0.0)
    streamed = train(Regression(), columns, SETTINGS, tmp_path, progress=False)
    np.testing.assert_allclose(streamed.params["weight"], trained.params["weight"], rtol=1e-5)
    assert [r["sum_boxes"] for r in streamed.history] == [r["sum_boxes"] for r in trained.history]


def test_images_on_demand_come_with_their_other_columns(tmp_path):
    class OnDemand:
        shape = (10, 2, 2, 1)

        def __len__(self):
            return 10

        def __getitem__(self, indices):
            return np.broadcast_to(
                np.asarray(indices, np.uint8)[:, None, None, None], (len(indices), 2, 2, 1)
            )

    @dataclasses.dataclass(frozen=True)
    class Mean(Regression):
        columns: tuple[str, ...] = ("image",)

        def init(self, key, batch):
            return {"weight": jnp.zeros(())}, {}

        def loss(self, params, state, batch, key):
            wrong = (batch["image"][:, 0, 0, 0] != batch["label"]) | (
                batch["label"] != batch["index"]
            )
            return jnp.square(params["weight"] - 1), (
                state,
                {"wrong": wrong.sum(dtype=jnp.float32)},
            )

    run = train(
        Mean(), {"image": OnDemand(), "label": np.arange(10)}, SETTINGS, tmp_path, progress=False
    )
    assert [record["wrong"] for record in run.history] == [0] * STEPS


def test_a_run_is_known_by_the_columns_that_its_loss_needs(columns, tmp_path):
    train(Regression(), columns, SETTINGS, tmp_path, progress=False)
    assert json.loads((tmp_path / "pretraining.json").read_text())["columns"].keys() == {
        "features",
        "target",
    }
    train(
        Regression(), columns | {"boxes": columns["boxes"] + 1}, SETTINGS, tmp_path, progress=False
    )
    with pytest.raises(ValueError, match=r"holds another run \(columns\.target\[0\]\.sha256"):
        train(
            Regression(),
            columns | {"target": columns["target"] + 1},
            SETTINGS,
            tmp_path,
            progress=False,
        )


def test_an_observer_is_called_when_due_and_after_the_last_step(columns, tmp_path):
    observer = Observer(4, lambda done, params, state: {"weight": float(jnp.sum(params["weight"]))})
    run = train(Regression(), columns, SETTINGS, tmp_path, observer=observer, progress=False)
    assert [record["step"] for record in run.history if "weight" in record] == [4, 8, 9]
    assert run.history[-1]["weight"] == pytest.approx(
        float(sum(jax.tree.leaves(run.params)[0])), rel=1e-6
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"target": None},
            "Regression needs a column 'target' for its training set, which has: features, boxes",
        ),
        ({"target": np.zeros(9, np.float32)}, "differ in length"),
        ({"index": np.arange(10)}, "'index' is added by the loop"),
        ({"image": np.zeros((10, 2, 2, 1), np.float32)}, "images must be uint8"),
    ],
)
def test_unusable_columns_are_refused_before_anything_is_written(
    columns, tmp_path, change, message
):
    data = {name: column for name, column in (columns | change).items() if column is not None}
    with pytest.raises(ValueError, match=message):
        train(Regression(), data, SETTINGS, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_phases_with_other_columns_are_refused(columns, tmp_path):
    settings = dataclasses.replace(SETTINGS, phases=(Phase(steps=1), Phase(steps=1)))
    fewer = {name: column for name, column in columns.items() if name != "boxes"}
    with pytest.raises(ValueError, match="differ in shape or columns"):
        train(Regression(), [columns, fewer], settings, tmp_path, progress=False)
