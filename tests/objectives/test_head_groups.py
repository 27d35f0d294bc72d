"""The attention loss of some heads: it is the loss of a teacher that has no others."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from bertling.errors import ShapeError
from bertling.objectives.functional import AttentionForm, attention_loss, attention_scores, score_loss
from bertling.objectives.head_groups import head_groups
from bertling.objectives.presets import build_objective
from bertling.objectives.terms import AttentionTerm
from bertling.states import AttentionState, EncoderStates, Parts

MASK = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
FORMS: tuple[AttentionForm, ...] = ("scores", "gram", "auto")
CASES = [
    # heads of the student and the teacher, those that count, and the groups (student, teacher) that are left
    (4, 4, [1, 4], [([0], [0]), ([3], [3])]),
    (4, 4, [2], [([1], [1])]),
    (2, 4, [1, 3, 4], [([0], [0]), ([1], [2, 3])]),
    (4, 2, [2], [([2, 3], [1])]),
    (3, 2, [1], [([0, 1, 2], [0])]),
]
some_heads = pytest.mark.parametrize(("student_heads", "teacher_heads", "counted", "groups"), CASES, ids=str)


def draw(heads: int, width: int, *, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(2, heads, 5, width, generator=generator, dtype=torch.float64)
    return values.requires_grad_()


def by_the_equations(
    student: Tensor, teacher: Tensor, groups: Sequence[tuple[list[int], list[int]]], window: int | None
) -> Tensor:
    """Equation 7 with loops, over scores (B, H, T, T), of these groups of heads alone."""
    values = []
    for example, row in enumerate(MASK):
        real = row.nonzero().flatten().tolist()
        squares = [
            (student[example, ours, i, j].mean() - teacher[example, theirs, i, j].mean()) ** 2
            for ours, theirs in groups
            for i in real
            for j in real
            if window is None or abs(i - j) <= window
        ]
        values.append(torch.stack(squares).mean())
    return torch.stack(values)


def assert_same(got: Tensor, expected: Tensor, leaves: list[Tensor]) -> None:
    torch.testing.assert_close(got, expected)
    weight = torch.tensor([1.0, 3.0], dtype=torch.float64)
    for ours, theirs in zip(
        torch.autograd.grad((got * weight).sum(), leaves),
        torch.autograd.grad((expected * weight).sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


@some_heads
@pytest.mark.parametrize(("form", "window"), [*((form, None) for form in FORMS), ("scores", 1), ("auto", 1)])
def test_value_and_gradient_are_those_of_the_heads_that_count(
    student_heads: int,
    teacher_heads: int,
    counted: list[int],
    groups: list[tuple[list[int], list[int]]],
    form: AttentionForm,
    window: int | None,
) -> None:
    leaves = [draw(student_heads, 3, seed=0), draw(student_heads, 3, seed=1)]
    leaves += [draw(teacher_heads, 2, seed=2), draw(teacher_heads, 2, seed=3)]
    q_s, k_s, q_t, k_t = leaves
    got = attention_loss(
        q_s,
        k_s,
        q_t,
        k_t,
        MASK,
        student_scaling=0.7,
        teacher_scaling=0.3,
        window=window,
        teacher_heads=counted,
        form=form,
    )
    expected = by_the_equations(q_s @ k_s.mT * 0.7, q_t @ k_t.mT * 0.3, groups, window)
    assert_same(got, expected, leaves)


@some_heads
def test_scores_that_are_given_are_compared_in_the_same_way(
    student_heads: int, teacher_heads: int, counted: list[int], groups: list[tuple[list[int], list[int]]]
) -> None:
    leaves = [draw(student_heads, 5, seed=0), draw(teacher_heads, 5, seed=1)]
    got = score_loss(leaves[0], leaves[1], MASK, teacher_heads=counted)
    assert_same(got, by_the_equations(leaves[0], leaves[1], groups, None), leaves)


def test_all_heads_named_are_all_heads() -> None:
    student, teacher = draw(4, 5, seed=0), draw(2, 5, seed=1)
    assert_same(
        score_loss(student, teacher, MASK, teacher_heads=[2, 1]),
        score_loss(student, teacher, MASK),
        [student, teacher],
    )


@pytest.mark.parametrize("wrong", [[], [0], [1, 5]])
def test_heads_that_the_teacher_does_not_have_are_refused(wrong: list[int]) -> None:
    with pytest.raises(ShapeError, match=r"got heads .* expected one or several from 1 to 4"):
        head_groups(4, 4, wrong)


def states(heads: int, *, seed: int, layers: int, biased: bool = False) -> EncoderStates:
    attention = {}
    for layer in range(1, layers + 1):
        query, key = draw(heads, 3, seed=seed + 2 * layer), draw(heads, 3, seed=seed + 2 * layer + 1)
        scores = attention_scores(query, key, MASK, scaling=0.5) + 1 if biased else None
        attention[layer] = AttentionState(query, key, query, 0.5, scores=scores)
    return EncoderStates(MASK, torch.empty(0), {}, attention)


@pytest.mark.parametrize("biased", [False, True])
def test_the_term_compares_the_heads_that_count_and_skips_layers_without_any(biased: bool) -> None:
    student, teacher = states(4, seed=0, layers=3), states(4, seed=50, layers=4, biased=biased)
    term = AttentionTerm({1: 2, 2: 3, 3: 4}, heads={2: [1, 3], 3: []})
    assert term.student_parts == Parts(attention=frozenset({1, 3}))
    assert term.teacher_parts == Parts(attention=frozenset({2, 4}))
    losses = term(student, teacher, None)
    assert list(losses) == ["attention.1", "attention.3"]
    everything = AttentionTerm({1: 2, 3: 4})(student, teacher, None)
    torch.testing.assert_close(losses["attention.3"], everything["attention.3"])
    parts = []
    for head in (0, 2):  # of one head each: their mean is the loss of both
        ours, theirs = (
            EncoderStates(
                MASK,
                torch.empty(0),
                {},
                {
                    layer: AttentionState(
                        shown.query[:, [head]],
                        shown.key[:, [head]],
                        shown.value,
                        shown.scaling,
                        scores=None if shown.scores is None else shown.scores[:, [head]],
                    )
                    for layer, shown in whole.attention.items()
                },
            )
            for whole in (student, teacher)
        )
        parts.append(AttentionTerm({1: 2})(ours, theirs, None)["attention.1"])
    torch.testing.assert_close(losses["attention.1"], (parts[0] + parts[1]) / 2)


def test_a_head_that_is_left_out_gets_no_gradient() -> None:
    student, teacher = states(4, seed=0, layers=1), states(4, seed=50, layers=1)
    objective = build_objective(
        {"attention": 1.0}, {1: 1}, student_width=12, teacher_width=12, attention_heads={1: [2, 4]}
    )
    total, _ = objective(student, teacher)
    (gradient,) = torch.autograd.grad(total.sum(), student.attention[1].query)
    assert gradient.flatten(2).abs().sum((0, 2)).ne(0).tolist() == [False, True, False, True]


def test_a_term_without_any_head_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"no head of the teacher's layers \[2, 3\] counts"):
        AttentionTerm({1: 2, 2: 3}, heads={2: [], 3: []})
