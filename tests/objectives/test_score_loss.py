"""Attention scores that queries and keys do not tell all of, and pairs of tokens that do not all count."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from bertling.errors import ShapeError
from bertling.objectives.functional import attention_loss, attention_scores, score_loss
from bertling.objectives.terms import AttentionTerm
from bertling.states import AttentionState, EncoderStates

MASK = torch.tensor([[True] * 7, [True] * 4 + [False] * 3, [True] + [False] * 6])
WINDOWS = [None, 0, 1, 3, 6, 40]


def draw(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, *shape, generator=generator, dtype=torch.float64)


def by_the_equations(student: Tensor, teacher: Tensor, window: int | None) -> Tensor:
    """Equation 7 with loops over (B, H, T, T) scores and the pairs that count."""
    groups = math.gcd(student.shape[1], teacher.shape[1])
    values = []
    for example, row in enumerate(MASK):
        real = row.nonzero().flatten().tolist()
        squares = [
            (ours.mean() - theirs.mean()) ** 2
            for i in real
            for j in real
            if window is None or abs(i - j) <= window
            for ours, theirs in zip(
                student[example, :, i, j].chunk(groups), teacher[example, :, i, j].chunk(groups), strict=True
            )
        ]
        values.append(torch.stack(squares).mean())
    return torch.stack(values)


def assert_same(got: Tensor, expected: Tensor, leaves: list[Tensor]) -> None:
    """Values and gradients."""
    torch.testing.assert_close(got, expected)
    weight = torch.tensor([1.0, 3.0, 2.0], dtype=torch.float64)
    for ours, theirs in zip(
        torch.autograd.grad((got * weight).sum(), leaves, retain_graph=True),
        torch.autograd.grad((expected * weight).sum(), leaves, retain_graph=True),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("student_heads", "teacher_heads"), [(2, 2), (2, 4), (6, 4), (3, 2)])
def test_scores_are_compared_over_the_pairs_that_count(
    window: int | None, student_heads: int, teacher_heads: int
) -> None:
    student = draw(student_heads, 7, 7, seed=0).requires_grad_()
    teacher = draw(teacher_heads, 7, 7, seed=1).requires_grad_()
    got = score_loss(student, teacher, MASK, window=window)
    assert_same(got, by_the_equations(student, teacher, window), [student, teacher])


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("student_heads", [2, 4, 3])
def test_queries_and_keys_are_compared_over_the_pairs_that_count(
    window: int | None, student_heads: int
) -> None:
    query, key = (draw(student_heads, 7, 3, seed=seed).requires_grad_() for seed in (0, 1))
    teacher_query, teacher_key = (draw(2, 7, 5, seed=seed) for seed in (2, 3))
    got = attention_loss(
        query, key, teacher_query, teacher_key, MASK, student_scaling=0.5, teacher_scaling=0.3, window=window
    )
    theirs = teacher_query @ teacher_key.mT * 0.3
    expected = by_the_equations(query @ key.mT * 0.5, theirs, window)
    assert_same(got, expected, [query, key])
    explicit = attention_scores(query, key, MASK, scaling=0.5)
    assert_same(score_loss(explicit, theirs, MASK, window=window), expected, [query, key])


def test_a_window_as_long_as_the_texts_leaves_the_fused_form() -> None:
    q_s, k_s, q_t, k_t = (draw(2, 7, 2, seed=seed).float() for seed in range(4))
    loss = partial(attention_loss, q_s, k_s, q_t, k_t, MASK, student_scaling=1.0, teacher_scaling=1.0)
    assert torch.equal(loss(form="gram", window=6), loss())
    with pytest.raises(ShapeError, match=r"'gram' sums over all pairs of 7 tokens, and only those 5 places"):
        loss(form="gram", window=5)


@pytest.mark.parametrize("filling", [torch.finfo(torch.float32).min, -math.inf, math.nan])
@pytest.mark.parametrize("heads", [2, 4])
def test_masked_scores_harm_neither_value_nor_gradient(filling: float, heads: int) -> None:
    """As DeBERTa leaves them, and as others might."""
    pairs = (MASK[:, :, None] & MASK[:, None])[:, None]
    student = draw(heads, 7, 7, seed=0).float().masked_fill(~pairs, filling).requires_grad_()
    teacher = draw(2, 7, 7, seed=1).float().masked_fill(~pairs, filling)
    loss = score_loss(student, teacher, MASK)
    assert loss.isfinite().all()
    (gradient,) = torch.autograd.grad(loss.sum(), student)
    assert gradient.isfinite().all()
    assert not gradient.masked_select(~pairs).any()


def test_scores_of_another_size_are_refused() -> None:
    with pytest.raises(ShapeError, match="the teacher's scores and the mask"):
        score_loss(draw(2, 7, 7, seed=0), draw(2, 7, 6, seed=1), MASK)


def states(attention: AttentionState) -> EncoderStates:
    return EncoderStates(mask=MASK, embedding=torch.empty(0), hidden={}, attention={1: attention})


@pytest.mark.parametrize("student_scores", [False, True])
@pytest.mark.parametrize("teacher_scores", [False, True])
@pytest.mark.parametrize(("student_window", "teacher_window"), [(None, None), (2, None), (4, 1), (None, 3)])
def test_the_term_compares_what_both_models_compute(
    student_scores: bool, teacher_scores: bool, student_window: int | None, teacher_window: int | None
) -> None:
    shown, scores = [], []
    sides = [(2, student_scores, student_window), (4, teacher_scores, teacher_window)]
    for seed, (heads, explicit, window) in enumerate(sides):
        query, key = (draw(heads, 7, 3, seed=10 * seed + i) for i in range(2))
        own = draw(heads, 7, 7, seed=10 * seed + 2) if explicit else None
        shown.append(states(AttentionState(query, key, key, 0.4, window=window, scores=own)))
        scores.append(query @ key.mT * 0.4 if own is None else own)
    narrower = min((window for _, _, window in sides if window is not None), default=None)
    losses = AttentionTerm({1: 1})(*shown, None)
    ours, theirs = scores
    torch.testing.assert_close(losses["attention.1"], by_the_equations(ours, theirs, narrower))
