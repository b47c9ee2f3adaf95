"""Training that goes on from an encoder, with and without a low-rank adapter."""

import dataclasses
import json
import pathlib
import shutil
from typing import Any

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from examine_jax.encoders import Encoder, load_encoder, save_encoder
from examine_jax.encoders.base import Base, load_base, merge_adapter, method_from
from examine_jax.encoders.imported import ImportedEncoder
from examine_jax.encoders.save import shapes_of
from examine_jax.encoders.train import train_and_save
from examine_jax.jobs.pretrain.pretrain import train_encoder
from examine_jax.jobs.pretrain.settings import TrainingSettings
from examine_jax.models import ConvNeXtConfig, DecoderConfig, ResNetConfig, ViTConfig
from examine_jax.models.low_rank import LowRank
from examine_jax.models.vit_extras import ViTExtras
from examine_jax.pretraining import MAE, PixelScale, PretrainSettings
from examine_jax.pretraining.from_encoder import FromEncoder
from examine_jax.pretraining.low_rank import LowRankMethod
from examine_jax.training.checkpoints import Checkpoints
from examine_jax.training.loop import train
from examine_jax.training.observer import Observer

VIT = ViTConfig(image_size=8, patch_size=4, channels=1, width=8, depth=1, heads=2, mlp_width=16)
PIXELS = PixelScale((0.4,), (0.3,))
IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 1), dtype=np.uint8)
PAIRS = LowRank(rank=2, scale=6.0, layers=("qkv", "mlp"))
NOTHING = {"image": IMAGES[:1], "index": np.zeros(1, np.int32)}


def write(folder: pathlib.Path, config: Any) -> pathlib.Path:
    """An encoder with random weights that nobody trained."""
    method = ImportedEncoder(config, PIXELS)
    params, state = jax.jit(method.init)(jax.random.key(3), NOTHING)
    save_encoder(folder, method, params, state, {"steps": 1})
    return folder


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return load_base(write(tmp_path_factory.mktemp("base") / "vit", VIT))


@pytest.fixture(scope="module")
def method(base: Base) -> tuple[MAE, PretrainSettings]:
    found, settings = method_from(base, "mae", steps=3)
    assert isinstance(found, MAE)
    decoder = DecoderConfig(width=8, depth=1, heads=2, mlp_width=16)
    settings = dataclasses.replace(settings, batch_size=4, layer_decay=0.5)
    return dataclasses.replace(found, decoder=decoder), settings


def run(base: Base, method: Any, folder: pathlib.Path, pairs: LowRank | None) -> Encoder:
    encoder, _ = train_and_save(
        *(method[0], [IMAGES], method[1], folder),
        architecture=base.name,
        base=base,
        low_rank=pairs,
        progress=False,
    )
    return encoder


@pytest.fixture(scope="module")
def adapted(base: Base, method: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("adapted")
    return folder, run(base, method, folder, PAIRS)


def same(first: Any, second: Any) -> bool:
    return all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    )


def test_a_method_takes_over_the_network_and_its_pixels(base: Base, method: Any) -> None:
    assert method[0].encoder == VIT
    assert method[0].pixels == PIXELS
    held: Any = method_from(base, "byol_tracin", preset="small", steps=2)[0]
    assert held.encoder == VIT
    assert held.byol.pixels == PIXELS


def test_heads_are_fresh_and_the_average_starts_from_the_encoder(base: Base) -> None:
    method = method_from(base, "byol", steps=2)[0]
    params, state = jax.eval_shape(method.init, jax.random.key(0), NOTHING)
    begun, its_state = base.start(method)(params, state)
    assert same(begun["encoder"], base.params)
    assert same(its_state["target"]["params"]["encoder"], base.params)
    assert begun["projector"] is params["projector"]


def test_all_weights_are_trained_and_the_folder_stands_alone(
    base: Base, method: Any, tmp_path: pathlib.Path
) -> None:
    trained = run(base, method, tmp_path, None)
    encoder = load_encoder(tmp_path / "encoder")
    assert same(encoder.params, trained.params)
    assert not same(encoder.params["encoder"], base.params)
    assert encoder.method.pixels == PIXELS  # type: ignore[attr-defined]
    assert encoder.training["base"] == {"name": "vit", "fingerprint": base.fingerprint}
    assert str(base.path) not in (tmp_path / "encoder" / "config.json").read_text()
    assert load_base(tmp_path / "encoder").name == f"{tmp_path.name}/encoder"


def test_an_adapter_changes_only_its_layers(base: Base, adapted: Any) -> None:
    folder, encoder = adapted
    assert sorted(file.name for file in (folder / "encoder").iterdir()) == [
        "adapter.safetensors",
        "config.json",
    ]
    leaves = jax.tree_util.tree_leaves_with_path(base.params)
    moved = {
        jax.tree_util.keystr(path, simple=True, separator=".")
        for (path, old), new in zip(leaves, jax.tree.leaves(encoder.params["encoder"]), strict=True)
        if not np.array_equal(old, new)
    }
    layers = ("attention.qkv", "expand", "contract")
    assert moved == {f"block_0.{layer}.kernel" for layer in layers}
    again = load_encoder(folder / "encoder")
    assert same((again.params, again.state), (encoder.params, encoder.state))
    assert again.method == encoder.method


def test_pairs_beside_the_weights_are_the_merged_weights(base: Base, method: Any) -> None:
    adapted = LowRankMethod(method[0], PAIRS)
    params, state = jax.jit(adapted.init)(jax.random.key(0), NOTHING)
    params, state = base.start(adapted)(params, state)
    embed = jax.jit(adapted.embed)
    np.testing.assert_allclose(
        embed(params, state, IMAGES), base.encoder.embed(IMAGES), rtol=0, atol=1e-6
    )
    random = np.random.default_rng(1)
    params["encoder"] = jax.tree.map(
        lambda leaf: random.normal(size=leaf.shape).astype(np.float32), params["encoder"]
    )
    merged, its_state = adapted.merged(params, state)
    whole = jax.jit(method[0].embed)(merged, its_state, IMAGES)
    beside = embed(params, state, IMAGES)
    assert np.abs(whole - base.encoder.embed(IMAGES)).max() > 0.1
    assert np.abs(whole - beside).max() <= 1e-6 * np.abs(whole).max() * 4
    none = LowRankMethod(method[0], LowRank(rank=0))
    nothing, kept = base.start(none)(*jax.eval_shape(none.init, jax.random.key(0), NOTHING))
    assert nothing["encoder"] == {}
    assert same(none.merged(nothing, kept)[0]["encoder"], base.params)


def test_the_optimiser_and_the_checkpoint_hold_the_pairs_alone(
    base: Base, method: Any, adapted: Any
) -> None:
    wrapped = LowRankMethod(method[0], PAIRS)
    params, _ = jax.eval_shape(wrapped.init, jax.random.key(0), NOTHING)
    pairs = {(8, 2), (2, 24), (2, 16), (16, 2), (2, 8)}
    assert {leaf.shape for leaf in jax.tree.leaves(params["encoder"])} == pairs
    optimiser = method[1].optimiser_of(method[1].learning_rate((3,)))
    moments = jax.tree.leaves(jax.eval_shape(optimiser.init, params))
    assert sum(leaf.size for leaf in moments if leaf.ndim) == 2 * sum(
        leaf.size for leaf in jax.tree.leaves(params)
    )
    with Checkpoints(adapted[0] / "checkpoints") as checkpoints:
        names = dict(checkpoints._manager.item_metadata(3))
    assert any("low_rank_a" in name for name in names)
    assert not [name for name in names if ".base." in name or name.endswith("kernel.base")]


def test_a_run_with_pairs_killed_and_started_again_ends_the_same(
    base: Base, method: Any, adapted: Any, tmp_path: pathlib.Path
) -> None:
    wrapped = LowRankMethod(method[0], PAIRS)

    class Killed(Exception):
        pass

    def kill(*_: Any) -> dict[str, float]:
        raise Killed

    arguments = (wrapped, IMAGES, method[1], tmp_path)
    start = base.start(wrapped)
    with pytest.raises(Killed):
        train(
            *arguments,
            start=start,
            observer=Observer(2, kill),
            checkpoint_seconds=0.0,
            progress=False,
        )
    ended = train(*arguments, start=start, progress=False)
    merged, _ = wrapped.merged(ended.params, ended.state)
    assert same(merged, adapted[1].params)
    other = FromEncoder(wrapped, jax.tree.map(lambda leaf: leaf + 1, base.params), {})
    with pytest.raises(ValueError, match="start"):
        train(*arguments, start=other, progress=False)


def test_an_adapter_knows_its_base(base: Base, adapted: Any, tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(adapted[0] / "encoder", folder)
    file = folder / "config.json"
    content = json.loads(file.read_text())
    content["adapter"]["base"]["path"] = str(tmp_path / "gone")
    file.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"adapter of vit, which is not at .*gone.*base="):
        load_encoder(folder)
    assert same(load_encoder(folder, base=base.path).params, adapted[1].params)
    merge_adapter(folder, tmp_path / "merged", base.path)
    merged = load_encoder(tmp_path / "merged")
    assert same(merged.params, adapted[1].params)
    with pytest.raises(ValueError, match=r"adapter of vit \(fingerprint .* another encoder"):
        load_encoder(folder, base=tmp_path / "merged")
    with pytest.raises(ValueError, match="is no adapter, so it has no base"):
        load_encoder(tmp_path / "merged", base=base.path)
    with pytest.raises(ValueError, match="nothing to merge"):
        merge_adapter(tmp_path / "merged", tmp_path / "twice")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("adapter", "base", "path"), "", "is an adapter itself, which can be no base"),
        (("adapter", "base", "path"), 5, r"config\.json.*\bpath\b"),
        (("adapter", "base", "image_size"), "8", r"config\.json.*image_size"),
        (("adapter", "base"), [1], "base is not described as it should be"),
        (("adapter", "low_rank"), None, "low_rank is not described as it should be"),
        (("adapter", "low_rank", "rank"), 2.0, r"config\.json.*\brank\b"),
        (("adapter", "low_rank", "rank"), 10**9, r"config\.json: LoRA: rank 1000000000 is above"),
        (("adapter", "low_rank", "rank"), 3, "config.json asks for"),
        (("adapter", "low_rank", "use_dora"), True, r"config\.json.*\buse_dora\b"),
        (("adapter", "low_rank", "layers"), ["qkv", "modules_to_save"], "modules_to_save"),
        (("method", "encoder", "heads"), 4, "heads=4.*that of the adapter's base.*heads=2"),
        (("method", "encoder", "patch_size"), 2, "patch_size=2.*that of the adapter's base"),
    ],
)
def test_a_changed_adapter_is_refused(
    adapted: Any, tmp_path: pathlib.Path, place: tuple[str, ...], value: Any, message: str
) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(adapted[0] / "encoder", folder)
    content = part = json.loads((folder / "config.json").read_text())
    for name in place[:-1]:
        part = part[name]
    part[place[-1]] = str(folder) if value == "" else value
    (folder / "config.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"(?s){message}"):
        load_encoder(folder)


@pytest.mark.parametrize("kind", [ml_dtypes.bfloat16, np.float16, np.int8, np.bool_])
def test_pairs_in_half_precision_are_read_and_whole_numbers_are_not(
    adapted: Any, tmp_path: pathlib.Path, kind: Any
) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(adapted[0] / "encoder", folder)
    file = folder / "adapter.safetensors"
    save_file({name: pair.astype(kind) for name, pair in load_file(file).items()}, file)
    if np.dtype(kind).kind in "ib":
        with pytest.raises(ValueError, match=r"adapter\.safetensors: the tensor \S+ is (I8|BOOL),"):
            load_encoder(folder)
    else:
        for ours, whole in zip(
            *map(jax.tree.leaves, (load_encoder(folder).params, adapted[1].params)), strict=True
        ):
            assert ours.dtype == whole.dtype
            np.testing.assert_allclose(ours, whole, rtol=0.02, atol=0.02)


def test_how_a_network_is_computed_is_no_difference(base: Base) -> None:
    base.check(dataclasses.replace(VIT, dtype="bfloat16", remat=True))


def test_a_comparison_of_too_few_images_is_refused_before_any_training(
    base: Base, tmp_path: pathlib.Path
) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    settings = TrainingSettings(method="simclr", init=str(base.path), batch_size=4)
    with pytest.raises(ValueError, match=r"6 images are too few to compare .* \(--nocompare\)"):
        train_encoder(tmp_path / "images.npy", tmp_path / "out", settings, progress=False)
    assert not (tmp_path / "out" / "encoder").exists()


def test_settings_of_pairs_without_a_rank_are_refused() -> None:
    for changes in ({"lora_scale": 8.0}, {"lora_layers": ("mlp",)}):
        with pytest.raises(ValueError, match="give lora_rank too, or leave them away"):
            TrainingSettings(init="somewhere", **changes)


def test_pairs_on_an_adapter_are_refused(
    base: Base, method: Any, adapted: Any, tmp_path: pathlib.Path
) -> None:
    with pytest.raises(ValueError, match="is an adapter itself: merge it"):
        run(load_base(adapted[0] / "encoder"), method, tmp_path, PAIRS)
    with pytest.raises(ValueError, match=r"would be replaced: choose another workdir"):
        run(load_base(adapted[0] / "encoder"), method, adapted[0], None)
    with pytest.raises(ValueError, match="give a base"):
        train_and_save(*(method[0], [IMAGES], method[1], tmp_path), architecture="", low_rank=PAIRS)


@pytest.mark.parametrize(
    ("config", "layers", "message"),
    [
        (ResNetConfig(8, 1, depths=(1,), width=4), ("qkv", "out"), "ResNet has no .* train all"),
        (ConvNeXtConfig(8, 1, (1,), (4,)), ("qkv",), "ConvNeXt has no .*qkv; it has mlp"),
    ],
)
def test_networks_without_such_layers_have_no_adapter(
    config: Any, layers: tuple[str, ...], message: str
) -> None:
    method = ImportedEncoder(config)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(LowRankMethod(method, LowRank(1, 1.0, layers)).init, jax.random.key(0), {})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"patch_size": 2}, r"patch_embedding.kernel is \[16, 8\] there.*\[4, 8\]"),
        ({"channels": 3}, r"patch_embedding.kernel is \[16, 8\] there.*\[48, 8\]"),
        ({"heads": 4}, r"attention.qkv.kernel is of heads 2 there, of 4"),
        ({"depth": 2}, r"block_1.* is not there there|block_1.*not there"),
        ({"final_norm": False}, r"norm.* is \[8\] there.* not there"),
    ],
)
def test_another_network_is_refused_by_its_tensor(base: Base, changes: Any, message: str) -> None:
    other = dataclasses.replace(VIT, **changes)
    with pytest.raises(ValueError, match=message):
        base.check(other)


@pytest.mark.parametrize(
    ("extras", "part"),
    [
        (ViTExtras(relative_bias=True), "relative_bias"),
        (ViTExtras(pooled_norm=True), "pooled_norm"),
        (ViTExtras(projection=4), "projection"),
    ],
)
def test_masked_autoencoding_is_for_plain_transformers(
    base: Base, extras: ViTExtras, part: str
) -> None:
    config = dataclasses.replace(VIT, extras=extras)
    encoder = dataclasses.replace(base.encoder, method=ImportedEncoder(config, PIXELS))
    for name in ("mae", "autoencoder"):
        with pytest.raises(ValueError, match=rf"{name} .*{part}.*simclr"):
            method_from(dataclasses.replace(base, encoder=encoder), name)
    convolutional = ImportedEncoder(ConvNeXtConfig(8, 1, (1,), (4,)), PIXELS)
    encoder = dataclasses.replace(base.encoder, method=convolutional)
    with pytest.raises(ValueError, match=r"mae works on .*ConvNeXt has none"):
        method_from(dataclasses.replace(base, encoder=encoder), "mae")


def test_positions_are_resampled_for_another_image_size(base: Base) -> None:
    larger = load_base(base.path, image_size=12)
    assert larger.encoder.image_size == 12
    assert larger.fingerprint == base.fingerprint
    assert larger.params["positions"].shape == (9, 8)
    assert larger.encoder.embed(np.zeros((1, 12, 12, 1), np.uint8)).shape == (1, 8)
    with pytest.raises(ValueError, match=r"vit at 10 pixels: .*patch_size 4"):
        load_base(base.path, image_size=10)


def test_a_rank_above_a_layer_s_width_is_refused() -> None:
    method = ImportedEncoder(VIT, PIXELS)
    message = r"rank 9 is above the width of block_0\.attention\.qkv \(8 inputs, 24 outputs\)"
    with pytest.raises(ValueError, match=message):
        shapes_of(LowRankMethod(method, LowRank(9, layers=("qkv",))))


def test_settings_of_pairs_are_checked() -> None:
    for changes, message in (
        ({"rank": -1}, "rank"),
        ({"scale": 0.0}, "scale"),
        ({"scale": float("nan")}, "scale"),
        ({"layers": ("qkv", "norm")}, "got norm"),
        ({"layers": ()}, "got none"),
    ):
        with pytest.raises(ValueError, match=f"LowRank: .*{message}"):
            LowRank(**changes)
