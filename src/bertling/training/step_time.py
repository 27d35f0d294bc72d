"""How long training takes: a few steps, timed.

B batch, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Literal

import torch
from transformers import PreTrainedModel

from bertling.training.distillation_model import DistillationModel

_FIRST_ROWS = 4
_SECONDS = 0.5  # of one timed batch, where all rows of a step would take longer


@dataclass(frozen=True, slots=True)
class StepTime:
    """Seconds that a stage spends.

    Attributes:
        a_token: on forward and backward pass, for each token of the student's input.
        a_step: on the optimizer, for each step.
    """

    a_token: float
    a_step: float


def measure_step(
    model: DistillationModel,
    batch_of: Callable[[int], Mapping[str, Any]],
    *,
    batch_size: int,
    precision: Literal["float32", "bfloat16"] = "float32",
) -> StepTime:
    """Time training steps of a model, which is changed: at most for a few seconds on most machines.

    Args:
        model: student, objective and teacher; moved to the accelerator if there is one.
        batch_of: a batch of so many rows, as `PadToLongest` makes them.
        batch_size: rows of a step; fewer are timed where that many take long.
        precision: as for `training_arguments`.
    """
    device = measured_on()
    torch.nn.Module.to(model, device)
    model.place_teacher(device)
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-9, fused=True)

    def passes(rows: int) -> float:
        batch = _placed(batch_of(rows), device)
        started = _now(device)
        with _autocast(device, precision):
            loss = model(**batch)["loss"] / rows
        loss.backward()
        return _now(device) - started

    def step() -> float:
        started = _now(device)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return _now(device) - started

    passes(min(_FIRST_ROWS, batch_size))  # the first time makes ready what later ones find
    step()
    return StepTime(_a_token(passes, batch_of, batch_size), step())


def measure_forward(
    model: PreTrainedModel, batch_of: Callable[[int], Mapping[str, Any]], *, batch_size: int
) -> float:
    """Seconds for each token that a model needs to answer, in eval mode, float32.

    Args:
        model: moved to the accelerator if there is one.
        batch_of: a batch of so many rows, without labels.
        batch_size: rows of a batch; fewer are timed where that many take long.
    """
    device = measured_on()
    torch.nn.Module.to(model, device)
    model.eval()

    @torch.inference_mode()
    def answer(rows: int) -> float:
        batch = _placed(batch_of(rows), device)
        started = _now(device)
        model(**batch)
        return _now(device) - started

    answer(min(_FIRST_ROWS, batch_size))
    return _a_token(answer, batch_of, batch_size)


def _a_token(
    run: Callable[[int], float], batch_of: Callable[[int], Mapping[str, Any]], batch_size: int
) -> float:
    """Seconds for each token, on so many rows as take half a second, and not more than are in a batch."""
    rows = min(_FIRST_ROWS, batch_size)
    seconds = run(rows)
    if (fitting := min(batch_size, int(rows * _SECONDS / max(seconds, 1e-9)))) > rows:
        rows = fitting
        seconds = run(rows)
    return (seconds + run(rows)) / 2 / int(batch_of(rows)["attention_mask"].sum())


def measured_on() -> torch.device:
    """The accelerator if there is one, else the CPU: where training runs."""
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def _placed(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    return {
        name: _placed(values, device) if isinstance(values, Mapping) else values.to(device)
        for name, values in batch.items()
    }


def _autocast(device: torch.device, precision: str) -> Any:
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext()


def _now(device: torch.device) -> float:
    """Seconds, with everything that was asked of the device done."""
    if device.type != "cpu":
        torch.accelerator.synchronize()
    return perf_counter()
