"""Fit an objective's projections on calibration text before training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from transformers import PreTrainedModel

from bertling.models.capture import observe
from bertling.objectives.objective import Objective


def fit_projections(
    objective: Objective,
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    batches: Iterable[Mapping[str, Tensor]],
) -> None:
    """Start the projections from the least-squares fit of the teacher's states to the student's.

    Args:
        objective: its projections are set in place.
        student, teacher: run in eval mode; the student's mode is restored.
        batches: ``input_ids``, ``attention_mask``, ... each (B, T).
    """
    was_training = student.training
    student.eval()
    teacher.eval()
    with torch.no_grad():
        placed = ({name: value.to(teacher.device) for name, value in batch.items()} for batch in batches)
        objective.fit_projections((observe(student, batch), observe(teacher, batch)) for batch in placed)
    student.train(was_training)
