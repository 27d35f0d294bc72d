"""Progress of a training stage: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from transformers import TrainerCallback

_SECONDS_BETWEEN_LINES = 30.0


class ProgressLine(TrainerCallback):
    """Shows steps, loss, tokens, their rate and the time left; in the main process only.

    Args:
        console: where to; a bar if it is a terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._bar_task: TaskID | None = None
        self._first_step = self._first_tokens = 0
        self._started = self._last_line = 0.0
        self._loss = ""

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        self._first_step, self._first_tokens = state.global_step, state.num_input_tokens_seen
        self._started = self._last_line = time.monotonic()
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("             "),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.description}"),
                TextColumn("left"),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=self._console,
                transient=True,
            )
            self._bar.start()
            self._bar_task = self._bar.add_task("", total=state.max_steps, completed=state.global_step)

    def on_log(
        self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any
    ) -> None:
        if logs and "loss" in logs:
            self._loss = f"loss {logs['loss']:.4g}"

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not state.is_world_process_zero:
            return
        now = time.monotonic()
        elapsed = max(now - self._started, 1e-9)
        seen = state.num_input_tokens_seen
        tokens = f"{seen:,} tokens, {(seen - self._first_tokens) / elapsed:,.0f}/s"
        if self._bar is not None and self._bar_task is not None:
            shown = "  ".join(filter(None, (self._loss, tokens)))
            self._bar.update(self._bar_task, completed=state.global_step, description=shown)
        elif now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            pace = elapsed / (state.global_step - self._first_step)
            left = timedelta(seconds=round(pace * (state.max_steps - state.global_step)))
            self._console.print(
                f"{'':>14}step {state.global_step} of {state.max_steps}  {self._loss}  {tokens}  {left} left",
                soft_wrap=True,
            )

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.close()

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
