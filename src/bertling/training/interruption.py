"""SIGTERM and Ctrl-C: training takes a checkpoint at the end of its step first; all else ends at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from transformers import TrainerCallback

from bertling.errors import Interrupted

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """A handler of signals: raises `Interrupted`, or notes them while training can take a checkpoint."""

    def __init__(self) -> None:
        self.asked: int | None = None
        """the signal that came and is waiting for a checkpoint"""
        self._training = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """What ``signal.signal`` wants; the second signal no longer waits.

        Raises:
            Interrupted: now, where there is no step to wait for.
        """
        if not self._training or self.asked is not None:
            raise Interrupted(number)
        self.asked = number

    @contextmanager
    def after_a_checkpoint(self) -> Iterator[TrainerCallback]:
        """While this lasts, signals wait; the callback takes the checkpoint and raises `Interrupted`."""
        self._training = True
        try:
            yield _CheckpointFirst(self)
        finally:
            self._training = False
        if self.asked is not None:  # after the last step
            raise Interrupted(self.asked)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Handle SIGTERM and Ctrl-C by an `Interruption`; not outside the main thread, where Python cannot."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.signal(number, interruption) for number in _SIGNALS}
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _CheckpointFirst(TrainerCallback):
    def __init__(self, interruption: Interruption) -> None:
        self._interruption = interruption

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._interruption.asked is not None:
            control.should_save = True

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        # The Trainer calls it when the checkpoint is whole.
        if self._interruption.asked is not None:
            raise Interrupted(self._interruption.asked)
