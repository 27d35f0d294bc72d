"""Losses of MiniLM (Wang et al. 2020, arXiv:2002.10957) and MiniLMv2 (Wang et al. 2021, arXiv:2012.15828).

They compare distributions over tokens: whom each token attends to, or whose value it is like.

B batch, T tokens, H heads, d head width, A relation heads; n, the number of an example's real tokens.
A mask is (B, T) bool, True for real tokens. Padding never counts, not even when it holds NaN; an example
without a real token has the loss 0. Arithmetic is float32 or wider, autocast or not.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bertling.errors import ShapeError
from bertling.objectives.functional import attention_scores
from bertling.objectives.numerics import expect, expect_scores, full_precision, real_pairs, real_tokens, wide

RELATION_HEADS = 48
"""of MiniLMv2's students of teachers of BERT-base's size (section 4)"""


def distribution_loss(
    student_scores: Tensor, teacher_scores: Tensor, mask: Tensor, *, window: int | None = None
) -> Tensor:
    """``KL(softmax(teacher) || softmax(student))`` over the tokens that each token sees: MiniLM, section 3.1.

    Where the head counts differ, the distributions of neighbouring heads are averaged in as many groups as
    both counts allow (their greatest common divisor); with equal counts each head is a group of its own,
    which is the paper's.

    Args:
        student_scores: (B, H_s, T, T), before softmax; what stands at padding is not read.
        teacher_scores: (B, H_t, T, T).
        mask: (B, T).
        window: a token sees those at most so many places away, the narrower window of the two models; None:
            all real tokens.

    Returns:
        (B,), the mean over heads (or groups) and the n tokens.

    Raises:
        ShapeError: the shapes do not agree.
    """
    expect_scores(student_scores, teacher_scores, mask)
    groups = math.gcd(student_scores.shape[1], teacher_scores.shape[1])
    with full_precision(student_scores):
        seen = real_pairs(mask, window)[:, None]
        ours, theirs = (
            _log_distributions(wide(scores), seen, groups) for scores in (student_scores, teacher_scores)
        )
        # Before the product: what is not seen has the logarithm of nothing on both sides.
        gained = (theirs - ours).masked_fill(~seen, 0.0)
        divergence = (theirs.exp() * gained).sum((1, 2, 3))
        return divergence / (groups * real_tokens(mask))


def relation_loss(student: Tensor, teacher: Tensor, mask: Tensor, *, heads: int | None = None) -> Tensor:
    """`distribution_loss` of the self-relations ``X X^T / sqrt(d)`` of queries, keys or values.

    MiniLM's value relations (section 3.2) have the heads that the models have. MiniLMv2 (section 3.1) joins
    them and splits them anew into relation heads, as many for both models.

    Args:
        student: (B, H_s, T, d_s).
        teacher: (B, H_t, T, d_t).
        mask: (B, T).
        heads: A, relation heads; None for the models' own.

    Returns:
        (B,), the mean over heads and the n tokens.

    Raises:
        ShapeError: the shapes do not agree, or widths cannot be split into so many heads.
    """
    scores = []
    for states, who in ((student, "student"), (teacher, "teacher")):
        fits = states.dim() == 4 and mask.shape == (states.shape[0], states.shape[2])
        expect(fits, f"the {who}'s heads and the mask", states, mask)
        split = states if heads is None else _split_anew(states, heads)
        scores.append(attention_scores(split, split, mask, scaling=split.shape[-1] ** -0.5))
    return distribution_loss(scores[0], scores[1], mask)


def relation_heads(student_width: int, teacher_width: int) -> int:
    """The most relation heads that both widths can be split into, at most MiniLMv2's 48."""
    both = math.gcd(student_width, teacher_width)
    return max(heads for heads in range(1, RELATION_HEADS + 1) if both % heads == 0)


def upper_layer(teacher_layers: int) -> int:
    """The teacher layer that MiniLMv2 learns from: the last one, of a deep teacher one below.

    The paper takes the last of 12 layers, and the 21st of BERT-large's 24 (section 4); other depths above
    12 take the same share of theirs.
    """
    return teacher_layers if teacher_layers <= 12 else round(teacher_layers * 21 / 24)


def _log_distributions(scores: Tensor, seen: Tensor, groups: int) -> Tensor:
    """(B, H, T, T) -> (B, groups, T, T): logarithms of each group's mean distribution."""
    # As low as numbers get, and not minus infinity: the row of a padding token sees nothing.
    hidden = scores.masked_fill(~seen, torch.finfo(scores.dtype).min)
    logs = hidden.log_softmax(-1)
    members = scores.shape[1] // groups
    if members > 1:
        logs = logs.unflatten(1, (groups, members)).logsumexp(2) - math.log(members)
    return logs


def _split_anew(states: Tensor, heads: int) -> Tensor:
    """(B, H, T, d) -> (B, A, T, H * d / A)."""
    width = states.shape[1] * states.shape[3]
    if width % heads:
        raise ShapeError(
            f"{width} channels cannot be split into {heads} relation heads: choose a divisor of both widths"
        )
    split: Tensor = states.transpose(1, 2).flatten(2).unflatten(2, (heads, -1))
    return split.transpose(1, 2)
