"""Objectives by name: what a recipe or a dozen lines of Python ask for.

D_s, D_t widths of student and teacher.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bertling.errors import ShapeError
from bertling.objectives.objective import Objective
from bertling.objectives.terms import (
    AttentionTerm,
    EmbeddingTerm,
    HiddenTerm,
    LabelTerm,
    PredictionTerm,
    Term,
)

TINYBERT_INTERMEDIATE: dict[str, float] = {"embedding": 1.0, "attention": 1.0, "hidden": 1.0}
"""General distillation and the first step of task distillation (the paper's equation 11, upper cases)."""

TINYBERT_PREDICTION: dict[str, float] = {"prediction": 1.0}
"""The second step of task distillation (equation 11, last case)."""


def build_objective(
    weights: Mapping[str, float],
    layers: Mapping[int, int],
    *,
    student_width: int,
    teacher_width: int,
    temperature: float = 1.0,
) -> Objective:
    """An objective from term names and weights; terms of weight 0 are left out.

    Args:
        weights: ``embedding``, ``attention``, ``hidden``, ``prediction``, ``labels`` -> weight.
        layers: student layer -> teacher layer, from 1.
        student_width: D_s.
        teacher_width: D_t.
        temperature: of the soft targets.

    Raises:
        ShapeError: an unknown term, or no weight above 0.
    """
    makers: dict[str, Callable[[], Term]] = {
        "embedding": lambda: EmbeddingTerm(student_width=student_width, teacher_width=teacher_width),
        "attention": lambda: AttentionTerm(dict(layers)),
        "hidden": lambda: HiddenTerm(dict(layers), student_width=student_width, teacher_width=teacher_width),
        "prediction": lambda: PredictionTerm(temperature=temperature),
        "labels": LabelTerm,
    }
    if unknown := sorted(set(weights) - set(makers)):
        raise ShapeError(f"unknown terms {unknown}; expected {', '.join(makers)}")
    return Objective([(makers[name](), weight) for name, weight in weights.items() if weight])
