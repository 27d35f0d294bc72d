"""A stage ends when its score no longer rises, with its best weights, also after kills at any moment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.training import toy
from torch import Tensor
from transformers import PreTrainedModel, TrainerCallback

from bertling.training.checkpoints import delete_other_checkpoints, last_whole_checkpoint
from bertling.training.early_stopping import EarlyStopping

STEPS_AN_EPOCH = 3
COUNT = 12


class Killed(Exception):
    """In the place of a kill: nothing is put in order on the way out."""


class Dies(TrainerCallback):
    """At one moment of one step; it comes after what is tested."""

    def __init__(self, moment: str, step: int) -> None:
        setattr(self, moment, self._die)
        self._step = step

    def _die(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self._step:
            raise Killed


def stopping(
    folder: Path,
    score: Callable[[PreTrainedModel, int], float],
    *,
    patience: int,
    epochs: int = 6,
    **more: Any,
) -> tuple[EarlyStopping, toy.ToyTrainer, list[str]]:
    said: list[str] = []
    trainer = toy.trainer(
        folder / "checkpoints",
        toy.texts(COUNT),
        dropout=0.3,
        epochs=float(epochs),
        batch_size=4,
        learning_rate=1e-2,
        **more,
    )
    student = trainer.trained.student
    early = EarlyStopping(
        student,
        score=lambda: score(student, trainer.state.global_step),
        patience=patience,
        folder=folder / "validation",
        say=said.append,
    )
    trainer.add_callback(early)
    return early, trainer, said


def scripted(scores: list[float], seen: list[dict[str, Tensor]]) -> Callable[[PreTrainedModel, int], float]:
    left = iter(scores)

    def score(model: PreTrainedModel, step: int) -> float:
        seen.append(toy.weights_of(model))
        return next(left)

    return score


@pytest.mark.parametrize(
    ("patience", "scores", "best"),
    [
        (1, [0.5, 0.6, 0.6], 2),  # as good is not better
        (2, [0.5, 0.4, 0.3], 1),
        (2, [0.5, 0.4, 0.7, 0.1, 0.2], 3),  # a better one begins the count anew
        (3, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], 6),  # never: all epochs
    ],
)
def test_it_stops_after_so_many_epochs_without_a_better_one_and_keeps_the_best(
    tmp_path: Path, patience: int, scores: list[float], best: int
) -> None:
    seen: list[dict[str, Tensor]] = []
    early, trainer, said = stopping(tmp_path, scripted(scores, seen), patience=patience)
    trainer.train()
    assert [point.score for point in early.points] == scores
    assert [point.epoch for point in early.points] == list(range(1, len(scores) + 1))
    assert trainer.state.global_step == STEPS_AN_EPOCH * len(scores) == early.points[-1].step
    early.restore_best()
    toy.assert_equal(toy.weights_of(trainer.trained.student), seen[best - 1])
    assert len(said) == len(scores)
    if best < len(scores):
        assert said[-1].endswith(f"best {max(scores):.3f} in epoch {best}")


def test_what_is_left_of_an_epoch_counts_as_one(tmp_path: Path) -> None:
    early, trainer, _ = stopping(tmp_path, scripted([0.1, 0.2], []), patience=1, max_steps=4)
    trainer.train()
    assert [point.step for point in early.points] == [3, 4]


def by_step(_: PreTrainedModel, step: int) -> float:
    """The best epoch is neither the first, nor the last that was possible."""
    return {3: 0.5, 6: 0.7, 9: 0.6, 12: 0.7}[step]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[EarlyStopping, dict[str, Tensor]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    early, trainer, _ = stopping(folder, by_step, patience=2, checkpoint_steps=2)
    trainer.train()
    early.restore_best()
    return early, toy.weights_of(trainer.trained.student)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("moment", "steps"),
    [("on_step_end", range(1, 13)), ("on_epoch_end", range(3, 13, 3)), ("on_save", range(2, 13, 2))],
)
def test_a_killed_stage_stops_where_an_undisturbed_one_does(
    undisturbed: tuple[EarlyStopping, dict[str, Tensor]], tmp_path: Path, moment: str, steps: range
) -> None:
    """Killed each time that moment comes. A checkpoint of step 6 or 12 is from before its epoch is scored."""
    expected, weights = undisturbed
    for step in steps:
        early, trainer, _ = stopping(tmp_path, by_step, patience=2, checkpoint_steps=2)
        trainer.add_callback(Dies(moment, step))
        checkpoint = last_whole_checkpoint(tmp_path / "checkpoints")
        delete_other_checkpoints(tmp_path / "checkpoints", checkpoint)
        with pytest.raises(Killed):
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    early, trainer, _ = stopping(tmp_path, by_step, patience=2, checkpoint_steps=2)
    checkpoint = last_whole_checkpoint(tmp_path / "checkpoints")
    trainer.train(resume_from_checkpoint=str(checkpoint))
    early.restore_best()
    assert early.points == expected.points
    toy.assert_equal(toy.weights_of(trainer.trained.student), weights)
