"""The formats in which an encoder is given away. A new one is a file here and a line below."""

from examine_jax.common.registry import lookup
from examine_jax.encoders.exports.export_format import ExportFormat
from examine_jax.encoders.exports.onnx_file import ONNX
from examine_jax.encoders.exports.other_libraries import Timm, Transformers, ViTMAE
from examine_jax.encoders.exports.stablehlo import StableHLO

FORMATS: dict[str, ExportFormat] = {
    one.name: one for one in (Transformers(), Timm(), ViTMAE(), ONNX(), StableHLO())
}


def format_of(name: str) -> ExportFormat:
    """The format of this name, or the value that `package.module:attribute` names.

    Raises:
        ValueError: there is none (says which there are).
    """
    found = lookup(name, FORMATS, "format")
    if not isinstance(found, ExportFormat):
        raise ValueError(f"format {name!r} is a {type(found).__name__}; it must be an ExportFormat")
    return found
