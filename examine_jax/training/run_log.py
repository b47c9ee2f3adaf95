"""What a run tells while it goes on: metrics.jsonl, TensorBoard's files, the bar."""

import pathlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import jax
from tqdm import tqdm

from examine_jax.training.devices import wait_for_all
from examine_jax.training.event_files import event_file
from examine_jax.training.history import Record, append_history, read_history, write_history

Tell = Callable[[Sequence[Record]], None]


@contextmanager
def recording(
    workdir: pathlib.Path, done: int, total: int, *, tensorboard: bool, progress: bool
) -> Iterator[tuple[list[Record], Tell]]:
    """(the records of the steps done so far, tell): tell takes the records of the steps after these, and appends them to the list.

    Of several processes the first one writes and shows.
    """
    file = workdir / "metrics.jsonl"
    history = read_history(file, done)
    wait_for_all("history")
    if jax.process_index() > 0:
        yield history, history.extend
        return
    write_history(file, history)
    with ExitStack() as stack:
        write_events = stack.enter_context(event_file(workdir / "tensorboard", done)) if tensorboard else None
        bar = stack.enter_context(
            tqdm(total=total, initial=done, unit="step", desc="pretraining", disable=not progress, dynamic_ncols=True)
        )

        def tell(records: Sequence[Record]) -> None:
            append_history(file, records)
            history.extend(records)
            if write_events is not None:
                write_events(records)
            if records:
                last = records[-1]
                shown = f"loss {last['loss']:.4f}, {last['images_per_second']:.0f} images/s"
                bar.set_postfix_str(shown, refresh=False)
                bar.update(len(records))

        yield history, tell
