"""Divides a ResNet's or ConvNeXt's parameters into trained and frozen ones."""

import re

from examine_jax.common.shapes import PyTree


def split_frozen(params: PyTree, stages: int, batch_norms: bool) -> tuple[PyTree, PyTree]:
    """(trained, frozen) parameters of a ResNet or ConvNeXt; both have the network's nesting.

    Args:
        params: of the network.
        stages: the stem and this many stages are frozen; 0: neither the stem nor a stage.
        batch_norms: whether scales and shifts of all batch norms are frozen too.
    """
    trained, frozen = {}, {}
    for name, part in params.items():
        stage = re.match(r"(?:stage|downsample)_(\d+)", name)
        number = int(stage.group(1)) if stage else -1
        if (stages > 0 and number < stages) or (batch_norms and "norm" in name):
            frozen[name] = part
        elif batch_norms and stage:
            norms = {key: leaf for key, leaf in part.items() if "norm" in key}
            frozen[name] = norms
            trained[name] = {key: leaf for key, leaf in part.items() if key not in norms}
        else:
            trained[name] = part
    return trained, frozen


def merge_frozen(trained: PyTree, frozen: PyTree) -> PyTree:
    """The network's parameters; the inverse of `split_frozen`."""
    merged = dict(trained)
    for name, part in frozen.items():
        merged[name] = {**merged[name], **part} if name in merged else part
    return merged
