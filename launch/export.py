"""Writes a trained encoder for others: transformers, timm, ONNX or StableHLO, with a model card.

python -m launch.export --encoder=OUT/encoder --format=timm --output=FOLDER
python -m launch.export --encoder=OUT/encoder --format=onnx --output=FOLDER --licence=CC-BY-4.0
"""

import pathlib
import sys

from absl.flags import FlagValues

from .command import run
from .device import choose_device
from .flags import define, read


def main() -> None:
    run("examine-export", __doc__, define_flags, _job)


def define_flags(values: FlagValues) -> None:
    from examine_jax.jobs.export import ExportSettings

    define(values, ExportSettings)


def _job(values: FlagValues) -> None:
    from examine_jax.jobs.export import ExportSettings, export

    settings = read(values, ExportSettings)
    choose_device(
        values,
        pathlib.Path(settings.output).parent,
        alone="one process exports; leave --distributed out",
    )
    found = export(settings)
    checked = (
        "not read back (onnxruntime is not installed)"
        if found.difference is None
        else f"read back: features differ by {found.difference:.1e} of the largest at most"
    )
    print(f"{', '.join(found.files)}; {checked}; see {settings.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
