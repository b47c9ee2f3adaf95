"""Low-rank pairs against PEFT, and the layers of learning rates against timm."""

import json
import pathlib
import re

import jax
import numpy as np
import pytest
from optax import constant_schedule

from examine_jax.encoders import load_encoder
from examine_jax.evaluation.classifier_training import ClassifierTraining, _Program
from examine_jax.evaluation.mlp_probe import HeadOnFeatures
from examine_jax.models.classifier_head import LINEAR_HEAD
from examine_jax.models.layer_numbers import layer_numbers
from examine_jax.models.low_rank import LowRank, adapted_layers, merged, with_adapter
from examine_jax.training.layer_decay import scale_by_layer, with_layer_decay
from examine_jax.training.optimiser import AdamW, Constant, LearningRate
from examine_jax.training.settings import Phase, PretrainSettings

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
DECAY = 0.5
SHARES: dict[str, dict[str, float]] = json.loads((GOLDEN / "layer_decay.json").read_text())
# The layers of a block, by timm's names.
LAYERS = {
    "attn.qkv": ("attention", "qkv"),
    "attn.proj": ("attention", "projection"),
    "mlp.fc1": ("expand",),
    "mlp.fc2": ("contract",),
}
# Parameters of timm's networks and what they are called here, of which the first part decides.
RENAMED = (
    (r"cls_token", "class_token"),
    (r"reg_token", "registers"),
    (r"pos_embed", "positions"),
    (r"norm_pre.*", "embedding_norm"),
    (r"blocks\.(\d+)\..*", r"block_\1"),
    (r"fc_norm.*|head\.norm.*", "pooled_norm"),
    (r"norm\..*", "norm"),
    (r"(?:stages|layers)\.(\d+)\.downsample.*", r"downsample_\1"),
    (r"(?:stages|layers)\.(\d+)\.blocks\.(\d+)\..*", r"stage_\1_block_\2"),
    (r"stem.*|conv1.*|bn1.*", "stem"),
)


def test_an_adapter_of_peft_gives_the_same_features() -> None:
    golden = dict(np.load(GOLDEN / "low_rank.npz"))
    encoder = load_encoder(GOLDEN / "encoders_vit" / "plain")
    low_rank = LowRank(rank=3, scale=float(golden["scale"]), layers=("qkv", "out", "mlp"))
    adapter: dict[str, dict] = {}
    for name, value in golden.items():
        if "lora_" not in name:
            continue
        found = re.fullmatch(r"blocks\.(\d+)\.(.*)\.lora_([AB])\.weight", name)
        assert found is not None
        block, layer, which = found.groups()
        here = adapter.setdefault(f"block_{block}", {})
        for part in LAYERS[layer]:
            here = here.setdefault(part, {})
        here[f"low_rank_{which.lower()}"] = value.T
    base = encoder.params["encoder"]
    pairs = jax.tree.leaves(adapter)
    assert len(pairs) == 2 * len(adapted_layers(encoder.method.encoder, low_rank.layers)) == 16
    embed = jax.jit(encoder.method.embed)
    for params in (with_adapter(base, adapter, low_rank), merged(base, adapter, low_rank)):
        features = embed({"encoder": params}, encoder.state, golden["images"])
        largest = np.abs(golden["features"]).max()
        assert np.abs(features - golden["features"]).max() <= 1e-6 * largest * 2
    plain = embed(encoder.params, encoder.state, golden["images"])
    assert np.abs(plain - golden["features"]).max() > 1e-2 * largest


def test_a_merged_product_is_added_pair_by_pair() -> None:
    """The order is fixed: to the bit, whatever BLAS would do."""
    generator = np.random.default_rng(0)
    a, b, kernel = (
        generator.standard_normal(shape).astype(np.float32) for shape in ((5, 7), (7, 3), (5, 3))
    )
    low_rank = LowRank(rank=7, scale=3.0)
    found = merged({"kernel": kernel}, {"low_rank_a": a, "low_rank_b": b}, low_rank)["kernel"]
    expected = np.zeros((5, 3), np.float32)
    for i, j in np.ndindex(5, 3):
        total = 0.0
        for k in range(7):
            total += float(a[i, k]) * float(b[k, j])
        expected[i, j] = float(kernel[i, j]) + 3.0 / 7 * total
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("network", SHARES)
def test_layers_are_numbered_as_by_timm(network: str) -> None:
    shares = {_ours(name, network): share for name, share in SHARES[network].items()}
    head = shares.pop("head", None)
    params = {"encoder": {name: np.zeros(1) for name in shares}, "projector": {"x": np.zeros(1)}}
    numbers, last = layer_numbers(params)
    assert head in (1.0, None)
    assert numbers["projector"]["x"] == last
    if head is None:  # timm counts no layer for a head that is not there
        last -= 1
    assert {name: DECAY ** (last - own) for name, own in numbers["encoder"].items()} == shares


def _ours(name: str, network: str) -> str:
    if found := re.match(r"layer(\d)\.(\d+)\.", name):
        return f"stage_{int(found[1]) - 1}_block_{found[2]}"
    if network == "densenet":
        name = name.removeprefix("features.")
        if found := re.match(r"denseblock(\d)\.denselayer(\d+)", name):
            return f"stage_{int(found[1]) - 1}_block_{int(found[2]) - 1}"
        if found := re.match(r"transition(\d)", name):
            return f"downsample_{found[1]}"
        return {"conv0": "stem", "norm0": "stem", "norm5": "norm"}.get(name.split(".")[0], "head")
    if network == "efficientnet":
        if found := re.match(r"blocks\.(\d)\.(\d)", name):
            return f"stage_{found[1]}_block_{found[2]}"
        places = {"conv_stem": "stem", "bn1": "stem", "conv_head": "head_norm", "bn2": "head_norm"}
        return places.get(name.split(".")[0], "head")
    if re.match(r"patch_embed", name):
        return "stem" if network == "swin" else "patch_embedding"
    if re.match(r"head\.(weight|bias|fc)|fc\.", name):
        return "head"
    if network == "convnext":
        if name.startswith("head.norm"):
            return "norm"
        if found := re.match(r"stages\.(\d)\.downsample\.0", name):
            return f"downsample_{found[1]}_norm"
    for pattern, ours in RENAMED:
        found = re.fullmatch(pattern, name)
        if found:
            renamed = found.expand(ours)
            return renamed.replace("downsample", "merge") if network == "swin" else renamed
    raise AssertionError(name)


def test_updates_are_scaled_after_the_optimiser() -> None:
    params = {"encoder": {"stem": 1.0, "block_0": {"x": 1.0}, "block_1": 1.0}, "head": 1.0}
    tree = jax.tree.map(np.float32, params)
    scaling = scale_by_layer(DECAY)
    updates, _ = scaling.update(tree, scaling.init(tree), tree)
    assert jax.tree.leaves(updates) == [0.25, 0.5, 0.125, 1.0]


@pytest.mark.parametrize("encoder", [{}, {"layers": np.zeros(1)}])
def test_a_network_without_blocks_has_no_decay(encoder: dict) -> None:
    with pytest.raises(ValueError, match="layer_decay: the encoder has no numbered blocks"):
        scale_by_layer(DECAY).init({"encoder": encoder})


def test_a_layer_has_its_share_of_the_rate_and_of_the_weight_decay() -> None:
    random = np.random.default_rng(0)
    weights, gradient = (random.normal(size=(2, 2)).astype(np.float32) for _ in range(2))
    layers = {"encoder": {"stem": weights, "block_0": weights}, "head": weights}
    gradients = jax.tree.map(lambda _: gradient, layers)
    optimiser = with_layer_decay(AdamW(weight_decay=0.3).build(constant_schedule(0.1)), DECAY)
    updates, _ = optimiser.update(gradients, optimiser.init(layers), layers)
    for part, share in ((updates["encoder"]["stem"], 0.25), (updates["head"], 1.0)):
        alone = AdamW(weight_decay=0.3).build(constant_schedule(0.1 * share))
        expected, _ = alone.update({"w": gradient}, alone.init({"w": weights}), {"w": weights})
        np.testing.assert_allclose(part, expected["w"], rtol=1e-6)
    with pytest.raises(ValueError, match="layer_decay must be above 0 and at most 1, got 2"):
        with_layer_decay(optimiser, 2.0)


def test_trainings_follow_their_settings_of_layers() -> None:
    pretraining = PretrainSettings((Phase(steps=2),), layer_decay=DECAY)
    classifier = ClassifierTraining(schedule=Constant(0.1), layer_decay=DECAY)
    network = HeadOnFeatures(LINEAR_HEAD, width=2, num_classes=2)
    weights = np.ones((2, 2), np.float32)
    layers = {"encoder": {"stem": weights, "block_0": weights}, "head": weights}
    for optimiser in (
        pretraining.optimiser_of(LearningRate(constant_schedule(0.1), 0.1)),
        _Program(network, classifier, batch_size=16, steps_per_epoch=5).optimiser,
    ):
        updates, _ = optimiser.update(layers, optimiser.init(layers), layers)
        assert np.all(updates["head"] < -0.05)
        for name, share in (("block_0", 0.5), ("stem", 0.25)):
            np.testing.assert_allclose(updates["encoder"][name], share * updates["head"], rtol=1e-6)
