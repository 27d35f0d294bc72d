"""Ending a stage when held-out examples are answered no better, and keeping the weights of its best epoch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from safetensors.torch import load_model, save_model
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState

from bertling.files import whole_file, write_whole
from bertling.results import ValidationPoint

_POINTS = TypeAdapter(list[ValidationPoint])


class EarlyStopping(TrainerCallback):
    """Scores a model at the end of each epoch, and stops once ``patience`` epochs in turn were no better.

    Resumable: scores and the best weights so far lie in a folder beside the checkpoints, and what is from
    after the checkpoint that training goes on from counts as not done.

    Args:
        model: the model that trains.
        score: its score now, higher is better; with several processes the same in all of them.
        patience: epochs without a better score after which training ends.
        folder: for scores and weights; it is made where there is none.
        say: told of each score.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        score: Callable[[], float],
        patience: int,
        folder: Path,
        say: Callable[[str], None],
    ) -> None:
        self._model = model
        self._score = score
        self._patience = patience
        self._folder = folder
        self._say = say
        self.points: list[ValidationPoint] = []

    @property
    def best(self) -> ValidationPoint:
        """The first of the epochs with the best score."""
        return max(self.points, key=lambda point: point.score)

    def restore_best(self) -> None:
        """Put the best epoch's weights into the model."""
        load_model(self._model, self._weights(self.best))

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._scores.exists():
            points = _POINTS.validate_json(self._scores.read_bytes())
            self.points = [point for point in points if point.step <= state.global_step]
        # A checkpoint at an epoch's last step is from before the epoch was scored.
        if state.global_step and self._ended(state):
            self._judge(state, control)

    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self._judge(state, control)

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        # No sooner: training may yet go on from a checkpoint that knows only the best until then.
        if state.is_world_process_zero and self.points:
            for file in self._folder.glob("*.safetensors"):
                if file != self._weights(self.best):
                    file.unlink()

    def _judge(self, state: TrainerState, control: TrainerControl) -> None:
        judged = bool(self.points) and self.points[-1].step == state.global_step
        if not judged and not self._out_of_patience:
            point = ValidationPoint(
                step=state.global_step, epoch=float(state.epoch or 0), score=self._score()
            )
            self.points.append(point)
            if state.is_world_process_zero:
                if point == self.best:
                    with whole_file(self._weights(point)) as partial:
                        save_model(self._model, str(partial))
                write_whole(self._scores, _POINTS.dump_json(self.points).decode())
            self._say(
                f"epoch {point.epoch:g}: {point.score:.3f} on the validation set"
                + ("" if point == self.best else f", best {self.best.score:.3f} in epoch {self.best.epoch:g}")
            )
        if self._out_of_patience:
            control.should_training_stop = True

    @property
    def _out_of_patience(self) -> bool:
        return bool(self.points) and len(self.points) - 1 - self.points.index(self.best) >= self._patience

    @staticmethod
    def _ended(state: TrainerState) -> bool:
        return float(state.epoch or 0).is_integer() or state.global_step >= state.max_steps

    def _weights(self, point: ValidationPoint) -> Path:
        return self._folder / f"step-{point.step}.safetensors"

    @property
    def _scores(self) -> Path:
        return self._folder / "scores.json"
