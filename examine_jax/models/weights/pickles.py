"""Files that are no safetensors: what they are, and the line that converts them.

Nothing is unpickled. A pickle's instructions are listed (pickletools), which runs none of them.
"""

import pathlib
import pickletools
import shlex
import zipfile
from collections.abc import Iterator
from typing import Any, BinaryIO

PICKLES = (".pth", ".pt", ".bin", ".pkl", ".ckpt", ".tar", ".pickle")
_KERAS = (".h5", ".hdf5", ".keras")
_OTHERS = {".msgpack": "Flax", ".onnx": "ONNX", ".npz": "NumPy", ".tflite": "TensorFlow Lite"}
_MOST_READ = 1 << 24  # bytes of a pickle's instructions
# Where trainings keep a network's state beside an optimiser's, tried in turn, each within the last.
_STATES = ("teacher", "model_ema", "model", "model_ema", "module", "state_dict")


def refuse_pickle(file: pathlib.Path) -> None:
    """Raises a ValueError with the conversion to run, unless the file's suffix is another one."""
    suffix = file.suffix.lower()
    if suffix in _KERAS:
        raise ValueError(
            f"{file} is a Keras file (HDF5), which is not read here, and no line converts its "
            "names; take the owner's safetensors or PyTorch file of the same encoder"
        )
    if suffix in _OTHERS:
        raise ValueError(
            f"{file} is a {_OTHERS[suffix]} file, which is not read here; take the owner's "
            "safetensors or PyTorch file of the same encoder"
        )
    if suffix in PICKLES:
        raise ValueError(
            f"{file} may be a pickle, which is never read here; convert it where torch is "
            f"installed: python -c {shlex.quote(_conversion(file))}"
        )


def refuse_pickled_shards(index: pathlib.Path) -> None:
    """Raises a ValueError with the line that converts all pickles that an index lists."""
    pattern = str(index.parent / index.name.replace(".bin.index.json", "-*.bin"))
    program = (
        "import torch, glob, safetensors.torch as s; "
        f"d = {{k: v for f in sorted(glob.glob({pattern!r})) for k, v in "
        "torch.load(f, map_location='cpu', weights_only=True).items()}; "
        + _save("d", index.parent / "model.safetensors")
    )
    raise ValueError(
        f"{index} lists pickles, which are never read here; convert them where torch is "
        f"installed: python -c {shlex.quote(program)}"
    )


def _conversion(file: pathlib.Path) -> str:
    """The Python program that converts a pickle, by the classes that the file names."""
    target = file.with_name(_TARGETS.get(file.name, f"{file.stem}.safetensors"))
    classes = _classes(file)
    others = sorted(name for name in classes if not name.startswith(_PLAIN))
    modules = any(name.startswith("torch.nn.modules.") for name in classes)
    load, comment = f"torch.load({str(file)!r}, map_location='cpu', weights_only=True)", ""
    if modules or others:  # torch reads no such file without running what it names
        load = load.replace("weights_only=True", "weights_only=False")
        named = ", ".join(others[:3]) or "torch.nn.modules"
        comment = f"  # it names {named}, whose code then runs: only if you trust the file"
    safe = ""
    if "argparse.Namespace" in classes and not comment:
        safe = "import argparse; torch.serialization.add_safe_globals([argparse.Namespace]); "
    state = f"d = {load}; d = d.state_dict() if isinstance(d, torch.nn.Module) else d; "
    choice = (
        "d = functools.reduce(lambda d, k: d[k] if isinstance(d.get(k), dict) else d, "
        f"{_STATES!r}, d); "
    )
    return (
        f"import torch, functools, safetensors.torch as s; {safe}{state}{choice}"
        f"{_save('d', target)}{comment}"
    )


_TARGETS = {
    "pytorch_model.bin": "model.safetensors",
    "open_clip_pytorch_model.bin": "open_clip_model.safetensors",
}
# Classes that torch loads with weights_only=True, Namespace once it is told so.
_PLAIN = ("torch.", "collections.OrderedDict", "argparse.Namespace")


def _save(state: str, target: pathlib.Path) -> str:
    # Names that data-parallel training put "module." before lose it. Tensors that share memory are
    # copied, since safetensors refuses them.
    return (
        "s.save_file({k.removeprefix('module.'): v.contiguous().clone() for k, v in "
        f"{state}.items() if torch.is_tensor(v)}}, {str(target)!r}, metadata={{'format': 'pt'}})"
    )


def _classes(file: pathlib.Path) -> set[str]:
    """The classes and functions that a pickle names, "module.name"; fewer if it is damaged."""
    names: set[str] = set()
    recent: list[str] = []
    try:
        with file.open("rb") as stream:
            for operation, argument in _instructions(stream):
                if operation == "GLOBAL":
                    names.add(argument.replace(" ", "."))
                elif operation == "STACK_GLOBAL":
                    names.add(".".join(recent))
                elif "UNICODE" in operation:
                    recent = [*recent[-1:], argument]
    except Exception:  # A damaged file gets the common line, and torch says what is wrong.
        pass
    return names


def _instructions(stream: BinaryIO) -> Iterator[tuple[str, Any]]:
    """(name, argument) of a PyTorch file's pickled instructions, in the old form and the new."""
    if zipfile.is_zipfile(stream):
        with zipfile.ZipFile(stream) as archive:
            name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            with archive.open(name) as member:
                yield from _listed(member)
        return
    stream.seek(0)
    for _ in range(4):  # a magic number, a version, the system, and then the object
        yield from _listed(stream)


def _listed(stream: Any) -> Iterator[tuple[str, Any]]:
    count = 0
    for operation, argument, _ in pickletools.genops(stream):
        count += len(argument) + 1 if isinstance(argument, str | bytes) else 1
        if count > _MOST_READ:
            return
        yield operation.name, argument
