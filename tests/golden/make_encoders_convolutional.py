"""Makes encoders_convolutional.json, tiny convolutional networks, and their float64 features.

Run in an environment of its own: pip install torch==2.14.0 torchvision timm==1.0.31
transformers==5.24.0 numpy; pip install --no-deps efficientnet_lite_pytorch==0.1.0
torchxrayvision==1.5.5; python make_encoders_convolutional.py

The JSON file has each network's configuration files and its tensors' shapes; filled_tensors.py
fills them. encoders_convolutional.npz has images and features.
"""

import importlib.util
import json
import pathlib
import sys
import types

import numpy as np
import torch
from filled_tensors import fill

HERE = pathlib.Path(__file__).parent
MEAN, DEVIATION = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]


class Golden:
    """Collects the networks."""

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        self.networks: dict[str, dict] = {}
        self.arrays = {
            f"images.{size}": generator.integers(0, 256, (2, size, size, 3), dtype=np.uint8)
            for size in (33, 40, 64)
        }

    def add(self, name, model, features, sizes, files=None) -> None:
        """`features(model, pixels)`; `model` may be a function of the image size."""
        of_size = model if not isinstance(model, torch.nn.Module) else lambda size: model
        for size in sizes:
            made = of_size(size)
            state = {
                key: tuple(value.shape)
                for key, value in made.state_dict().items()
                if value.is_floating_point()
            }
            filled = {key: torch.as_tensor(value) for key, value in fill(state).items()}
            made.load_state_dict(filled, strict=False)
            made = made.double().eval()
            channels = next(p for p in made.parameters() if p.ndim == 4).shape[1]
            pixels = torch.as_tensor(self.arrays[f"images.{size}"][..., :channels] / 255.0)
            with torch.no_grad():
                found = features(made, pixels.permute(0, 3, 1, 2))
            self.arrays[f"{name}.{size}"] = found.numpy()
            self.networks[name] = {"files": files or {}, "shapes": state}
            print(name, size, found.shape, float(found.abs().max()), float(found.std()))


def timm_files(architecture: str, size: int, channels: int = 3, **arguments) -> dict:
    return {
        "config.json": {
            "architecture": architecture,
            "num_classes": 3,
            "model_args": arguments,
            "pretrained_cfg": {
                "mean": MEAN[:channels],
                "std": DEVIATION[:channels],
                "input_size": [channels, size, size],
            },
        }
    }


def of_timm(model, pixels):
    return model.forward_head(model.forward_features(pixels), pre_logits=True)


def efficientnets(golden: Golden) -> None:
    import efficientnet_lite_pytorch
    import transformers
    from timm.models import efficientnet
    from torchvision.models.efficientnet import EfficientNet, MBConvConfig

    sizes = {"channel_multiplier": 0.1, "depth_multiplier": 0.34, "num_classes": 3}
    made = efficientnet._gen_efficientnet("efficientnet_b0", **sizes)
    golden.add("timm_efficientnet", made, of_timm, (40,), timm_files("efficientnet_b0", 40))
    same = {"bn_eps": 1e-3, "pad_type": "same"}
    made = efficientnet._gen_efficientnet("tf_efficientnet_b0", **sizes, **same)
    files = timm_files("tf_efficientnet_b0", 33)
    golden.add("timm_efficientnet_tf", made, of_timm, (33, 40), files)
    arguments = {"bn_eps": 1e-2, "in_chans": 1}
    made = efficientnet._gen_efficientnet_lite(
        "tf_efficientnet_lite0", **sizes, pad_type="same", **arguments
    )
    files = timm_files("tf_efficientnet_lite0", 40, 1, **arguments)
    golden.add("timm_efficientnet_lite", made, of_timm, (40,), files)

    stages = [(1, 3, 1, 8, 8), (6, 3, 2, 8, 8), (6, 5, 2, 8, 8), (6, 3, 2, 8, 8)]
    stages += [(6, 5, 1, 8, 16), (6, 5, 2, 16, 24), (6, 3, 1, 24, 32)]
    depths = (1, 1, 1, 2, 2, 2, 1)
    settings = [MBConvConfig(*stage, depth) for stage, depth in zip(stages, depths)]
    made = EfficientNet(settings, dropout=0.2, num_classes=3, last_channel=128)
    golden.add("torchvision_efficientnet", made, lambda m, x: m.features(x).mean((2, 3)), (40,))

    def of_package(size):
        return efficientnet_lite_pytorch.EfficientNet.from_name(
            "efficientnet-b0",
            image_size=size,
            num_classes=3,
            width_coefficient=0.5,
            depth_coefficient=0.34,
        )

    def extracted(model, pixels):
        return model.extract_features(pixels).mean((2, 3))

    golden.add("efficientnet_pytorch", of_package, extracted, (33, 40))

    config = transformers.EfficientNetConfig(
        width_coefficient=0.5,
        depth_coefficient=0.34,
        hidden_dim=640,
        image_size=40,
        depthwise_padding=[2, 5],
        batch_norm_eps=1e-2,
    )
    processor = {
        "image_processor_type": "EfficientNetImageProcessor",
        "image_mean": MEAN,
        "image_std": DEVIATION,
        "rescale_factor": 1 / 127.5,
        "rescale_offset": True,
        "include_top": True,
    }
    files = {"config.json": config.to_dict(), "preprocessor_config.json": processor}
    made = transformers.EfficientNetModel(config)
    golden.add("efficientnet", made, lambda m, x: m(x).pooler_output, (40, 64), files)


def resnets(golden: Golden) -> None:
    from timm.models.resnet import BasicBlock, Bottleneck, ResNet
    from torchvision.models import resnet as torchvision_resnet

    def two_stages(model, x):
        activation = model.act1 if hasattr(model, "act1") else model.relu
        x = model.maxpool(activation(model.bn1(model.conv1(x))))
        return model.layer2(model.layer1(x)).mean((2, 3))

    small = {"channels": (16, 32), "num_classes": 3}
    two = {"layers": (2, 2), **small}
    deep = {"stem_width": 8, "stem_type": "deep", "avg_down": True}
    tiered = {"stem_width": 8, "stem_type": "deep_tiered", "avg_down": True}
    groups = {"cardinality": 4, "base_width": 16}
    excited = {"block_args": {"attn_layer": "se"}}
    for name, architecture, arguments in (
        ("resnet_d", "resnet50d", {"block": Bottleneck, **two, **deep}),
        ("resnext", "resnext50_32x4d", {"block": Bottleneck, **two, **groups}),
        ("seresnext_t", "seresnext26t_32x4d", {"block": Bottleneck, **two, **groups, **tiered}),
        ("seresnet", "seresnet18", {"block": BasicBlock, **two}),
    ):
        excitation = excited if architecture.startswith("se") else {}
        made = ResNet(**arguments, **excitation)
        golden.add(name, made, two_stages, (33,), timm_files(architecture, 33))

    made = torchvision_resnet.ResNet(
        torchvision_resnet.Bottleneck, [1, 2, 1, 1], width_per_group=128, num_classes=3
    )
    del made.layer3, made.layer4  # too large for a test
    golden.add("wide_resnet", made, two_stages, (33,))


def densenets(golden: Golden) -> None:
    from timm.models.densenet import DenseNet
    from torchvision.models.densenet import DenseNet as Torchvision

    sizes = {"growth_rate": 8, "block_config": (1, 2, 3, 1), "num_classes": 3}
    made = DenseNet(**sizes, bn_size=2)
    golden.add("timm_densenet", made, of_timm, (64,), timm_files("densenet121", 64))

    def pooled(model, x):
        return torch.relu(model.features(x)).mean((2, 3))

    made = Torchvision(**sizes, num_init_features=16, bn_size=2)
    golden.add("torchvision_densenet", made, pooled, (64,))

    # Its models alone: its data sets need further packages.
    for name in ("requests", "torchxrayvision.datasets", "torchxrayvision.utils"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["torchxrayvision.datasets"].default_pathologies = []
    package = types.ModuleType("torchxrayvision")
    package.__path__ = importlib.util.find_spec("torchxrayvision").submodule_search_locations
    sys.modules["torchxrayvision"] = package
    models = importlib.import_module("torchxrayvision.models")
    made = models.DenseNet(
        **sizes, num_init_features=16, bn_size=2, in_channels=1, op_threshs=torch.zeros(18)
    )
    files = {"encoder.json": {"known": "torchxrayvision"}}
    golden.add("torchxrayvision_densenet", made, lambda m, x: m.features2(x), (64,), files)


def dinov3_convnexts(golden: Golden) -> None:
    import transformers
    from timm.models.convnext import ConvNeXt

    sizes = {"depths": (1, 1, 1, 2), "dims": (8, 16, 16, 24)}
    made = ConvNeXt(**sizes, num_classes=0)  # as timm's convnext_tiny, smaller
    files = timm_files("convnext_tiny.dinov3_lvd1689m", 40)
    golden.add("timm_dinov3_convnext", made, of_timm, (40,), files)
    config = transformers.DINOv3ConvNextConfig(
        hidden_sizes=[8, 16], depths=[1, 2], image_size=40, layer_norm_eps=1e-3
    )
    made = transformers.DINOv3ConvNextModel(config)
    files = {"config.json": config.to_dict()}
    golden.add("dinov3_convnext", made, lambda m, x: m(x).pooler_output, (40,), files)


def main() -> None:
    golden = Golden()
    efficientnets(golden)
    resnets(golden)
    densenets(golden)
    dinov3_convnexts(golden)
    text = json.dumps(golden.networks, separators=(",", ":"))
    (HERE / "encoders_convolutional.json").write_text(text.replace('"},"', '"},\n"') + "\n")
    np.savez_compressed(HERE / "encoders_convolutional.npz", **golden.arrays)


if __name__ == "__main__":
    main()
