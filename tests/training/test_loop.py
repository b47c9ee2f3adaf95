"""Runs: repeated, resumed, refused."""

import dataclasses
import json
import os
import signal
import threading

import jax
import numpy as np
import pytest
from PIL import Image

from examine_jax.common.configuration import differences
from examine_jax.images import stream_folder
from examine_jax.pretraining import (
    MAE,
    AdamW,
    NonFiniteLossError,
    Phase,
    PretrainSettings,
    WarmupCosine,
    pretrain,
)
from examine_jax.training.batches import BatchOrder
from examine_jax.training.checkpoints import Checkpoints
from examine_jax.training.step import initial_state
from tests.support.small_mae import METHOD, STEPS, programs_kept_in, same, settings, smooth_blobs
from tests.training.interrupted_process import start_child

CLOCK = ("seconds", "images_per_second")


@pytest.fixture(scope="module")
def images():
    return smooth_blobs()


@pytest.fixture(scope="module", autouse=True)
def compilation_cache(tmp_path_factory):
    with programs_kept_in(tmp_path_factory.mktemp("programs")) as environment:
        yield environment


@pytest.fixture(scope="module")
def trained(images, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("trained")
    return pretrain(METHOD, images, settings(), workdir, progress=False), workdir


def test_the_loss_falls_and_every_step_is_recorded_once(trained):
    run, workdir = trained
    losses = [record["loss"] for record in run.history]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:10])
    assert [record["step"] for record in run.history] == list(range(1, STEPS + 1))
    assert [
        json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()
    ] == run.history


def test_features_do_not_collapse(images, trained):
    run, _ = trained
    features = np.asarray(METHOD.embed(run.params, run.state, jax.numpy.asarray(images)))
    assert features.std(axis=0).mean() > 0.05


def test_the_same_run_twice_is_the_same_and_another_seed_is_not(images, trained, tmp_path):
    again, other = (
        pretrain(METHOD, images, settings(seed=seed), tmp_path / str(seed), progress=False)
        for seed in (0, 1)
    )
    assert same(trained[0].params, again.params)
    assert not same(again.params, other.params)


def test_a_finished_run_comes_back_without_training(images, trained):
    run, workdir = trained
    again = pretrain(METHOD, images, settings(), workdir, progress=False)
    assert same((run.params, run.history), (again.params, again.history))


def test_a_run_killed_and_started_again_ends_with_the_same_parameters(
    images, trained, tmp_path, compilation_cache
):
    child = start_child(tmp_path, images, STEPS, compilation_cache, held=True)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    metrics = tmp_path / "run" / "metrics.jsonl"
    assert metrics.read_bytes().count(b"\n") < STEPS
    with metrics.open("a") as stream:
        stream.write('{"step": 99')  # a line that the kill cut short
    resumed = pretrain(METHOD, images, settings(), tmp_path / "run", progress=False)
    whole, _ = trained
    assert same(resumed.params, whole.params)
    without_clock = [
        [{k: v for k, v in record.items() if k not in CLOCK} for record in run.history]
        for run in (resumed, whole)
    ]
    assert without_clock[0] == without_clock[1]


def test_ctrl_c_is_the_callers_own_where_he_handles_it(images, tmp_path):
    taken = []
    before = signal.signal(signal.SIGINT, lambda number, frame: taken.append(number))

    class Interrupting:
        shape, dtype = images.shape, images.dtype

        def __len__(self):
            return len(images)

        def __getitem__(self, rows):
            os.kill(os.getpid(), signal.SIGINT)
            return images[rows]

    try:
        run = pretrain(METHOD, Interrupting(), settings(2), tmp_path / "run", progress=False)
    finally:
        signal.signal(signal.SIGINT, before)
    assert taken
    assert len(run.history) == 2


def test_a_run_on_demand_ends_where_a_file_has_changed(images, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for row in range(40):
        Image.fromarray(images[row, ..., 0]).save(folder / f"{row:02d}.png")

    def run():
        streamed = stream_folder(folder, image_size=16, channels=1)
        return pretrain(METHOD, streamed, settings(2), tmp_path / "run", progress=False)

    first = run()
    assert same(run().params, first.params)
    configuration = tmp_path / "run" / "pretraining.json"
    written = configuration.read_text()
    # Row 1 is not among those whose pixels are compared.
    Image.fromarray(255 - images[1, ..., 0]).save(folder / "01.png")
    with pytest.raises(ValueError, match=r"holds another run .*names_sizes_and_times"):
        run()
    # Version 0.1 wrote no such entry, and its runs go on.
    plain = json.loads(written)
    del plain["images"][0]["names_sizes_and_times"]
    configuration.write_text(json.dumps(plain))
    assert same(run().params, first.params)


@pytest.mark.parametrize("on_demand", [False, True])
def test_parameters_do_not_depend_on_64_bit_types(images, tmp_path, on_demand):
    class OnDemand:
        shape, dtype = images.shape, images.dtype

        def __len__(self):
            return len(images)

        def __getitem__(self, rows):
            return images[rows]

    def run(folder, steps=6):
        data = OnDemand() if on_demand else images
        return pretrain(METHOD, data, settings(steps), folder, progress=False)

    plain = run(tmp_path / "plain")
    jax.config.update("jax_enable_x64", True)
    try:
        wide = run(tmp_path / "wide")
    finally:
        jax.config.update("jax_enable_x64", False)
    assert same(plain.params, wide.params)
    assert [record["loss"] for record in plain.history] == [
        record["loss"] for record in wide.history
    ]
    assert same(run(tmp_path / "wide").params, plain.params)  # and a run goes on under the other


def test_phases_train_on_their_own_images_and_resume(images, tmp_path, monkeypatch):
    other = 255 - images[:20]
    two = PretrainSettings(
        phases=(Phase(steps=6), Phase(epochs=3)),
        batch_size=8,
        schedule=WarmupCosine(0.1, warmup=0.4),
        phase_schedule="restarted",
    )
    whole = pretrain(METHOD, [images, other], two, tmp_path / "whole", progress=False)
    assert len(whole.history) == 6 + 3 * (20 // 8)
    rates = np.array([record["learning_rate"] for record in whole.history])
    assert rates[0] == rates[6] == 0

    from examine_jax.training import loop

    def fail_late(columns, done, *others):
        if done >= 8:
            raise KeyboardInterrupt
        return records(columns, done, *others)

    records = loop._records
    monkeypatch.setattr(loop, "_records", fail_late)
    with pytest.raises(KeyboardInterrupt):
        pretrain(
            METHOD, [images, other], two, tmp_path / "cut", checkpoint_seconds=0.0, progress=False
        )
    monkeypatch.undo()
    cut = pretrain(METHOD, [images, other], two, tmp_path / "cut", progress=False)
    assert same(whole.params, cut.params)


@pytest.mark.parametrize(
    ("method", "run_settings", "fields"),
    [
        (METHOD, settings(31), [f"settings.phases[0].steps: {STEPS} there, 31 here"]),
        (METHOD, settings(seed=1), ["settings.seed: 0 there, 1 here"]),
        (METHOD, settings(optimiser=AdamW(clip_norm=1.0)), ["settings.optimiser.clip_norm"]),
        (
            MAE(METHOD.encoder, METHOD.decoder, mask_ratio=0.5, norm_pix=True),
            settings(),
            ["method.mask_ratio", "method.norm_pix"],
        ),
    ],
)
def test_a_workdir_of_another_run_is_refused_with_what_differs(
    images, trained, method, run_settings, fields
):
    with pytest.raises(ValueError, match="holds another run") as error:
        pretrain(method, images, run_settings, trained[1], progress=False)
    assert all(field in str(error.value) for field in fields)


def test_a_refusal_shows_no_list_of_thousands():
    found = differences({"labels": [1] * 10_000}, {"labels": [2] * 9_999})
    assert len(found) == 1
    assert len(found[0]) < 500


def test_a_workdir_of_other_images_is_refused(images, trained):
    with pytest.raises(ValueError, match=r"images\[0\]\.sha256"):
        pretrain(METHOD, images[::-1], settings(), trained[1], progress=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"mlp_width": 24},
            r"params\.encoder\.block_0\.contract\.kernel is float32\[32, 16\] there, "
            r"float32\[24, 16\] here",
        ),
        ({"depth": 2}, r"no parameter params\.encoder\.block_1"),
        ({"class_token": True}, r"no parameter params\.encoder\.class_token"),
    ],
)
def test_a_checkpoint_of_another_architecture_names_the_parameter(trained, changes, message):
    method = dataclasses.replace(METHOD, encoder=dataclasses.replace(METHOD.encoder, **changes))
    optimiser = settings().optimiser.build(settings().learning_rate((STEPS,)))
    batch = {"image": np.zeros((8, 16, 16, 1), np.uint8)}
    template = jax.eval_shape(lambda: initial_state(method, optimiser, jax.random.key(0), batch))
    with (
        Checkpoints(trained[1] / "checkpoints") as checkpoints,
        pytest.raises(ValueError, match=message),
    ):
        checkpoints.restore(template)


def test_a_loss_that_is_not_finite_stops_with_the_step_and_its_images(images, tmp_path):
    wild = PretrainSettings(
        phases=(Phase(steps=50),), batch_size=8, schedule=WarmupCosine(1e30, warmup=0.0)
    )
    names = [f"slide {i}.png" for i in range(len(images))]
    with pytest.raises(
        NonFiniteLossError, match=r"at step \d+: try a lower learning rate"
    ) as error:
        pretrain(
            METHOD, images, wild, tmp_path, names=names, checkpoint_seconds=3600.0, progress=False
        )
    assert error.value.step > 1
    expected = BatchOrder(len(images), 8, seed=0).indices(error.value.step - 1, 1)[0]
    assert error.value.indices.tolist() == expected.tolist()
    assert error.value.names == tuple(names[i] for i in expected)
    assert f"'slide {expected[4]}.png' and 3 more" in str(error.value)
    assert not any(name.name.isdigit() for name in (tmp_path / "checkpoints").iterdir())
    recorded = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [record["step"] for record in recorded] == list(range(1, error.value.step))


def test_names_are_as_many_as_images(images, tmp_path):
    with pytest.raises(ValueError, match=r"\[3\] names for \[44\] images"):
        pretrain(METHOD, images, settings(), tmp_path, names=["a", "b", "c"], progress=False)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda images: images.astype(np.float32), "uint8"),
        (lambda images: images[..., 0], "uint8"),
        (lambda images: images[:7], "batch of 8 out of 7 images"),
        (lambda images: images[:, :12], "12(, | x )16"),
        (lambda images: [images, images], "1 phases"),
    ],
)
def test_unusable_images_are_refused(images, tmp_path, make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        pretrain(METHOD, make(images), settings(), tmp_path, progress=False)


def test_it_runs_outside_the_main_thread(images, tmp_path):
    done = []
    thread = threading.Thread(
        target=lambda: done.append(pretrain(METHOD, images, settings(3), tmp_path, progress=False))
    )
    thread.start()
    thread.join()
    assert len(done) == 1


def test_the_bar_shows_rate_and_loss(images, tmp_path, capsys):
    pretrain(METHOD, images, settings(), tmp_path)
    shown = capsys.readouterr().err
    assert "images/s" in shown
    assert "loss" in shown
