"""metrics.jsonl: one line a step, in order, none twice."""

import json
import math
import pathlib
from collections.abc import Sequence

from examine_jax.common.atomic_files import write_text

Record = dict[str, int | float]


def read_history(file: pathlib.Path, steps: int) -> list[Record]:
    """The records of the first `steps` steps; a line that a kill or a full disk cut short ends them. null is nan, which JSON has not."""
    records: list[Record] = []
    if not file.exists():
        return records
    for line in file.read_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not isinstance(record, dict) or record.get("step", 0) > steps:
            break
        records.append({name: math.nan if value is None else value for name, value in record.items()})
    return records


def write_history(file: pathlib.Path, records: Sequence[Record]) -> None:
    """Makes these the file's only records, so that the steps to come are not in it twice."""
    write_text(file, "".join(_line(record) for record in records))


def append_history(file: pathlib.Path, records: Sequence[Record]) -> None:
    """Adds whole lines in one write.

    Raises:
        OSError: the disk is full or the folder gone; one line that names the file.
    """
    try:
        with file.open("ab") as stream:
            stream.write("".join(_line(record) for record in records).encode())
    except OSError as error:
        failure = type(error)(f"cannot write {file}: {error.strerror or error}; make room and start the run again")
        failure.errno = error.errno
        raise failure from error


def _line(record: Record) -> str:
    finite = {name: value if math.isfinite(value) else None for name, value in record.items()}
    return json.dumps(finite) + "\n"
