"""Losses of vanilla distillation, DistilBERT and PKD, as pure functions that return one value per example.

B batch, T tokens, D width, C classes, V vocabulary, P positions that are guessed; n, the number of an
example's real tokens. Padding never counts. Arithmetic is float32 or wider, autocast or not.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bertling.objectives.functional import prediction_loss
from bertling.objectives.numerics import expect, expect_states, full_precision, real_tokens, wide


def soft_target_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float) -> Tensor:
    """Soft cross-entropy times t^2, for a sum with hard labels.

    Hinton et al. 2015, arXiv:1503.02531, section 2. The gradient of `prediction_loss` falls with 1 / t^2; the
    factor makes up for it, so that the weights of soft and hard targets mean the same at every temperature.

    Args:
        student_logits, teacher_logits: (B, C).
        temperature: t, above 0.

    Returns:
        (B,).

    Raises:
        ShapeError: the shapes do not agree, or the temperature is not above 0.
    """
    return prediction_loss(student_logits, teacher_logits, temperature=temperature) * temperature**2


def cosine_loss(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """``1 - cos(H_s, H_t)`` of hidden states (DistilBERT, Sanh et al. 2019, arXiv:1910.01108, section 2).

    Args:
        student: (B, T, D), projected to the teacher's width.
        teacher: (B, T, D).
        mask: (B, T) bool, True for real tokens.

    Returns:
        (B,), the mean over n tokens; 0 for an example without any.

    Raises:
        ShapeError: the shapes do not agree.
    """
    expect_states(student, teacher, mask)
    with full_precision(student):
        padding = ~mask[..., None]
        ours, theirs = (
            functional.normalize(wide(states).masked_fill(padding, 0.0), dim=-1)
            for states in (student, teacher)
        )
        apart = (1 - (ours * theirs).sum(-1)).masked_fill(~mask, 0.0)
        return apart.sum(1) / real_tokens(mask)


def patient_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """``|| h_s / |h_s| - h_t / |h_t| ||^2`` of a layer's [CLS] states.

    PKD, Sun et al. 2019, arXiv:1908.09355, section 3.2.

    Args:
        student: (B, D), projected to the teacher's width.
        teacher: (B, D).

    Returns:
        (B,), from 0 to 4.

    Raises:
        ShapeError: the shapes do not agree.
    """
    expect(
        student.dim() == 2 and student.shape == teacher.shape, "student and teacher states", student, teacher
    )
    with full_precision(student):
        ours, theirs = (functional.normalize(wide(states), dim=-1) for states in (student, teacher))
        return (ours - theirs).square().sum(-1)


def masked_lm_loss(logits: Tensor, targets: Tensor, rows: Tensor, *, examples: int) -> Tensor:
    """Cross-entropy of guessed tokens (BERT, Devlin et al. 2019, arXiv:1810.04805, section 3.1).

    Args:
        logits: (P, V).
        targets: (P,) the token ids that stood there.
        rows: (P,) the example of each position.
        examples: B.

    Returns:
        (B,), the mean over an example's positions; 0 for an example without any.

    Raises:
        ShapeError: the shapes do not agree.
    """
    expect(logits.dim() == 2 and targets.shape == logits.shape[:1], "logits and targets", logits, targets)
    expect(rows.shape == targets.shape, "targets and their rows", targets, rows)
    with full_precision(logits):
        values = functional.cross_entropy(wide(logits), targets, reduction="none")
    return _means(values, rows, examples)


def soft_masked_lm_loss(
    student_logits: Tensor, teacher_logits: Tensor, rows: Tensor, *, examples: int, temperature: float
) -> Tensor:
    """`soft_target_loss` over the vocabulary at guessed positions: DistilBERT's L_ce.

    Args:
        student_logits, teacher_logits: (P, V).
        rows: (P,) the example of each position.
        examples: B.
        temperature: t, above 0.

    Returns:
        (B,), the mean over an example's positions; 0 for an example without any.

    Raises:
        ShapeError: the shapes do not agree, or the temperature is not above 0.
    """
    expect(rows.shape == student_logits.shape[:1], "logits and their rows", student_logits, rows)
    values = soft_target_loss(student_logits, teacher_logits, temperature=temperature)
    return _means(values, rows, examples)


def _means(values: Tensor, rows: Tensor, examples: int) -> Tensor:
    """(P,) -> (B,): the mean of each example's values."""
    # A product and no scatter: on a GPU that would add up in another order every time.
    own = rows == torch.arange(examples, device=rows.device)[:, None]
    with full_precision(values):
        return own.to(values.dtype) @ values / own.sum(1).clamp(min=1)
