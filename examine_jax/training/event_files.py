"""Records as TensorBoard's event files."""

import pathlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from examine_jax.training.history import Record


@contextmanager
def event_file(folder: pathlib.Path, done: int) -> Iterator[Callable[[Sequence[Record]], None]]:
    """write(records), into a new event file; what older files of the folder hold of steps after `done` no longer counts.

    Raises:
        ValueError: tensorboardX, which writes these files without TensorFlow, is not installed.
    """
    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise ValueError(
            "TensorBoard's files need tensorboardX: pip install tensorboardX, or do without them"
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
