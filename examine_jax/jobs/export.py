"""The export job: writes an encoder in a format that others read."""

import dataclasses
import os
import pathlib
from typing import Literal

from examine_jax.common.settings import setting
from examine_jax.encoders.encoder import Encoder
from examine_jax.encoders.exports.card import ModelCard
from examine_jax.encoders.exports.export import Exported, check_free, export_encoder
from examine_jax.encoders.exports.registry import FORMATS, format_of
from examine_jax.encoders.settings import EncoderUse


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """What is exported, and how."""

    encoder: str = setting(
        help="A folder, ours or of transformers, timm or OpenCLIP; or a .safetensors file.",
        metavar="PATH",
        main=True,
    )
    format: str = setting(help="The layout of the files.", known=FORMATS, main=True)
    output: str = setting(help="The folder to write; it must be new.", metavar="FOLDER", main=True)
    feature: Literal["class_token", "patch_mean", "class_and_mean", "tokens"] | None = setting(
        None, "Which vector is the feature. If not given: the encoder's own.", main=True
    )
    layers: tuple[int, ...] = setting(
        (),
        "Blocks of a transformer (stages of a ResNet or ConvNeXt) from 1, whose features lie one "
        "after the other; in onnx and stablehlo. If not given: the last.",
        metavar="N,N",
    )
    licence: str | None = setting(
        None, "Under which you give it away, for the model card.", metavar="TEXT", main=True
    )
    trained_on: str | None = setting(
        None, "What images it was trained on, for the model card.", metavar="TEXT", main=True
    )


def export(settings: ExportSettings) -> Exported:
    """Writes an encoder's folder in a format, with a model card.

    Adapters are merged into their base. Nothing is written unless the files, as they are read back,
    give the encoder's features.

    Raises:
        ValueError: the encoder cannot be read; the format is unknown or cannot say the network; or
            the output is in the way. The message is one line with the reason and a remedy.
        ImportError: a package that writes this format is not installed.
        OSError: a file cannot be read or written.
    """
    chosen = format_of(settings.format)
    output = pathlib.Path(settings.output)
    if is_within(output, pathlib.Path(settings.encoder)):
        raise ValueError(
            f"output {output} is the encoder's own folder, or within it; name another folder"
        )
    check_free(output)
    use = EncoderUse(feature=settings.feature, layers=settings.layers)
    encoder: Encoder = use.load(settings.encoder)
    card = ModelCard(output.resolve().name, settings.licence, settings.trained_on)
    return export_encoder(output, encoder, chosen, card)


def is_within(path: pathlib.Path, folder: pathlib.Path) -> bool:
    """Whether a path is a folder or lies in it, also under another name or through a link."""
    inner, outer = (pathlib.Path(os.path.realpath(one)) for one in (path, folder))
    return inner == outer or outer in inner.parents
