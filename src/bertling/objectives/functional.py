"""The losses of TinyBERT (Jiao et al. 2020, section 3), as pure functions that return one value per example.

B batch, T tokens, D width, H heads, d head width, C classes; n, the number of an example's real tokens.
A mask is (B, T) bool, True for real tokens. Padding never counts, not even when it holds NaN; an example
without a real token has the loss 0. Arithmetic is float32 or wider, autocast or not.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from bertling.errors import ShapeError
from bertling.objectives.head_groups import grouped, head_groups
from bertling.objectives.numerics import (
    expect,
    expect_logits,
    expect_scores,
    expect_states,
    full_precision,
    real_pairs,
    real_tokens,
    wide,
)

AttentionForm = Literal["auto", "scores", "gram"]


def state_loss(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error of embeddings or hidden states: the paper's equations 8 and 9.

    Args:
        student: (B, T, D), projected to the teacher's width.
        teacher: (B, T, D).
        mask: (B, T).

    Returns:
        (B,), the mean over n tokens and D.

    Raises:
        ShapeError: the shapes do not agree.
    """
    expect_states(student, teacher, mask)
    with full_precision(student):
        difference = (wide(student) - wide(teacher)).masked_fill(~mask[..., None], 0.0)
        return difference.square().sum((1, 2)) / (real_tokens(mask) * student.shape[2])


def attention_loss(
    student_query: Tensor,
    student_key: Tensor,
    teacher_query: Tensor,
    teacher_key: Tensor,
    mask: Tensor,
    *,
    student_scaling: float,
    teacher_scaling: float,
    window: int | None = None,
    teacher_heads: Collection[int] | None = None,
    form: AttentionForm = "auto",
) -> Tensor:
    """Mean squared error of attention scores before mask, softmax and dropout: the paper's equation 7.

    With ``Q = [s_s Q_s, -s_t Q_t]`` and ``K = [K_s, K_t]``, joined along d, ``Q K^T`` is the difference of
    the scores, and its squared norm is ``<Q^T Q, K^T K>``. So the form ``gram`` never makes a T x T matrix:
    its time is linear in T. Both forms are exact; ``auto`` takes the one with less work. The sum of ``gram``
    is over all pairs of real tokens, so with a window that leaves some out it is not to be had.

    Where the head counts differ, the heads of each side are averaged in as many groups of neighbours as
    both counts allow (their greatest common divisor); with equal counts each head is a group of its own.

    Args:
        student_query, student_key: (B, H_s, T, d_s).
        teacher_query, teacher_key: (B, H_t, T, d_t).
        mask: (B, T).
        student_scaling, teacher_scaling: the factor that each model puts on its scores.
        window: only pairs at most so many places apart count, the narrower window of the two models; None:
            all pairs.
        teacher_heads: those of the teacher, from 1, that count; None: all. With equal head counts the
            student's heads in the places of the others do not count either (see `head_groups`).
        form: ``scores`` makes the difference of the scores, (B, H, T, T); ``gram`` does not.

    Returns:
        (B,), the mean over heads (or groups) that count and the pairs of real tokens in the window, n x n
        without one. Rounding can leave ``gram`` slightly below zero; it is not clamped, which would lose the
        gradient.

    Raises:
        ShapeError: the shapes do not agree, ``gram`` is asked for with a window shorter than the texts, or no
            head counts.
    """
    for query, key, who in ((student_query, student_key, "student"), (teacher_query, teacher_key, "teacher")):
        expect(query.dim() == 4 and query.shape == key.shape, f"the {who}'s queries and keys", query, key)
        expect(
            mask.shape == (query.shape[0], query.shape[2]), f"the {who}'s queries and the mask", query, mask
        )
    groups = head_groups(student_query.shape[1], teacher_query.shape[1], teacher_heads)
    windowed = window is not None and window < mask.shape[1] - 1
    if windowed and form == "gram":
        raise ShapeError(
            f"the form 'gram' sums over all pairs of {mask.shape[1]} tokens, and only those {window} places "
            "apart count; use 'auto' or 'scores'"
        )
    with full_precision(student_query):
        real = mask[:, None, :, None]
        ours = grouped(student_query, groups.count, student_scaling * groups.count / student_query.shape[1])
        if groups.heads is None:
            factor = -teacher_scaling * groups.count / teacher_query.shape[1]
            theirs = grouped(teacher_query, groups.count, factor)
        else:
            shares = groups.shares(teacher_query.shape[1], wide(teacher_query))
            theirs = grouped(wide(teacher_query) * shares, groups.count, -teacher_scaling)
        keys = [grouped(key, groups.count) for key in (student_key, teacher_key)]
        query = groups.select(torch.cat([ours, theirs], dim=-1)).masked_fill(~real, 0.0)
        key = groups.select(torch.cat(keys, dim=-1)).masked_fill(~real, 0.0)
        if windowed:
            return _mean_over_pairs(query @ key.mT, mask, window)
        if form == "auto":
            form = "gram" if _gram_pays(query) else "scores"
        # Its sum over both axes is the squared norm of Q K^T, either way.
        products = (query.mT @ query) * (key.mT @ key) if form == "gram" else (query @ key.mT).square()
        return products.sum((1, 2, 3)) / (len(groups.kept) * real_tokens(mask) ** 2)


def score_loss(
    student_scores: Tensor,
    teacher_scores: Tensor,
    mask: Tensor,
    *,
    window: int | None = None,
    teacher_heads: Collection[int] | None = None,
) -> Tensor:
    """`attention_loss` of scores that are more than products of queries and keys (position biases).

    Args:
        student_scores: (B, H_s, T, T), before softmax; what stands at padding is not read.
        teacher_scores: (B, H_t, T, T).
        mask: (B, T).
        window, teacher_heads: as for `attention_loss`.

    Returns:
        (B,), the mean over heads (or groups, as there) that count and the pairs of real tokens in the window.

    Raises:
        ShapeError: the shapes do not agree, or no head counts.
    """
    expect_scores(student_scores, teacher_scores, mask)
    groups = head_groups(student_scores.shape[1], teacher_scores.shape[1], teacher_heads)
    with full_precision(student_scores):
        # Masked scores are as low as numbers get, so they are silenced before anything is added up.
        pairs = real_pairs(mask, window)[:, None]
        ours, theirs = (wide(scores).masked_fill(~pairs, 0.0) for scores in (student_scores, teacher_scores))
        ours = ours.unflatten(1, (groups.count, -1)).mean(2)
        if groups.heads is None:
            theirs = theirs.unflatten(1, (groups.count, -1)).mean(2)
        else:
            shares = groups.shares(theirs.shape[1], theirs)
            theirs = (theirs * shares).unflatten(1, (groups.count, -1)).sum(2)
        ours, theirs = groups.select(ours), groups.select(theirs)
        return _mean_over_pairs(ours - theirs, mask, window)


def attention_scores(query: Tensor, key: Tensor, mask: Tensor, *, scaling: float) -> Tensor:
    """The scores that `score_loss` compares with, of an attention that has queries and keys alone.

    Args:
        query, key: (B, H, T, d).
        mask: (B, T).
        scaling: the factor that the model puts on its scores.

    Returns:
        (B, H, T, T), 0 at padding.
    """
    padding = ~mask[:, None, :, None]
    with full_precision(query):
        return wide(query).masked_fill(padding, 0.0) @ wide(key).masked_fill(padding, 0.0).mT * scaling


def prediction_loss(student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Soft cross-entropy, ``- sum_c softmax(z_t / t)_c log softmax(z_s / t)_c``: the paper's equation 10.

    Args:
        student_logits, teacher_logits: (B, C).
        temperature: t, above 0. There is no factor t^2, as in the paper.

    Returns:
        (B,), summed over classes.

    Raises:
        ShapeError: the shapes do not agree, or the temperature is not above 0.
    """
    expect_logits(student_logits, teacher_logits, dimensions=2, temperature=temperature)
    with full_precision(student_logits):
        targets = (wide(teacher_logits) / temperature).softmax(-1)
        return -(targets * (wide(student_logits) / temperature).log_softmax(-1)).sum(-1)


def regression_prediction_loss(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """Squared difference to the teacher's output, for regression tasks.

    Args:
        student_logits, teacher_logits: (B, 1).

    Returns:
        (B,).

    Raises:
        ShapeError: the shapes do not agree.
    """
    for logits in (student_logits, teacher_logits):
        expect(
            logits.dim() == 2 and logits.shape[1] == 1,
            "regression outputs and (B, 1)",
            logits,
            student_logits,
        )
    expect(
        student_logits.shape == teacher_logits.shape,
        "student and teacher logits",
        student_logits,
        teacher_logits,
    )
    with full_precision(student_logits):
        return (wide(student_logits) - wide(teacher_logits)).square().squeeze(-1)


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy with class ids (C > 1), or squared error with numbers (C = 1).

    Args:
        logits: (B, C).
        labels: (B,), integers for classes, floats for regression.

    Returns:
        (B,).

    Raises:
        ShapeError: the shapes do not agree.
    """
    expect(logits.dim() == 2 and labels.shape == logits.shape[:1], "logits and labels", logits, labels)
    with full_precision(logits):
        if logits.shape[1] == 1:
            return (wide(logits).squeeze(-1) - labels.to(wide(logits).dtype)).square()
        return functional.cross_entropy(wide(logits), labels, reduction="none")


def _gram_pays(query: Tensor) -> bool:
    """The Gram form has less work once T passes the joined head width (measured on CPU: near T = 90 for 90).

    TF32 is too coarse for it: its large terms cancel.
    """
    tokens, joined = query.shape[-2:]
    coarse = query.is_cuda and torch.get_float32_matmul_precision() != "highest"
    return tokens > joined and not coarse


def _mean_over_pairs(differences: Tensor, mask: Tensor, window: int | None) -> Tensor:
    """(B, groups, T, T) -> (B,), the mean square over groups and the pairs that count."""
    pairs = real_pairs(mask, window)
    squares = differences.masked_fill(~pairs[:, None], 0.0).square()
    return squares.sum((1, 2, 3)) / (differences.shape[1] * pairs.sum((1, 2)).clamp(min=1))
