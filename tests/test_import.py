"""What `import examine_jax` brings, and what it does not."""

import subprocess
import sys

import pytest

import examine_jax

HEAVY = [
    "flax",
    "optax",
    "orbax",
    "PIL",
    "skimage",
    "sklearn",
    "scipy",
    "matplotlib",
    "absl.flags",
    "tqdm",
    "jinja2",
    "pyarrow",
    "safetensors",
]


def in_a_new_process(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_scorer_imports_with_jax_and_numpy_alone() -> None:
    code = f"""
import sys, jax
brought_by_jax = set(sys.modules)
import examine_jax
examine_jax.examine
heavy = [name for name in {HEAVY!r} if name in sys.modules and name not in brought_by_jax]
print(heavy)
"""
    assert in_a_new_process(code) == "[]"


def test_importing_starts_no_backend() -> None:
    code = (
        "import jax, examine_jax; from jax._src import xla_bridge; print(len(xla_bridge._backends))"
    )
    assert in_a_new_process(code) == "0"


def test_it_scores_where_nothing_else_is_installed() -> None:
    code = f"""
import sys
for name in {[*HEAVY, "jaxtyping", "beartype"]!r}:
    sys.modules.setdefault(name, None) if not name.startswith("scipy") else None
import numpy as np
from examine_jax import examine
print(float(examine(np.eye(3, dtype=np.float32)).singular_value))
"""
    assert in_a_new_process(code) == "1.0"


def test_a_star_import_works_where_nothing_else_is_installed() -> None:
    code = f"""
import sys
for name in {[*HEAVY, "jaxtyping", "beartype"]!r}:
    sys.modules.setdefault(name, None) if not name.startswith("scipy") else None
from examine_jax import *
print(examine.__name__, "load_encoder" in globals())
"""
    assert in_a_new_process(code) == "examine False"


def test_a_star_import_has_every_name_where_all_is_installed() -> None:
    assert {"examine", "load_encoder", "train_encoder"} <= set(examine_jax.__all__)
    assert set(examine_jax.__all__) == set(dir(examine_jax))


@pytest.mark.parametrize("name", dir(examine_jax))
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(examine_jax, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = examine_jax.nothing_such  # type: ignore[attr-defined]
