"""Embeddings of texts, and losses of what they are used for: the cosine between two of them.

B texts, P pairs of texts, T tokens, D_s, D_t widths of student and teacher. A mask is (B, T) bool, True for
real tokens; padding never counts, not even where it holds NaN. Arithmetic is float32 or wider, autocast or
not.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from bertling.objectives.numerics import expect, full_precision, real_tokens, wide


def text_embeddings(states: Tensor, mask: Tensor) -> Tensor:
    """The mean of the last hidden states over an example's real tokens, special ones included, at length 1.

    The mean strategy of Sentence-BERT (Reimers and Gurevych 2019, arXiv:1908.10084, section 3), which its
    table 6 prefers to the [CLS] state. At length 1 the product of two embeddings is their cosine.

    Args:
        states: (B, T, D).
        mask: (B, T).

    Returns:
        (B, D); zeros for an example without a real token.

    Raises:
        ShapeError: the shapes do not agree.
    """
    expect(states.dim() == 3 and mask.shape == states.shape[:2], "states and mask", states, mask)
    with full_precision(states):
        real = wide(states).masked_fill(~mask[..., None], 0.0)
        return functional.normalize(real.sum(1) / real_tokens(mask)[:, None], dim=-1)


def pair_cosines(embeddings: Tensor) -> Tensor:
    """The cosine of every two neighbours: (2P, D), the texts of a pair one below the other, to (P,).

    Raises:
        ShapeError: an odd number of texts.
    """
    expect(embeddings.dim() == 2 and len(embeddings) % 2 == 0, "embeddings and pairs", embeddings, embeddings)
    return (embeddings[0::2] * embeddings[1::2]).sum(-1)


def similarity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """``mean over j != i of (cos(s_i, s_j) - cos(t_i, t_j))^2``: cosines with the other texts of the batch.

    Similarity-preserving distillation (Tung and Mori 2019, arXiv:1907.09682, equation 4: the squared
    difference of the two models' matrices of similarities, over the number of their elements), with cosines,
    which are what embeddings are asked for. It compares no coordinates, so that student and teacher may
    differ in width.

    A text's loss depends on the texts beside it. As a mean over them it estimates the mean over all texts,
    whatever the batch's size; but another grouping, micro-batches instead of one batch, or several processes,
    which compare no text of one with a text of another, give another estimate, and so another gradient. More
    padding does not.

    Args:
        student: (B, D_s), of length 1.
        teacher: (B, D_t), of length 1.

    Returns:
        (B,), 0 for a text that is alone.

    Raises:
        ShapeError: another number of texts.
    """
    expect(
        student.dim() == teacher.dim() == 2 and len(student) == len(teacher), "embeddings", student, teacher
    )
    with full_precision(student):
        ours, theirs = wide(student), wide(teacher)
        # A text's cosine with itself is 1 for both.
        return (ours @ ours.T - theirs @ theirs.T).square().sum(1) / max(len(ours) - 1, 1)


def similarity_label_loss(embeddings: Tensor, similarities: Tensor) -> Tensor:
    """``(cos(u, v) - y)^2``: Sentence-BERT's regression objective (Reimers and Gurevych 2019, section 3).

    Args:
        embeddings: (2P, D), of length 1, the texts of a pair one below the other.
        similarities: y, (P,), as cosines.

    Returns:
        (2P,): a pair's loss stands at both of its texts, whose mean over examples it then is.

    Raises:
        ShapeError: another number of texts than two for each label.
    """
    expect(
        len(embeddings) == 2 * len(similarities), "embeddings and labels of pairs", embeddings, similarities
    )
    with full_precision(embeddings):
        return (pair_cosines(wide(embeddings)) - wide(similarities)).square().repeat_interleave(2)
