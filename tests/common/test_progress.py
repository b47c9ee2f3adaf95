"""Progress in a file or a pipe: few lines, each of which can be read."""

import io
import sys

import pytest

from examine_jax.common import progress
from examine_jax.common.progress import bar, progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """Time that passes by a second at each step."""
    now = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: now[0])
    return now


def run(steps, clock):
    with progress_bar("images", True) as report:
        report(0, steps)
        for done in range(1, steps + 1):
            clock[0] += 1
            report(done, steps)


def test_a_pipe_gets_a_line_every_half_minute_and_one_at_the_end(monkeypatch, clock):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    run(140, clock)
    lines = stream.getvalue().splitlines()
    assert "\r" not in stream.getvalue()
    assert [line.split("|")[2].split()[0] for line in lines] == [
        f"{done}/140" for done in (30, 60, 90, 120, 140)
    ]


def test_what_is_quick_is_one_line(monkeypatch, clock):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    run(7, clock)
    assert stream.getvalue().count("\n") == 1
    assert "7/7" in stream.getvalue()


def test_a_terminals_bar_is_drawn_over(monkeypatch, clock):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    run(5, clock)
    assert stream.getvalue().count("\r") >= 5
    assert stream.getvalue().count("\n") == 1


def test_no_progress_prints_nothing(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar("images", False) as report:
        report(1, 1)
    assert stream.getvalue() == ""
    assert progress.SECONDS_A_LINE == 30
    with bar(total=2, disable=True) as shown:
        shown.update(2)
