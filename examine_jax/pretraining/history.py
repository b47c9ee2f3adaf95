"""metrics.jsonl: one line a step, in order, none twice."""

import json
import os
import pathlib
from collections.abc import Sequence

Record = dict[str, int | float]


def read_history(file: pathlib.Path, steps: int) -> list[Record]:
    """The records of the first `steps` steps; the file is cut to these, so that the steps to come are not in it twice.

    A line that a kill cut short is dropped with them.
    """
    if not file.exists():
        return []
    records = []
    for line in file.read_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not isinstance(record, dict) or record.get("step", 0) > steps:
            break
        records.append(record)
    kept = "".join(_line(record) for record in records)
    temporary = file.with_name(file.name + ".tmp")
    with temporary.open("w") as stream:
        stream.write(kept)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(file)
    return records


def append_history(file: pathlib.Path, records: Sequence[Record]) -> None:
    """Adds whole lines in one write."""
    with file.open("ab", buffering=0) as stream:
        stream.write("".join(_line(record) for record in records).encode())


def _line(record: Record) -> str:
    return json.dumps(record) + "\n"
