"""The log of a run: metrics.jsonl, TensorBoard's event files and the progress bar."""

import json
import math
import pathlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from examine_jax.common.atomic_files import write_text
from examine_jax.common.processes import is_first, wait_for_all
from examine_jax.common.progress import bar

Record = dict[str, int | float]
"""The metrics of one step, "step" among them."""

Log = Callable[[Sequence[Record]], None]


@contextmanager
def open_log(
    workdir: pathlib.Path, done: int, total: int, *, tensorboard: bool, progress: bool
) -> Iterator[tuple[list[Record], Log]]:
    """(history, log) of a run of `total` steps. An earlier process has computed the first `done`.

    log(records) appends the records of the next steps to the history and to all outputs. Of several
    processes, only the first one writes and shows them.
    """
    file = workdir / "metrics.jsonl"
    history = read_history(file, done)
    wait_for_all("history")
    if not is_first():
        yield history, history.extend
        return
    write_history(file, history)
    with ExitStack() as stack:
        write_events = (
            stack.enter_context(event_file(workdir / "tensorboard", done)) if tensorboard else None
        )
        shown = stack.enter_context(
            bar(total=total, initial=done, unit="step", desc="training", disable=not progress)
        )

        def log(records: Sequence[Record]) -> None:
            append_history(file, records)
            history.extend(records)
            if write_events is not None:
                write_events(records)
            if records:
                last = records[-1]
                rate = f"loss {last['loss']:.4f}, {last['images_per_second']:.0f} images/s"
                shown.set_postfix_str(rate, refresh=False)
                shown.update(len(records))

        yield history, log


def read_history(file: pathlib.Path, steps: int) -> list[Record]:
    """The records of the first `steps` steps, one per line.

    Reading stops at a line that is not JSON: a kill or a full disk truncated it. NaN is stored as
    null, because JSON has no NaN.
    """
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
        records.append(
            {name: math.nan if value is None else value for name, value in record.items()}
        )
    return records


def write_history(file: pathlib.Path, records: Sequence[Record]) -> None:
    """Replaces the file by these records."""
    write_text(file, "".join(_line(record) for record in records))


def append_history(file: pathlib.Path, records: Sequence[Record]) -> None:
    """Adds whole lines in one write.

    Raises:
        OSError: the disk is full, or the folder is missing. The message names the file.
    """
    try:
        with file.open("ab") as stream:
            stream.write("".join(_line(record) for record in records).encode())
    except OSError as error:
        failure = type(error)(
            f"cannot write {file}: {error.strerror or error}; free space and start the run again"
        )
        failure.errno = error.errno
        raise failure from error


def _line(record: Record) -> str:
    finite = {name: value if math.isfinite(value) else None for name, value in record.items()}
    return json.dumps(finite) + "\n"


@contextmanager
def event_file(folder: pathlib.Path, done: int) -> Iterator[Callable[[Sequence[Record]], None]]:
    """A function write(records) for a new event file. It makes later steps of older files invalid.

    Later steps are those after `done`.

    Raises:
        ValueError: tensorboardX is not installed; it writes these files without TensorFlow.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ValueError(
            "TensorBoard's files need tensorboardX: pip install tensorboardX, or turn them off"
        ) from error

    def write(records: Sequence[Record]) -> None:
        for record in records:
            for name, value in record.items():
                if name != "step":
                    writer.add_scalar(name, value, int(record["step"]))
        writer.flush()

    writer = SummaryWriter(str(folder), purge_step=done + 1)
    try:
        yield write
    finally:
        writer.close()
