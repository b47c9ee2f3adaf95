"""EfficientNet and EfficientNet-Lite of timm, torchvision, transformers, efficientnet_pytorch."""

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Any, cast

from examine_jax.models.efficientnet import ACTIVATIONS, EfficientNetConfig
from examine_jax.models.weights.configuration import (
    positive_number,
    refuse_unknown_fields,
    whole_number,
)
from examine_jax.models.weights.efficientnet_tensors import (
    EFFICIENTNET_PYTORCH,
    TIMM,
    TORCHVISION,
    config_of_tensors,
    read_efficientnet,
    transformers_names,
)
from examine_jax.models.weights.imported import (
    IMAGENET,
    ImportedNetwork,
    PixelNormalisation,
    StoredNetwork,
    is_done,
    normalisation,
    usual_pixels,
)
from examine_jax.models.weights.tensors import Tensors
from examine_jax.models.weights.timm_arguments import (
    image_size_of,
    model_args,
    refuse_other_arguments,
    refuse_other_pool,
    timm_pixels,
)

# Others have further parts: condconv, edge (es), gn, pruned, blur, V2.
_TIMM_NAMES = re.compile(r"(tf_)?efficientnet_(b[0-8]|l2|lite[0-4])(\..*)?")
_TENSORFLOW_EPSILON, _TORCH_EPSILON = 1e-3, 1e-5
# tensorflow/tpu models/official/efficientnet/lite/efficientnet_lite_builder.py
_LITE_PIXELS: PixelNormalisation = ((127 / 255,) * 3, (128 / 255,) * 3)
_DEPTH_OF_B5 = 3  # of its first stage

# transformers' fields and their defaults, which are EfficientNet-B7's.
_LISTS = {
    "kernel_sizes": [3, 3, 5, 3, 5, 5, 3],
    "in_channels": [32, 16, 24, 40, 80, 112, 192],
    "out_channels": [16, 24, 40, 80, 112, 192, 320],
    "strides": [1, 2, 2, 2, 1, 2, 1],
    "num_block_repeats": [1, 2, 2, 3, 3, 4, 1],
    "expand_ratios": [1, 6, 6, 6, 6, 6, 6],
}
_FIELDS = frozenset(
    {"num_channels", "image_size", "width_coefficient", "depth_coefficient", "depth_divisor"}
    | {"depthwise_padding", "squeeze_expansion_ratio", "hidden_act", "hidden_dim", "pooling_type"}
    | {"batch_norm_eps", "batch_norm_momentum", "drop_connect_rate", "num_hidden_layers"}
    | set(_LISTS)
)


@dataclasses.dataclass(frozen=True)
class TimmEfficientNetFamily:
    """timm's EfficientNets and EfficientNet-Lites, also under efficientnet_pytorch's names."""

    name: str = "timm's EfficientNets"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return bool(re.match(r"(tf_)?efficientnet", str(configuration.get("architecture"))))

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, where = stored.configuration, stored.where
        name = str(configuration["architecture"])
        match = _TIMM_NAMES.fullmatch(name)
        if match is None:
            raise ValueError(
                f"{where}: architecture is {name}, which has other blocks, norms or widths than "
                "the EfficientNets that can be read (B0 to B8, L2, Lite0 to Lite4)"
            )
        of_tensorflow, lite = match[1] is not None, match[2].startswith("lite")
        names = TIMM
        if EFFICIENTNET_PYTORCH.recognises(stored.tensors):
            names = EFFICIENTNET_PYTORCH
            if not of_tensorflow:
                raise ValueError(
                    f"{where}: the tensors have efficientnet_pytorch's names, whose networks are "
                    f"padded as timm's tf_{name.split('.')[0]}: say in encoder.json "
                    f'{{"architecture": "tf_{name.split(".")[0]}"}}'
                )
        given = model_args(configuration, where)
        config = config_of_tensors(
            stored.tensors,
            names,
            image_size or image_size_of(configuration, given, where) or 224,
            activation="relu6" if lite else "silu",
            padding="same" if of_tensorflow else "half",
            batch_norm_epsilon=positive_number(
                given,
                "bn_eps",
                _TENSORFLOW_EPSILON if of_tensorflow else _TORCH_EPSILON,
                f"{where}, model_args",
            ),
        )
        if (config.squeeze is None) != lite:
            raise ValueError(
                f"{where}: architecture is {name}, but the tensors have "
                f"{'no ' if config.squeeze is None else ''}squeeze and excitation"
            )
        facts = {"in_chans": config.channels}
        refuse_other_arguments(given, facts, ("bn_eps", "global_pool", "img_size"), where)
        refuse_other_pool(configuration, given, where)
        pixels = timm_pixels(stored, config.channels)
        return read_efficientnet(stored.tensors, names, config, pixels)


@dataclasses.dataclass(frozen=True)
class EfficientNetFamily:
    """transformers' EfficientNet."""

    name: str = "efficientnet"

    def recognises(self, configuration: Mapping[str, Any]) -> bool:
        return configuration.get("model_type") == "efficientnet"

    def read(self, stored: StoredNetwork, image_size: int | None) -> ImportedNetwork:
        configuration, where = stored.configuration, stored.where
        refuse_unknown_fields(configuration, _FIELDS, where)
        pooling = configuration.get("pooling_type", "mean")
        if pooling != "mean":
            raise ValueError(f"{where}: pooling_type is {pooling!r}; only 'mean' can be read")
        config = _of_transformers(configuration, image_size, where)
        pixels = usual_pixels(_transformers_pixels(stored), IMAGENET, config.channels, where)
        return read_efficientnet(stored.tensors, transformers_names(stored.tensors), config, pixels)


@dataclasses.dataclass(frozen=True)
class BareEfficientNetFamily:
    """A state dict under the names of torchvision, efficientnet_pytorch or timm, alone."""

    def recognises(self, tensors: Tensors) -> bool:
        return (
            EFFICIENTNET_PYTORCH.recognises(tensors)
            or TIMM.recognises(tensors)
            or "features.1.0.block.0.0.weight" in tensors.arrays
        )

    def read(self, tensors: Tensors, image_size: int | None) -> ImportedNetwork:
        size = image_size or 224
        if TIMM.recognises(tensors):
            raise ValueError(
                f"{tensors.where} holds an EfficientNet of timm, whose tensors do not tell how it "
                "pads images (tf_efficientnet_b0 or efficientnet_b0): put it into a folder as "
                "model.safetensors, with the config.json that belongs to it"
            )
        if EFFICIENTNET_PYTORCH.recognises(tensors):
            names, settings = EFFICIENTNET_PYTORCH, {"batch_norm_epsilon": _TENSORFLOW_EPSILON}
            lite = not any(name.endswith("._se_reduce.weight") for name in tensors.arrays)
            config = config_of_tensors(tensors, names, size, padding="same", **settings)
            pixels = _LITE_PIXELS if lite else IMAGENET
            config = dataclasses.replace(config, activation="relu6" if lite else "silu")
        else:
            names, pixels = TORCHVISION, IMAGENET
            config = config_of_tensors(tensors, names, size, padding="half")
            deep = config.depths[0] >= _DEPTH_OF_B5  # torchvision ports B5 to B7 from TensorFlow
            epsilon = _TENSORFLOW_EPSILON if deep else _TORCH_EPSILON
            config = dataclasses.replace(config, batch_norm_epsilon=epsilon)
        if config.channels != 3:
            raise ValueError(
                f"{tensors.where} holds an EfficientNet for images of {config.channels} channels, "
                "and nothing says how pixels are normalised: put it into a folder as "
                "model.safetensors, under timm's or efficientnet_pytorch's names, with an "
                'encoder.json such as {"architecture": "tf_efficientnet_b0", "mean": ..., '
                '"deviation": ...}'
            )
        return read_efficientnet(tensors, names, config, pixels)


def _of_transformers(
    configuration: Mapping[str, Any], image_size: int | None, where: str
) -> EfficientNetConfig:
    lists = {name: _numbers(configuration, name, default) for name, default in _LISTS.items()}
    lengths = {len(values) for values in lists.values()}
    if len(lengths) != 1:
        raise ValueError(f"{where}: {', '.join(_LISTS)} must have one number for each stage")
    width = positive_number(configuration, "width_coefficient", 2.0, where)
    depth = positive_number(configuration, "depth_coefficient", 3.1, where)
    divisor = whole_number({"depth_divisor": 8, **configuration}, "depth_divisor", where)
    activation = configuration.get("hidden_act", "swish")
    activation = "silu" if activation == "swish" else activation
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"{where}: hidden_act is {activation!r}; only swish, {', '.join(ACTIVATIONS)} can be "
            "read"
        )
    stem = _rounded(32, width, divisor)
    widths = [_rounded(outputs, width, divisor) for outputs in lists["out_channels"]]
    inputs = [_rounded(number, width, divisor) for number in lists["in_channels"]]
    if inputs != [stem, *widths[:-1]]:
        raise ValueError(
            f"{where}: in_channels {lists['in_channels']} are not the outputs of the stages before"
        )
    head = _rounded(1280, width, divisor)
    if configuration.get("hidden_dim", 2560) != head:
        raise ValueError(
            f"{where}: hidden_dim is {configuration.get('hidden_dim', 2560)!r}, the width "
            f"coefficient gives {head}"
        )
    for stride, one, other in zip(lists["strides"], inputs, widths):
        if stride == 1 and one == other:
            raise ValueError(
                f"{where}: a stage with the width of the one before, {one}, and stride 1 cannot be "
                "read: transformers does not add its first block's input"
            )
    size = configuration.get("image_size", 600)
    padding = _numbers(configuration, "depthwise_padding", [], least=0)
    return EfficientNetConfig(
        image_size=image_size or whole_number({"image_size": size}, "image_size", where),
        channels=whole_number({"num_channels": 3, **configuration}, "num_channels", where),
        stem_width=stem,
        depths=tuple(math.ceil(depth * repeats) for repeats in lists["num_block_repeats"]),
        widths=tuple(widths),
        kernels=tuple(lists["kernel_sizes"]),
        expansions=tuple(lists["expand_ratios"]),
        stage_strides=tuple(lists["strides"]),
        head_width=head,
        squeeze=positive_number(configuration, "squeeze_expansion_ratio", 0.25, where),
        activation=cast(Any, activation),
        padding="after",
        symmetric_blocks=tuple(padding),
        batch_norm_epsilon=positive_number(configuration, "batch_norm_eps", 1e-3, where),
    )


def _rounded(channels: int, coefficient: float, divisor: int) -> int:
    """transformers' round_filters: the nearest multiple, at most a tenth smaller."""
    wide = channels * coefficient
    rounded = max(divisor, int(wide + divisor / 2) // divisor * divisor)
    return int(rounded + divisor if rounded < 0.9 * wide else rounded)


def _numbers(
    configuration: Mapping[str, Any], name: str, default: list[int], least: int = 1
) -> list[int]:
    values = configuration.get(name, default)
    if not isinstance(values, list) or not all(
        type(value) is int and value >= least for value in values
    ):
        raise ValueError(f"{name} is {values!r}; it must be a list of whole numbers from {least}")
    return values


def _transformers_pixels(stored: StoredNetwork) -> PixelNormalisation | None:
    """As EfficientNetImageProcessor normalises them: it may subtract 1, and divide twice."""
    pixels, settings = stored.preprocessor_normalisation(), stored.preprocessor_settings()
    if pixels is None or stored.description.mean is not None or settings is None:
        return pixels
    means, deviations = pixels
    if settings.get("rescale_offset", False) and is_done(settings, "do_rescale"):
        factor = 255 * positive_number(settings, "rescale_factor", 1 / 255, stored.where)
        means = tuple(mean + 1 / factor for mean in means)
    of_efficientnet = str(settings.get("image_processor_type")).startswith("EfficientNet")
    if settings.get("include_top", of_efficientnet):
        again = settings.get("image_std")
        again = normalisation(again, again, 1.0, stored.folder)
        if again is None:
            raise ValueError(f"{stored.folder}: include_top divides by image_std, which is missing")
        count = max(len(deviations), len(again[1]))
        first, second = (
            values * count if len(values) == 1 else values for values in (deviations, again[1])
        )
        deviations = tuple(one * two for one, two in zip(first, second, strict=True))
        means = means * count if len(means) == 1 else means
    return means, deviations
