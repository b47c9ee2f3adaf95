"""How one of several processes ends by an error."""

import io
import os
import sys

import pytest

from examine_jax.common import ended_processes
from launch import leaving


def test_what_was_printed_before_the_error_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    piped = io.BytesIO()
    told: list[str] = []

    def end(code: int) -> None:
        assert piped.getvalue() == "größte Lücke\n".encode()
        raise SystemExit(code)

    monkeypatch.setattr(leaving, "is_joined", lambda: True)
    monkeypatch.setattr(leaving, "_print_of_several", lambda message: None)
    monkeypatch.setattr(ended_processes, "tell_others", told.append)
    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(piped, encoding="utf-8"))
    print("größte Lücke")
    with pytest.raises(SystemExit) as ended:
        leaving.leave("Traceback\nValueError: no image", 3)
    assert ended.value.code == 3
    assert told == ["ValueError: no image"]
    sys.stdout.close()  # a closed one is no error
    monkeypatch.setattr(os, "_exit", sys.exit)
    with pytest.raises(SystemExit):
        leaving.leave("again", 1)
