"""Makes encoders_beit_eva/, tiny BEiTs, EVAs and DINOs in further layouts, and their outputs.

Run in an environment of its own: pip install torch==2.14.0 torchvision timm==1.0.31
transformers==5.24.0; python make_encoders_beit_eva.py

encoders_beit_eva.npz holds the images, and by NAME.SIZE the features, computed in float64, kept in
float32. timm_eva_architectures.json holds what timm's names say. The layouts of facebookresearch
and baaivision are timm's networks under their names; positions at other sizes are resampled by
torch as facebookresearch does it.
"""

import json
import pathlib
import shutil

import numpy as np
import timm
import torch
import transformers
from make_encoders_vit import fill_with_noise, pixels
from safetensors.torch import save_file
from timm.models import beit, eva, list_models, model_entrypoint
from timm.models._hub import save_for_hf

HERE = pathlib.Path(__file__).parent
FOLDER = HERE / "encoders_beit_eva"
SIZE, OTHER_SIZES = 24, (32, 16)
SMALL = {"img_size": SIZE, "patch_size": 4, "embed_dim": 16, "depth": 2, "num_heads": 2}
THIN = {**SMALL, "mlp_ratio": 2}

# name: (timm's name, arguments that config.json holds).
TIMM = {
    "beit": ("beit_base_patch16_224", THIN),
    "beit_every_part": (
        "beitv2_base_patch16_224",
        {**THIN, "use_abs_pos_emb": True, "use_shared_rel_pos_bias": True, "global_pool": "token"}
        | {"swiglu_mlp": True, "scale_mlp": True, "qkv_bias": False, "init_values": 0},
    ),
    "beit_shared": (
        "beit_large_patch16_224",
        {**THIN, "use_rel_pos_bias": False, "use_shared_rel_pos_bias": True, "scale_mlp": True},
    ),
    "cae": (
        "beit_large_patch16_224",
        {**THIN, "use_rel_pos_bias": False, "use_abs_pos_emb": True, "global_pool": "token"},
    ),
    "eva02": ("eva02_tiny_patch14_224", SMALL),
    "eva02_clip": ("eva02_base_patch16_clip_224", SMALL),
    "eva02_options": (
        "eva02_small_patch14_224",
        {**SMALL, "qk_norm": True, "ref_feat_shape": 5, "rope_temperature": 50.0}
        | {"num_reg_tokens": 2, "no_embed_class": True, "init_values": 1e-5}
        | {"use_pre_transformer_norm": True, "scale_attn_inner": True, "swiglu_align_to": 8}
        | {"global_pool": ""},
    ),
    "eva_giant": ("eva_giant_patch14_224", {**THIN, "depth": 1}),
    "eva02_norm_after": ("eva02_enormous_patch14_clip_224", {**THIN, "depth": 1}),
    "rope_registers": ("vit_medium_patch16_rope_reg1_gap_256", {**THIN, "depth": 1}),
}
HF = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": SIZE,
    "patch_size": 4,
}
TRANSFORMERS = {
    "hf_beit": (
        transformers.BeitModel,
        transformers.BeitConfig(**HF, use_relative_position_bias=True),
    ),
    "hf_beit_every_part": (
        transformers.BeitModel,
        transformers.BeitConfig(
            **HF,
            use_relative_position_bias=True,
            use_shared_relative_position_bias=True,
            use_absolute_position_embeddings=True,
            use_mean_pooling=False,
            hidden_act="gelu_pytorch_tanh",
            layer_scale_init_value=0.0,
            layer_norm_eps=1e-6,
        ),
    ),
    "hf_beit_masked": (
        transformers.BeitForMaskedImageModeling,
        transformers.BeitConfig(
            **HF, use_shared_relative_position_bias=True, use_mask_token=True, vocab_size=8
        ),
    ),
    "hf_data2vec": (
        transformers.Data2VecVisionForImageClassification,
        transformers.Data2VecVisionConfig(
            **{**HF, "num_hidden_layers": 1},
            use_relative_position_bias=True,
            use_shared_relative_position_bias=True,
        ),
    ),
}


def save(name: str, arrays: dict[str, torch.Tensor], configuration: dict[str, object]) -> None:
    folder = FOLDER / name
    folder.mkdir(parents=True)
    save_file(
        {name: array.contiguous().clone() for name, array in arrays.items()},
        folder / "model.safetensors",
    )
    (folder / "encoder.json").write_text(json.dumps(configuration, indent=2) + "\n")


def at_each_size(
    name: str, architecture: str, written: dict[str, object], model, images, pooled=True
) -> dict[str, np.ndarray]:
    outputs = {}
    with torch.no_grad():
        for size in (SIZE, *OTHER_SIZES):
            other = timm.create_model(architecture, num_classes=0, **written).eval()
            other.load_state_dict(model.state_dict())
            other = other.double()
            if size != SIZE and (pooled or hasattr(other, "rope")):
                other.set_input_size(img_size=size)
            features = (
                other(pixels(images[size]))
                if pooled
                else other.forward_features(pixels(images[size]))
            )
            outputs[f"{name}.{size}"] = (features if features.ndim == 2 else features[:, 0]).numpy()
    return outputs


def of_timm(name: str, images: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    architecture, written = TIMM[name]
    model = timm.create_model(architecture, num_classes=0, **written).eval()
    fill_with_noise(model, torch.Generator().manual_seed(2))
    save_for_hf(model, FOLDER / name, safe_serialization=True)
    return at_each_size(name, architecture, written, model, images)


def of_transformers(name: str, images: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    kind, config = TRANSFORMERS[name]
    model = kind(config).eval()
    fill_with_noise(model, torch.Generator().manual_seed(3))
    model.save_pretrained(FOLDER / name)
    if name == "hf_beit_every_part":  # the same network under the names that it has in memory
        model.save_pretrained(FOLDER / f"{name}_in_memory", save_original_format=False)
    model = model.double()
    outputs = {}
    with torch.no_grad():
        for size in (SIZE, *OTHER_SIZES):
            if name == "hf_beit_masked":
                tokens = model.layernorm(model.beit(pixels(images[size])).last_hidden_state)
                outputs[f"{name}.{size}"] = tokens[:, 1:].mean(dim=1).numpy()
            else:
                encoder = model.data2vec_vision if name == "hf_data2vec" else model
                outputs[f"{name}.{size}"] = encoder(pixels(images[size])).pooler_output.numpy()
    return outputs


def of_baaivision(images: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    """EVA-X's files: masked pretraining under EVA-02's own names, with its rotary buffers."""
    outputs = {}
    for name, architecture in (
        ("eva_x_small", "eva02_small_patch14_224"),
        ("eva_x_base", "eva02_base_patch14_224"),
    ):
        written = {**SMALL, "ref_feat_shape": 14}
        model = timm.create_model(architecture, num_classes=0, **written).eval()
        fill_with_noise(model, torch.Generator().manual_seed(4))
        arrays = {}
        for key, tensor in model.state_dict().items():
            for timms, theirs in (
                ("fc_norm.", "norm."),
                ("mlp.norm.", "mlp.ffn_ln."),
                ("mlp.fc1_g.", "mlp.w1."),
                ("mlp.fc1_x.", "mlp.w2."),
                ("mlp.fc1.", "mlp.w12."),
                ("mlp.fc2.", "mlp.w3."),
                ("q_proj.bias", "q_bias"),
                ("v_proj.bias", "v_bias"),
            ):
                key = key.replace(timms, theirs)
            arrays[key] = tensor
        sine, cosine = model.rope.get_embed().chunk(2, -1)
        for place in ("rope", "blocks.0.attn.rope", "blocks.1.attn.rope"):
            arrays |= {f"{place}.freqs_sin": sine, f"{place}.freqs_cos": cosine}
        arrays |= {"mask_token": torch.ones(1, 1, 16), "lm_head.weight": torch.ones(3, 16)}
        arrays |= {"lm_head.bias": torch.ones(3)}
        arguments = {"num_heads": 2, "ref_feat_shape": 14, "depth": 2}
        save(
            name,
            arrays,
            {
                "architecture": architecture,
                "configuration": {"model_args": arguments},
                "mean": 0.5,
                "deviation": 0.25,
            },
        )
        outputs |= at_each_size(name, architecture, written, model, images)
    return outputs


def of_facebookresearch(images: dict[int, np.ndarray]) -> dict[str, np.ndarray]:
    outputs = {}
    for name, architecture, written in (
        ("facebook_dinov2", "vit_small_patch14_dinov2", THIN),
        (
            "facebook_dinov2_registers",
            "vit_giant_patch14_reg4_dinov2",
            {**SMALL, "mlp_ratio": 5.25},
        ),
    ):
        model = timm.create_model(architecture, num_classes=0, **written).eval()
        fill_with_noise(model, torch.Generator().manual_seed(5))
        registers = "registers" in name
        arrays = {"mask_token": torch.ones(1, 16)}
        row = torch.full((1, 1, 16), 0.25)
        for key, tensor in model.state_dict().items():
            if registers:
                if key == "cls_token":
                    tensor = tensor - row
                elif key == "pos_embed":
                    tensor = torch.cat([row, tensor], dim=1)
                key = key.replace("reg_token", "register_tokens")
                key = key.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3")
            else:  # chunks of one block
                key = key.replace("blocks.0.", "blocks.0.0.").replace("blocks.1.", "blocks.1.1.")
            arrays[key] = tensor
        save(name, arrays, {"heads": 2, "mean": 0.5, "deviation": 0.25})
        if registers:
            outputs |= at_each_size(name, architecture, written, model, images)
            continue
        state = model.state_dict()
        for size in (SIZE, *OTHER_SIZES):
            other = timm.create_model(
                architecture, num_classes=0, **{**written, "img_size": size}
            ).eval()
            moved = dict(state)
            if size != SIZE:
                grid = state["pos_embed"][:, 1:].reshape(1, 6, 6, 16).permute(0, 3, 1, 2)
                factor = (size // 4 + 0.1) / 6
                grid = torch.nn.functional.interpolate(
                    grid, scale_factor=(factor, factor), mode="bicubic"
                )
                rows = grid.permute(0, 2, 3, 1).reshape(1, -1, 16)
                moved["pos_embed"] = torch.cat([state["pos_embed"][:, :1], rows], dim=1)
            other.load_state_dict(moved)
            with torch.no_grad():
                outputs[f"{name}.{size}"] = other.double()(pixels(images[size])).numpy()
    for name, architecture, written in (
        ("facebook_dinov3", "vit_small_patch16_dinov3_qkvb", THIN),
        ("facebook_dinov3_gated", "vit_small_plus_patch16_dinov3_qkvb", SMALL),
        ("facebook_dinov3_no_biases", "vit_small_patch16_dinov3", THIN),
    ):
        model = timm.create_model(architecture, num_classes=0, **written).eval()
        fill_with_noise(model, torch.Generator().manual_seed(6))
        arrays = {"mask_token": torch.ones(1, 16)}
        state = model.state_dict()
        for key, tensor in state.items():
            if key.endswith("v_bias"):
                continue
            if key.endswith("q_bias"):
                value = state[key.replace("q_bias", "v_bias")]
                key = key.replace("q_bias", "qkv.bias")
                tensor = torch.cat([tensor, torch.ones(16), value])
                arrays[key + "_mask"] = torch.cat([torch.ones(16), torch.zeros(16), torch.ones(16)])
            for timms, theirs in (
                ("reg_token", "storage_tokens"),
                ("gamma_1", "ls1.gamma"),
                ("gamma_2", "ls2.gamma"),
                *(
                    (("fc1_g", "w1"), ("fc1_x", "w2"), ("mlp.fc2", "mlp.w3"))
                    if "plus" in architecture
                    else ()
                ),
            ):
                key = key.replace(timms, theirs)
            arrays[key] = tensor
        periods = 100.0 ** (2 * torch.arange(2) / 4)
        arrays["rope_embed.periods"] = periods.bfloat16().float()
        arrays |= {"local_cls_norm.weight": torch.ones(16), "local_cls_norm.bias": torch.ones(16)}
        save(name, arrays, {"heads": 2, "mean": 0.5, "deviation": 0.25})
        outputs |= at_each_size(name, architecture, written, model, images, pooled=False)
    return outputs


def architectures() -> dict[str, list[object]]:
    """What timm's names of EVAs and BEiTs say, in the order of the test that reads it."""
    found: dict[str, list[object]] = {}

    def record(kind: type, variant: str, pretrained: bool, **arguments: object) -> None:
        given = {**arguments}
        ours = (
            given.get("attn_type", "eva") == "eva"
            and given.get("rope_type", "cat") == "cat"
            and not given.get("rope_grid_offset")
            and given.get("rope_grid_indexing", "ij") == "ij"
            and "gated" not in variant
        )
        norm = given.get("norm_layer")
        if not ours or (norm is not None and norm is not timm.layers.LayerNorm):
            return
        reference = given.get("ref_feat_shape")
        found[variant] = [
            given.get("embed_dim", 768),
            given.get("num_heads", 12),
            given.get("depth", 12),
            given.get("global_pool", "avg"),
            bool(given.get("use_rot_pos_emb")),
            reference if reference is None else reference[0],
            bool(given.get("use_post_norm")),
            {
                "qkv_bias": given.get("qkv_bias", True),
                "qk_norm": bool(given.get("qk_norm")),
                "init_values": bool(given.get("init_values")),
                "swiglu_mlp": bool(given.get("swiglu_mlp")),
                "scale_mlp": bool(given.get("scale_mlp")),
                "scale_attn_inner": bool(given.get("scale_attn_inner")),
                "use_abs_pos_emb": given.get("use_abs_pos_emb", True),
                "use_pre_transformer_norm": bool(given.get("use_pre_transformer_norm")),
                "class_token": given.get("class_token", True),
                "num_reg_tokens": given.get("num_reg_tokens", 0),
            }
            if kind.__name__ == "Eva"
            else {
                "qkv_bias": given.get("qkv_bias", True),
                "init_values": bool(given.get("init_values")),
                "swiglu_mlp": bool(given.get("swiglu_mlp")),
                "scale_mlp": bool(given.get("scale_mlp")),
                "use_abs_pos_emb": given.get("use_abs_pos_emb", True),
                "use_rel_pos_bias": bool(given.get("use_rel_pos_bias")),
                "use_shared_rel_pos_bias": bool(given.get("use_shared_rel_pos_bias")),
            },
        ]

    for module, name in ((eva, "eva"), (beit, "beit")):
        module.build_model_with_cfg = record
        for one in list_models(module=name):
            model_entrypoint(one)(pretrained=False)
    return found


def main() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    generator = np.random.default_rng(0)
    images = {
        size: generator.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
        for size in (SIZE, *OTHER_SIZES)
    }
    arrays = {}
    for name in TIMM:
        arrays |= of_timm(name, images)
    for name in TRANSFORMERS:
        arrays |= of_transformers(name, images)
    arrays |= of_baaivision(images) | of_facebookresearch(images)
    stored = {name: array.astype(np.float32) for name, array in arrays.items()}
    stored |= {f"images.{size}": array for size, array in images.items()}
    np.savez_compressed(HERE / "encoders_beit_eva.npz", **stored)
    (HERE / "timm_eva_architectures.json").write_text(
        json.dumps(architectures(), separators=(",", ":")).replace("}],", "}],\n") + "\n"
    )
    print({name: (array.shape, float(np.abs(array).mean())) for name, array in arrays.items()})


if __name__ == "__main__":
    main()
