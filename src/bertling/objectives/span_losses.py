"""Losses of answers that are spans of tokens: a distribution over where they start, one over where they end.

B batch, T tokens. Logits are (B, T, 2), of starts and of ends. A mask is (B, T) bool, True for real tokens;
the distributions are over these, and padding never counts, not even where it holds NaN.
"""

from __future__ import annotations

import torch
from torch import Tensor

from bertling.objectives.numerics import expect, expect_logits, full_precision, wide


def span_prediction_loss(
    student_logits: Tensor, teacher_logits: Tensor, mask: Tensor, *, temperature: float = 1.0
) -> Tensor:
    """Soft cross-entropy of starts plus that of ends: the paper's equation 10 for each, as it does for SQuAD.

    Args:
        student_logits, teacher_logits: (B, T, 2).
        mask: (B, T).
        temperature: t, above 0. There is no factor t^2.

    Returns:
        (B,), summed over tokens, 0 for an example without a real token.

    Raises:
        ShapeError: the shapes do not agree, or the temperature is not above 0.
    """
    expect_logits(student_logits, teacher_logits, dimensions=3, temperature=temperature)
    with full_precision(student_logits):
        targets = _log_shares(teacher_logits, mask, temperature).exp()
        losses = targets * _log_shares(student_logits, mask, temperature)
        return -losses.masked_fill(~mask[..., None], 0.0).sum((1, 2))


def span_label_loss(logits: Tensor, spans: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy with the token that the answer starts at, plus that with the one that it ends at.

    That is the sum of negative log-likelihoods of Devlin et al. 2019, section 4.2.

    Args:
        logits: (B, T, 2).
        spans: (B, 2) first and last token of each answer.
        mask: (B, T).

    Returns:
        (B,).

    Raises:
        ShapeError: the shapes do not agree.
    """
    expect(spans.shape == (len(logits), 2), "logits and spans", logits, spans)
    with full_precision(logits):
        chosen = _log_shares(logits, mask, 1.0).gather(1, spans[:, None])
        return -chosen.sum((1, 2))


def _log_shares(logits: Tensor, mask: Tensor, temperature: float) -> Tensor:
    """(B, T, 2), the logarithms of softmax over real tokens."""
    expect(logits.dim() == 3 and logits.shape == (*mask.shape, 2), "logits of spans and mask", logits, mask)
    scaled = wide(logits) / temperature
    return scaled.masked_fill(~mask[..., None], torch.finfo(scaled.dtype).min).log_softmax(1)
