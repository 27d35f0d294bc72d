from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from bertling.training import progress
from bertling.training.progress import ProgressLine


def console(*, terminal: bool) -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    return Console(file=written, force_terminal=terminal, width=100), written


def run(line: ProgressLine, *, first: int = 0, last: int, main_process: bool = True) -> None:
    """Steps ``first`` + 1 to ``last`` of 10, each with its loss; training does not come to its end."""
    state = SimpleNamespace(
        is_world_process_zero=main_process,
        global_step=first,
        max_steps=10,
        num_input_tokens_seen=first * 5000,
    )
    line.on_train_begin(None, state, None)
    for step in range(first + 1, last + 1):
        state.global_step = step
        state.num_input_tokens_seen += 25_000
        line.on_step_end(None, state, None)
        line.on_log(None, state, None, logs={"loss": 12.34567 / step})
    line.on_log(None, state, None, logs={"train_runtime": 1.0})


def test_a_line_now_and_then_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten seconds a step: a line every three of them, from the pace since this process began."""
    times = iter(range(0, 1000, 10))
    monkeypatch.setattr("bertling.training.progress.time.monotonic", lambda: float(next(times)))
    out, written = console(terminal=False)
    run(ProgressLine(out), first=2, last=9)
    assert [line.split() for line in written.getvalue().splitlines()] == [
        ["step", "5", "of", "10", "loss", "3.086", "85,000", "tokens,", "2,500/s", "0:00:50", "left"],
        ["step", "8", "of", "10", "loss", "1.764", "160,000", "tokens,", "2,500/s", "0:00:20", "left"],
    ]


def test_a_bar_in_a_terminal_which_goes_away() -> None:
    out, written = console(terminal=True)
    line = ProgressLine(out)
    run(line, last=9)
    bar = line._bar
    assert bar is not None
    bar.refresh()
    assert "9/10" in written.getvalue()
    # The loss of step 8: that of a step is known only after it.
    assert "loss 1.543" in written.getvalue()
    assert "225,000 tokens," in written.getvalue()
    line.close()
    assert not bar.live.is_started
    line.close()


@pytest.mark.parametrize("terminal", [True, False])
def test_other_processes_are_silent(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SECONDS_BETWEEN_LINES", 0.0)
    out, written = console(terminal=terminal)
    run(ProgressLine(out), last=9, main_process=False)
    assert written.getvalue() == ""
