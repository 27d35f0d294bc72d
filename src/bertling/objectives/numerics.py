"""What all losses share: arithmetic in float32 or wider, shapes that agree, tokens that count.

B batch, T tokens. A mask is (B, T) bool, True for real tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bertling.errors import ShapeError


def wide(x: Tensor) -> Tensor:
    """As float32, or as float64 where it is."""
    return x if x.dtype == torch.float64 else x.float()


def full_precision(like: Tensor) -> torch.autocast:
    """A context without autocast."""
    return torch.autocast(like.device.type, enabled=False)


def real_tokens(mask: Tensor) -> Tensor:
    """(B,), n of each example, at least 1."""
    return mask.sum(1).clamp(min=1)


def real_pairs(mask: Tensor, window: int | None) -> Tensor:
    """(B, T, T) bool: pairs of real tokens at most ``window`` places apart."""
    pairs = mask[:, :, None] & mask[:, None, :]
    if window is None:
        return pairs
    places = torch.arange(mask.shape[1], device=mask.device)
    return pairs & ((places[:, None] - places).abs() <= window)


def expect_states(student: Tensor, teacher: Tensor, mask: Tensor) -> None:
    """Raise a ShapeError unless both are (B, T, D) for a mask (B, T)."""
    fits = student.dim() == 3 and student.shape == teacher.shape
    expect(fits, "student and teacher states", student, teacher)
    expect(mask.shape == student.shape[:2], "states and mask", student, mask)


def expect_scores(student_scores: Tensor, teacher_scores: Tensor, mask: Tensor) -> None:
    """Raise a ShapeError unless both are (B, H, T, T), with head counts of their own, for a mask (B, T)."""
    batch, tokens = mask.shape
    for scores, who in ((student_scores, "student"), (teacher_scores, "teacher")):
        fits = scores.dim() == 4 and (scores.shape[0], *scores.shape[2:]) == (batch, tokens, tokens)
        expect(fits, f"the {who}'s scores and the mask", scores, mask)


def expect_logits(student: Tensor, teacher: Tensor, *, dimensions: int, temperature: float) -> None:
    """Raise a ShapeError unless both have one shape of so many dimensions, and the temperature is above 0."""
    fits = student.dim() == dimensions and student.shape == teacher.shape
    expect(fits, "student and teacher logits", student, teacher)
    if not temperature > 0:
        raise ShapeError(f"the temperature must be above 0, got {temperature}")


def expect(fits: bool, what: str, first: Tensor, second: Tensor) -> None:
    """Raise a ShapeError that names both shapes unless they fit."""
    if not fits:
        raise ShapeError(f"the shapes of {what} do not agree: {tuple(first.shape)} and {tuple(second.shape)}")
