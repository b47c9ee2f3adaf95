"""Runs exported encoders in transformers, timm and onnxruntime, without this package.

PYTHON_WITH_TORCH benchmarks/quality/read_exports.py FOLDER

FOLDER has a folder for each export, NAME-FORMAT, and NAME.npz with pixels and features. Prints one
line of JSON: the largest difference of a feature, relative to the largest feature, by export. The
features are read as the export's model card says.
"""

import json
import pathlib
import re
import sys

import numpy as np


def features(folder: pathlib.Path, format: str, pixels: np.ndarray) -> np.ndarray:
    """What the library gives for uint8 pixels."""
    import torch

    described = json.loads((folder / "encoder.json").read_text())
    mean, deviation = (np.float32(described[name]) for name in ("mean", "deviation"))
    scaled = (pixels / np.float32(255) - mean) / deviation
    images = torch.from_numpy(scaled.astype(np.float32)).permute(0, 3, 1, 2).contiguous()
    if format == "timm":
        import timm

        model = timm.create_model(f"local-dir:{folder}", pretrained=True, num_classes=0).eval()
        told = timm.data.resolve_model_data_config(model)
        assert list(told["mean"]) == described["mean"], told
        assert told["input_size"][1] == pixels.shape[1], told
    else:
        from transformers import AutoModel

        model, report = AutoModel.from_pretrained(folder, output_loading_info=True)
        lacking = [name for name in report["missing_keys"] if "pooler" not in name]
        assert not lacking, report
        assert not report["unexpected_keys"], report
        model = model.eval()
    line = re.search(r"^features = (.*)$", (folder / "README.md").read_text(), re.MULTILINE)
    assert line is not None
    with torch.no_grad():
        outputs = model(images)
        return eval(line[1], {"torch": torch, "outputs": outputs}).numpy()  # noqa: S307


if __name__ == "__main__":
    found = {}
    for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
        name, _, format = folder.name.rpartition("-")
        if not folder.is_dir() or format not in ("timm", "transformers"):
            continue
        with np.load(folder.parent / f"{name}.npz") as stored:
            given = features(folder, format, stored["pixels"])
            wanted = stored["features"]
        found[folder.name] = float(np.abs(given - wanted).max() / np.abs(wanted).max())
    print(json.dumps(found))
