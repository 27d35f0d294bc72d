from __future__ import annotations

import pytest
import torch
from tests import tiny
from torch import Tensor

from bertling.objectives.objective import Objective
from bertling.objectives.terms import LabelTerm, PredictionTerm
from bertling.training import step_time
from bertling.training.distillation_model import DistillationModel
from bertling.training.step_time import measure_forward, measure_step


class Clock:
    """Time that passes only while a model reads, a millisecond for each token.

    Attributes:
        rows: of each batch that it read.
    """

    def __init__(self, model: DistillationModel) -> None:
        self.seconds = 0.0
        self.rows: list[int] = []
        model.register_forward_pre_hook(self._read, with_kwargs=True)

    def _read(self, module: object, args: object, inputs: dict[str, Tensor]) -> None:
        self.rows.append(len(inputs["input_ids"]))
        self.seconds += 0.001 * int(inputs["attention_mask"].sum())

    def now(self, device: torch.device) -> float:
        return self.seconds


@pytest.mark.parametrize(
    ("batch_size", "timed"),
    [(2, 2), (16, 16), (1000, 83)],  # 83 rows of 6 tokens take half a second
)
def test_seconds_are_for_a_token_and_large_batches_are_timed_in_part(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, timed: int
) -> None:
    model = DistillationModel(tiny.classifier(), Objective([PredictionTerm()]), tiny.classifier(seed=1))
    clock = Clock(model)
    monkeypatch.setattr(step_time, "_now", clock.now)
    measured = measure_step(model, lambda rows: tiny.batch([6] * rows), batch_size=batch_size)
    assert measured.a_token == pytest.approx(0.001)
    assert measured.a_step == 0.0
    assert clock.rows[-1] == timed


def test_a_forward_pass_is_timed_without_gradients() -> None:
    model = tiny.classifier(dropout=0.1).train()
    assert measure_forward(model, lambda rows: tiny.batch([6] * rows), batch_size=8) > 0
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_timed_model_trains() -> None:
    model = DistillationModel(tiny.classifier(), Objective([LabelTerm()]))
    before = [parameter.clone() for parameter in model.parameters()]

    def batch_of(rows: int) -> dict[str, Tensor]:
        batch = tiny.batch([6] * rows)
        return {**batch, "labels": batch["input_ids"][:, 1] % 2}

    measured = measure_step(model, batch_of, batch_size=8, precision="bfloat16")
    assert measured.a_token > 0
    assert measured.a_step > 0
    assert any(not torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))
