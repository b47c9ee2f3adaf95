"""JSON files in UTF-8, with limits and one-line errors."""

import json
import os
import stat
from typing import Any

from examine_jax.common.csv_lines import MAX_BYTES


def read_json(path: str | os.PathLike[str]) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: no plain file, one above 1 GiB, text that is not UTF-8 or not JSON, or that is
            nested too deeply.
        OSError: the file cannot be read.
    """
    where = os.fspath(path)
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise ValueError(f"{where}: no JSON ({error})") from error
    except RecursionError as error:
        raise ValueError(f"{where}: nested too deeply to be a file of boxes") from error
    except ValueError as error:  # a number of too many digits
        if str(error).startswith(where):
            raise
        raise ValueError(f"{where}: no JSON ({' '.join(str(error).split())})") from error


def read_text(path: str | os.PathLike[str], limit: int = MAX_BYTES) -> str:
    """The text of a file in UTF-8.

    Raises:
        ValueError: no plain file, one above the limit, or text that is not UTF-8.
        OSError: the file cannot be read.
    """
    where = os.fspath(path)
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{where}: not a plain file")
    if status.st_size > limit:
        raise ValueError(f"{where}: {status.st_size} bytes, more than the {limit} allowed")
    try:
        with open(path, encoding="utf-8-sig", newline="") as stream:
            return stream.read()
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: {' '.join(str(error).split())}; give text in UTF-8") from error
