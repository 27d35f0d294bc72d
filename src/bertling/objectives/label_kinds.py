"""Losses where a text has more than one label: one for each word, or any number of them.

B batch, T tokens, C classes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from bertling.data.examples import UNLABELLED
from bertling.objectives.numerics import expect, expect_logits, full_precision, wide


def over_labelled_tokens(
    loss: Callable[[Tensor, Tensor], Tensor], logits: Tensor, targets: Tensor, labels: Tensor
) -> Tensor:
    """The mean of a loss over the labelled tokens of each example: (B,), 0 for one without any.

    Other tokens never count, padding and the further pieces of a word, not even where they hold NaN.

    Args:
        loss: of (M, C) logits and M targets; returns (M,).
        logits: (B, T, C).
        targets: (B, T, C), or (B, T) class ids.
        labels: (B, T), -100 for tokens that do not count.

    Raises:
        ShapeError: the shapes do not agree.
    """
    expect(logits.dim() == 3 and labels.shape == logits.shape[:2], "logits and labels", logits, labels)
    expect(targets.shape[:2] == labels.shape, "targets and labels", targets, labels)
    counted = labels != UNLABELLED
    logits = logits.masked_fill(~counted[..., None], 0.0)
    targets = targets.masked_fill(~counted if targets.dim() == 2 else ~counted[..., None], 0)
    losses = loss(logits.flatten(0, 1), targets.flatten(0, 1)).view(labels.shape)
    return losses.masked_fill(~counted, 0.0).sum(1) / counted.sum(1).clamp(min=1)


def multi_label_prediction_loss(
    student_logits: Tensor, teacher_logits: Tensor, *, temperature: float = 1.0
) -> Tensor:
    """Soft cross-entropy of several labels, each a Bernoulli distribution of its own: the sum over labels.

    That is ``- sum_c p_c log q_c + (1 - p_c) log (1 - q_c)`` with ``p = sigmoid(z_t / t)``,
    ``q = sigmoid(z_s / t)``: the paper's equation 10 with its softmax over two outcomes for each label.

    Args:
        student_logits, teacher_logits: (B, C).
        temperature: t, above 0.

    Returns:
        (B,).

    Raises:
        ShapeError: the shapes do not agree, or the temperature is not above 0.
    """
    expect_logits(student_logits, teacher_logits, dimensions=2, temperature=temperature)
    return multi_label_loss(student_logits / temperature, (wide(teacher_logits) / temperature).sigmoid())


def multi_label_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Binary cross-entropy of each label, the sum over labels.

    Args:
        logits: (B, C).
        targets: (B, C), probabilities, such as 0 and 1.

    Returns:
        (B,).

    Raises:
        ShapeError: the shapes do not agree.
    """
    expect(logits.dim() == 2 and logits.shape == targets.shape, "logits and targets", logits, targets)
    with full_precision(logits):
        losses = functional.binary_cross_entropy_with_logits(
            wide(logits), targets.to(wide(logits).dtype), reduction="none"
        )
        total: Tensor = losses.sum(-1)
        return total


def class_weighted(losses: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """Each loss times the weight of its class.

    Args:
        losses: (M,).
        labels: (M,) class ids.
        weights: (C,).
    """
    return losses * weights.to(device=losses.device, dtype=losses.dtype)[labels]


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """(C,) weights with which every class counts as much in all, and the mean example as 1.

    A class without examples has the weight 0.

    Args:
        labels: (M,) class ids.
        classes: C.
    """
    counts = torch.bincount(labels, minlength=classes).double()
    there = counts > 0
    weights = torch.zeros_like(counts)
    weights[there] = counts.sum() / (there.sum() * counts[there])
    return weights.float()
