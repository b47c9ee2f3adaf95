"""A large block that was freed stays with the process, unless the user sets glibc's malloc."""

import ctypes
import os
import platform
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, sys
from launch.freed_memory import keep_freed_memory

class Blocks(ctypes.Structure):
    _fields_ = [(f"field_{n}", ctypes.c_size_t) for n in range(10)]  # hblks is the fourth

library = ctypes.CDLL(None)
library.mallinfo2.restype = Blocks
library.malloc.restype = ctypes.c_void_p
library.free.argtypes = [ctypes.c_void_p]
keep_freed_memory()
before = library.mallinfo2()
block = library.malloc(ctypes.c_size_t(2**27))
during = library.mallinfo2()
library.free(block)
after = library.mallinfo2()
print(during.field_3 - before.field_3, after.field_0 - before.field_0 >= 2**27)
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc" or not hasattr(ctypes.CDLL(None), "mallinfo2"),
    reason="this C library is no glibc that tells of its blocks",
)
@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "0 True"),
        ({"MALLOC_ARENA_MAX": "2"}, "1 False"),
        ({"GLIBC_TUNABLES": "glibc.malloc.arena_max=2"}, "1 False"),
    ],
)
def test_large_blocks_stay_unless_the_user_says_otherwise(environment, expected):
    own = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MALLOC_") and name != "GLIBC_TUNABLES"
    }
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=own | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        capture_output=True,
        text=True,
    )
    assert found.stdout.strip() == expected, found.stderr
