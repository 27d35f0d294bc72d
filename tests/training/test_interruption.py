"""SIGTERM and Ctrl-C while something trains, and while nothing does."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.training import killed_run, toy
from transformers import TrainerCallback

from bertling.errors import Interrupted
from bertling.training.checkpoints import last_whole_checkpoint
from bertling.training.interruption import Interruption, interruptible

pytestmark = pytest.mark.faults


class Sends(TrainerCallback):
    """A signal in the middle of a step, so many times."""

    def __init__(self, number: int, *, step: int, times: int = 1) -> None:
        self._number, self._step, self._times = number, step, times

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step + 1 == self._step:
            for _ in range(self._times):
                os.kill(os.getpid(), self._number)


def train(trainer: toy.ToyTrainer, interruption: Interruption) -> None:
    with interruption.after_a_checkpoint() as callback:
        trainer.add_callback(callback)
        trainer.train()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("step", [4, 9])  # no step of a checkpoint; the last one
def test_training_takes_a_checkpoint_of_the_step_and_goes_on_from_there(
    tmp_path: Path, number: signal.Signals, step: int
) -> None:
    whole = killed_run.run(tmp_path / "undisturbed")
    whole.train()
    with interruptible() as interruption:
        trainer = killed_run.run(tmp_path / "ended", (Sends(number, step=step),))
        with pytest.raises(Interrupted) as caught:
            train(trainer, interruption)
    assert caught.value.signal == number
    checkpoint = last_whole_checkpoint(tmp_path / "ended")
    assert checkpoint == tmp_path / "ended" / f"checkpoint-{step}"
    again = killed_run.run(tmp_path / "ended")
    again.train(resume_from_checkpoint=str(checkpoint))
    toy.assert_equal(toy.weights_of(again.trained), toy.weights_of(whole.trained))


def test_the_second_signal_does_not_wait(tmp_path: Path) -> None:
    with interruptible() as interruption:
        trainer = killed_run.run(tmp_path, (Sends(signal.SIGTERM, step=4, times=2),))
        with pytest.raises(Interrupted):
            train(trainer, interruption)
    assert last_whole_checkpoint(tmp_path) == tmp_path / "checkpoint-3"


def test_what_comes_after_the_last_step_ends_the_run_all_the_same() -> None:
    with interruptible() as interruption, pytest.raises(Interrupted), interruption.after_a_checkpoint():
        os.kill(os.getpid(), signal.SIGTERM)


def test_outside_of_training_a_signal_ends_the_run_at_once() -> None:
    with interruptible(), pytest.raises(Interrupted, match="signal 15"):
        os.kill(os.getpid(), signal.SIGTERM)


def test_the_handlers_from_before_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with interruptible():
        assert signal.getsignal(signal.SIGTERM) is not before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_another_thread_leaves_the_handlers_alone() -> None:
    before, seen = signal.getsignal(signal.SIGTERM), []

    def inside() -> None:
        with interruptible():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [before]
