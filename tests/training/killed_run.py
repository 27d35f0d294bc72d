"""What test_resume.py kills: trains in FOLDER and dies by SIGKILL, between two steps or while it saves."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from tests.training import toy
from transformers import TrainerCallback

import bertling.training.trainer
from bertling.training.checkpoints import mark_whole

SETTINGS: dict[str, Any] = {
    "dropout": 0.3,
    "epochs": 3.0,
    "batch_size": 4,
    "accumulation_steps": 2,
    "learning_rate": 1e-2,
    "checkpoint_steps": 3,
}
# 5 batches and 3 steps an epoch, the last of each of one batch; 9 steps in all.
COUNT = 17
DIES_AT_STEP = 7
TORN_STEP = 6


def run(folder: Path, callbacks: tuple[TrainerCallback, ...] = ()) -> toy.ToyTrainer:
    """The trainer of this run, from weights of its own."""
    return toy.trainer(folder, toy.texts(COUNT), callbacks=callbacks, **SETTINGS)


def die() -> None:
    """As the system would kill it: nothing can be put in order any more."""
    os.kill(os.getpid(), signal.SIGKILL)


class Dies(TrainerCallback):
    """In the middle of an epoch, one step after a checkpoint."""

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == DIES_AT_STEP:
            die()


def dies_before_marking(checkpoint: Path) -> None:
    """All files of the checkpoint are there, but for the marker."""
    if checkpoint.name == f"checkpoint-{TORN_STEP}":
        die()
    mark_whole(checkpoint)


if __name__ == "__main__":
    torch.set_num_threads(1)
    how, folder = sys.argv[1:]
    callbacks: tuple[TrainerCallback, ...] = (Dies(),) if how == "between steps" else ()
    if how == "saving":
        vars(bertling.training.trainer)["mark_whole"] = dies_before_marking
    run(Path(folder), callbacks).train()
