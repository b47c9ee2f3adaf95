"""Copies on the device: NumPy's values, and none of its memory."""

import pathlib

import jax
import ml_dtypes
import numpy as np

from examine_jax.common.on_device import on_device


def test_copies_have_the_values_and_share_no_memory() -> None:
    given = {
        "float": np.ones((64, 64), np.float32),
        "part": np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2],
        "half": np.ones(3, ml_dtypes.bfloat16),
        "aligned": _aligned(64),
        "empty": np.zeros((0, 3), np.float32),
        "none": None,
    }
    expected = {name: None if array is None else array.copy() for name, array in given.items()}
    copies = on_device(given)
    for array in given.values():
        if array is not None:
            array[...] = 7
    for name, array in expected.items():
        if array is None:
            assert copies[name] is None
            continue
        assert isinstance(copies[name], jax.Array)
        assert copies[name].dtype == array.dtype
        np.testing.assert_array_equal(copies[name], array)


def _aligned(count: int) -> np.ndarray:
    """Memory that JAX takes over without a copy, if it may."""
    memory = np.ones(4 * count + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + 4 * count].view(np.float32)


def test_a_memory_map_may_change_after_the_copy(tmp_path: pathlib.Path) -> None:
    mapped = np.memmap(tmp_path / "numbers", np.float32, "w+", shape=(1024,))
    mapped[:] = 2
    copy = jax.block_until_ready(on_device(mapped))
    mapped[:] = 7
    np.testing.assert_array_equal(copy, np.full(1024, 2, np.float32))


def test_what_overwrites_a_copy_leaves_the_array_as_it_was() -> None:
    first = jax.device_put(np.ones((64, 64), np.float32))
    copy = on_device(first)
    jax.jit(lambda x: x + 1, donate_argnums=0)(copy)
    assert copy.is_deleted()
    np.testing.assert_array_equal(first, np.ones((64, 64)))


def test_random_keys_stay_where_they_are() -> None:
    mesh = jax.make_mesh((1,), ("data",))
    for spec in (jax.P(), jax.P("data")):
        place = jax.sharding.NamedSharding(mesh, spec)
        keys = jax.device_put(jax.random.split(jax.random.key(0), 4), place)
        copy = on_device({"keys": keys})["keys"]
        assert copy.sharding == place
        jax.jit(lambda x: x, donate_argnums=0)(copy)
        assert copy.is_deleted()
        assert not keys.is_deleted()
    assert not on_device(jax.random.key(1)).committed


def test_float64_is_kept_where_64_bit_types_are_on() -> None:
    with jax.enable_x64(True):
        assert on_device(np.ones(3)).dtype == np.float64
    assert on_device(np.ones(3)).dtype == np.float32
