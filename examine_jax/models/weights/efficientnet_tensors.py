"""EfficientNets' tensors under the names of timm, torchvision, transformers and others."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from examine_jax.common.on_device import on_device
from examine_jax.common.shapes import PyTree
from examine_jax.models.efficientnet import EfficientNetConfig
from examine_jax.models.weights.convolutions import batch_norm, convolution, pointwise
from examine_jax.models.weights.imported import ImportedNetwork, PixelNormalisation
from examine_jax.models.weights.tensors import Tensors

_CLASSIFIERS = r"(classifier|_fc|fc)\."
_STAGES = 7


@dataclasses.dataclass(frozen=True)
class EfficientNetNames:
    """A library's names.

    Attributes:
        library: for messages.
        ends: of "stem", "stem_norm", "head" and "head_norm".
        block: what a block's names begin with, with `{stage}` and `{block}`, or `{number}` over all
            stages.
        parts: of a block's "expand", "expand_norm", "depthwise", "depthwise_norm", "reduce",
            "restore", "project" and "project_norm".
        unexpanded: these in a block without expansion, where they differ.
        first_stage: the number of the first stage.
    """

    library: str
    ends: Mapping[str, str]
    block: str
    parts: Mapping[str, str]
    unexpanded: Mapping[str, str] = dataclasses.field(default_factory=dict)
    first_stage: int = 0

    def recognises(self, tensors: Tensors) -> bool:
        """Whether tensors have these names."""
        return f"{self.ends['stem']}.weight" in tensors.arrays


TIMM = EfficientNetNames(
    "timm",
    {"stem": "conv_stem", "stem_norm": "bn1", "head": "conv_head", "head_norm": "bn2"},
    "blocks.{stage}.{block}.",
    {
        **{"expand": "conv_pw", "expand_norm": "bn1"},
        **{"depthwise": "conv_dw", "depthwise_norm": "bn2"},
        **{"reduce": "se.conv_reduce", "restore": "se.conv_expand"},
        **{"project": "conv_pwl", "project_norm": "bn3"},
    },
    {"depthwise_norm": "bn1", "project": "conv_pw", "project_norm": "bn2"},
)
TORCHVISION = EfficientNetNames(
    "torchvision",
    {
        **{"stem": "features.0.0", "stem_norm": "features.0.1"},
        **{"head": "features.8.0", "head_norm": "features.8.1"},
    },
    "features.{stage}.{block}.block.",
    {
        **{"expand": "0.0", "expand_norm": "0.1", "depthwise": "1.0", "depthwise_norm": "1.1"},
        **{"reduce": "2.fc1", "restore": "2.fc2", "project": "3.0", "project_norm": "3.1"},
    },
    {
        **{"depthwise": "0.0", "depthwise_norm": "0.1", "reduce": "1.fc1", "restore": "1.fc2"},
        **{"project": "2.0", "project_norm": "2.1"},
    },
    first_stage=1,
)
EFFICIENTNET_PYTORCH = EfficientNetNames(
    "efficientnet_pytorch",
    {"stem": "_conv_stem", "stem_norm": "_bn0", "head": "_conv_head", "head_norm": "_bn1"},
    "_blocks.{number}.",
    {
        **{"expand": "_expand_conv", "expand_norm": "_bn0"},
        **{"depthwise": "_depthwise_conv", "depthwise_norm": "_bn1"},
        **{"reduce": "_se_reduce", "restore": "_se_expand"},
        **{"project": "_project_conv", "project_norm": "_bn2"},
    },
)


def transformers_names(tensors: Tensors) -> EfficientNetNames:
    """transformers' names, with what they begin with in a file."""
    prefix = "efficientnet."
    if not any(name.startswith(prefix) for name in tensors.arrays):
        prefix = ""
    return EfficientNetNames(
        "transformers",
        {
            "stem": f"{prefix}embeddings.convolution",
            "stem_norm": f"{prefix}embeddings.batchnorm",
            "head": f"{prefix}encoder.top_conv",
            "head_norm": f"{prefix}encoder.top_bn",
        },
        prefix + "encoder.blocks.{number}.",
        {
            **{"expand": "expansion.expand_conv", "expand_norm": "expansion.expand_bn"},
            "depthwise": "depthwise_conv.depthwise_conv",
            "depthwise_norm": "depthwise_conv.depthwise_norm",
            **{"reduce": "squeeze_excite.reduce", "restore": "squeeze_excite.expand"},
            **{"project": "projection.project_conv", "project_norm": "projection.project_bn"},
        },
    )


def read_efficientnet(
    tensors: Tensors,
    names: EfficientNetNames,
    config: EfficientNetConfig,
    pixels: PixelNormalisation,
) -> ImportedNetwork:
    """A network from its tensors.

    Raises:
        ValueError: a tensor is missing, misshapen or left over.
    """
    params, stats = _variables(tensors, names, config)
    tensors.refuse_unused(_CLASSIFIERS)
    params, stats = on_device((params, stats))
    return ImportedNetwork(config, params, stats, *pixels)


def config_of_tensors(
    tensors: Tensors, names: EfficientNetNames, image_size: int, **settings: Any
) -> EfficientNetConfig:
    """The network whose shapes tensors have.

    Args:
        tensors: the state dict.
        names: theirs.
        image_size: side of the images.
        settings: further fields of the configuration, which shapes do not tell.

    Raises:
        ValueError: they are no EfficientNet's with seven stages (V2 has others).
    """
    stem = _shape(tensors, names.ends["stem"])
    stages: list[list[tuple[int, int, int, int]]] = []
    number, inputs = 0, stem[0]
    while (found := _next_block(tensors, names, stages, number)) is not None:
        stage, prefix = found
        shapes = _block_shapes(tensors, names, prefix, inputs)
        # Blocks that are numbered over all stages begin a stage where the width changes.
        if stage == len(stages) or ("{number}" in names.block and shapes[3] != inputs):
            stages.append([])
        stages[-1].append(shapes)
        number, inputs = number + 1, shapes[3]
    if len(stages) != _STAGES:
        raise ValueError(
            f"{tensors.where} has {len(stages)} stages of an EfficientNet; those that can be read "
            f"(B0 to B8, L2, Lite) have {_STAGES}"
        )
    squeeze = None
    prefix = _prefix(names, 0, 0, 0)
    reduce = tensors.arrays.get(f"{prefix}{_parts(names, stages[0][0][1])['reduce']}.weight")
    if reduce is not None:
        squeeze = reduce.shape[0] / stages[0][0][0]
    return EfficientNetConfig(
        image_size=image_size,
        channels=stem[1],
        stem_width=stem[0],
        depths=tuple(len(blocks) for blocks in stages),
        widths=tuple(blocks[0][3] for blocks in stages),
        kernels=tuple(blocks[0][2] for blocks in stages),
        expansions=tuple(blocks[0][1] for blocks in stages),
        head_width=_shape(tensors, names.ends["head"])[0],
        squeeze=squeeze,
        **settings,
    )


def _next_block(
    tensors: Tensors, names: EfficientNetNames, stages: list[list[Any]], number: int
) -> tuple[int, str] | None:
    """(stage, what its names begin with) of the block after those of `stages`."""
    places = [(len(stages) - 1, len(stages[-1]))] if stages else []
    for stage, block in (*places, (len(stages), 0)):
        prefix = _prefix(names, stage, block, number)
        if any(name.startswith(prefix) for name in tensors.arrays):
            return stage, prefix
    return None


def _prefix(names: EfficientNetNames, stage: int, block: int, number: int) -> str:
    return names.block.format(stage=stage + names.first_stage, block=block, number=number)


def _parts(names: EfficientNetNames, expansion: int) -> Mapping[str, str]:
    return names.parts if expansion > 1 else {**names.parts, **names.unexpanded}


def _shape(tensors: Tensors, name: str) -> tuple[int, ...]:
    array = tensors.arrays.get(f"{name}.weight")
    if array is None or array.ndim != 4 or 0 in array.shape:
        found = "lacks" if array is None else f"has {list(array.shape)} for"
        raise ValueError(f"{tensors.where} {found} the tensor {name}.weight of an EfficientNet")
    return array.shape


def _block_shapes(
    tensors: Tensors, names: EfficientNetNames, prefix: str, inputs: int
) -> tuple[int, int, int, int]:
    """(input, expansion, kernel, output) of a block."""
    # A block without expansion lacks the last of the names.
    expanded = f"{prefix}{names.parts['project_norm']}.weight" in tensors.arrays
    if not names.unexpanded:
        expanded = f"{prefix}{names.parts['expand']}.weight" in tensors.arrays
    parts = _parts(names, 2 if expanded else 1)
    depthwise = _shape(tensors, prefix + parts["depthwise"])
    if depthwise[1] != 1 or depthwise[0] % inputs:
        raise ValueError(
            f"{tensors.where}: the tensor {prefix}{parts['depthwise']}.weight is "
            f"{list(depthwise)}, no convolution of each channel by itself after {inputs} channels: "
            "it is no EfficientNet that can be read (B0 to B8, L2, Lite; V2 is another)"
        )
    outputs = _shape(tensors, prefix + parts["project"])[0]
    return inputs, depthwise[0] // inputs, depthwise[2], outputs


def _variables(
    tensors: Tensors, names: EfficientNetNames, config: EfficientNetConfig
) -> tuple[PyTree, PyTree]:
    params: dict[str, Any] = {}
    stats: dict[str, Any] = {}
    ends = names.ends
    params["stem"] = convolution(tensors, ends["stem"], config.channels, config.stem_width, 3)
    params["stem_norm"], stats["stem_norm"] = batch_norm(
        tensors, ends["stem_norm"], config.stem_width
    )
    number, inputs = 0, config.stem_width
    for stage, depth in enumerate(config.depths):
        for i in range(depth):
            prefix = _prefix(names, stage, i, number)
            ours = f"stage_{stage}_block_{i}"
            params[ours], stats[ours] = _block(tensors, names, prefix, config, stage, inputs)
            number, inputs = number + 1, config.widths[stage]
    params["head"] = convolution(tensors, ends["head"], inputs, config.head_width, 1)
    params["head_norm"], stats["head_norm"] = batch_norm(
        tensors, ends["head_norm"], config.head_width
    )
    return params, stats


def _block(
    tensors: Tensors,
    names: EfficientNetNames,
    prefix: str,
    config: EfficientNetConfig,
    stage: int,
    inputs: int,
) -> tuple[PyTree, PyTree]:
    params: dict[str, Any] = {}
    stats: dict[str, Any] = {}
    expansion, size, outputs = (
        config.expansions[stage],
        config.kernels[stage],
        config.widths[stage],
    )
    parts, wide = _parts(names, expansion), expansion * inputs

    def norm(name: str, width: int) -> None:
        params[name], stats[name] = batch_norm(tensors, prefix + parts[name], width)

    if expansion > 1:
        params["expand"] = convolution(tensors, prefix + parts["expand"], inputs, wide, 1)
        norm("expand_norm", wide)
    kernel = convolution(tensors, prefix + parts["depthwise"], wide, wide, size, groups=wide)
    params["depthwise"] = kernel["kernel"]
    norm("depthwise_norm", wide)
    if config.squeeze is not None:
        hidden = max(1, int(inputs * config.squeeze))
        params["squeeze"] = {
            "reduce": pointwise(tensors, prefix + parts["reduce"], wide, hidden),
            "expand": pointwise(tensors, prefix + parts["restore"], hidden, wide),
        }
    params["project"] = convolution(tensors, prefix + parts["project"], wide, outputs, 1)
    norm("project_norm", outputs)
    return params, stats
