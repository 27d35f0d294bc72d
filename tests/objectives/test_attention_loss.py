from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from bertling.objectives.functional import AttentionForm, attention_loss

FORMS: tuple[AttentionForm, ...] = ("scores", "gram", "auto")
every_form = pytest.mark.parametrize("form", FORMS)


def heads(batch: int, count: int, tokens: int, width: int, *, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, count, tokens, width, generator=generator, dtype=torch.float64)


def by_the_equations(
    student: tuple[Tensor, Tensor, float], teacher: tuple[Tensor, Tensor, float], mask: Tensor
) -> Tensor:
    """Equation 7 with loops; heads of unequal numbers are averaged in groups of neighbours."""
    groups = math.gcd(student[0].shape[1], teacher[0].shape[1])

    def score(side: tuple[Tensor, Tensor, float], example: int, group: int, i: int, j: int) -> Tensor:
        query, key, scaling = side
        size = query.shape[1] // groups
        members = range(group * size, (group + 1) * size)
        scores = [scaling * query[example, head, i] @ key[example, head, j] for head in members]
        return torch.stack(scores).sum() / size

    values = []
    for example, row in enumerate(mask):
        real = row.nonzero().flatten().tolist()
        squares = [
            (score(student, example, group, i, j) - score(teacher, example, group, i, j)) ** 2
            for group in range(groups)
            for i in real
            for j in real
        ]
        values.append(torch.stack(squares).mean())
    return torch.stack(values)


@every_form
def test_one_head_by_hand(form: AttentionForm) -> None:
    # Student scores 2 * [[1, 3], [2, 6]]; teacher scores 0.5 * [[4, 0], [0, 4]].
    student_query, student_key = torch.tensor([[[[1.0], [2.0]]]]), torch.tensor([[[[1.0], [3.0]]]])
    teacher_query = teacher_key = torch.tensor([[[[2.0, 0.0], [0.0, 2.0]]]])
    values = attention_loss(
        student_query,
        student_key,
        teacher_query,
        teacher_key,
        torch.ones(1, 2, dtype=torch.bool),
        student_scaling=2.0,
        teacher_scaling=0.5,
        form=form,
    )
    # Differences [[0, 6], [4, 10]]: (0 + 36 + 16 + 100) / 4
    assert values.tolist() == [38.0]


@every_form
def test_unequal_head_counts_by_hand(form: AttentionForm) -> None:
    """Two student heads against four of the teacher: head m against the mean of heads 2m - 1 and 2m."""
    student_query, student_key = torch.tensor([[[[1.0]], [[2.0]]]]), torch.tensor([[[[5.0]], [[7.0]]]])
    teacher_query = torch.tensor([[[[1.0]], [[2.0]], [[3.0]], [[4.0]]]])
    teacher_key = torch.ones(1, 4, 1, 1)
    values = attention_loss(
        student_query,
        student_key,
        teacher_query,
        teacher_key,
        torch.ones(1, 1, dtype=torch.bool),
        student_scaling=1.0,
        teacher_scaling=2.0,
        form=form,
    )
    # Student scores 5 and 14; teacher scores 2, 4, 6, 8, in pairs 3 and 7: (2^2 + 7^2) / 2
    assert values.tolist() == [26.5]


@every_form
@pytest.mark.parametrize(
    ("student_heads", "teacher_heads"), [(2, 2), (2, 4), (4, 2), (4, 6), (3, 2), (1, 3)], ids=str
)
@pytest.mark.parametrize(("student_width", "teacher_width"), [(2, 3), (3, 3), (4, 1)], ids=str)
def test_value_and_gradient_are_those_of_the_equations(
    form: AttentionForm, student_heads: int, teacher_heads: int, student_width: int, teacher_width: int
) -> None:
    mask = torch.tensor([[True, True, True, False], [False, True, False, False]])
    leaves = q_s, k_s, q_t, k_t = [
        heads(2, count, 4, width, seed=seed).requires_grad_()
        for seed, (count, width) in enumerate(
            [(student_heads, student_width)] * 2 + [(teacher_heads, teacher_width)] * 2
        )
    ]
    got = attention_loss(q_s, k_s, q_t, k_t, mask, student_scaling=0.7, teacher_scaling=0.3, form=form)
    expected = by_the_equations((q_s, k_s, 0.7), (q_t, k_t, 0.3), mask)
    torch.testing.assert_close(got, expected)
    weight = torch.tensor([1.0, 3.0], dtype=torch.float64)
    for ours, theirs in zip(
        torch.autograd.grad((got * weight).sum(), leaves),
        torch.autograd.grad((expected * weight).sum(), leaves),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def inputs(tokens: int, *, count: int = 2, closeness: float = 1.0, dtype: torch.dtype) -> list[Tensor]:
    """Student and teacher of head width 3 and 5, whose scores differ in proportion to ``closeness``."""
    query, key = heads(2, count, tokens, 3, seed=0), heads(2, count, tokens, 3, seed=1)
    rest = [heads(2, count, tokens, 2, seed=seed) for seed in (2, 3)]
    teacher_query = torch.cat(
        [query + closeness * heads(2, count, tokens, 3, seed=4), closeness * rest[0]], -1
    )
    return [x.to(dtype) for x in (query, key, teacher_query, torch.cat([key, rest[1]], -1))]


def loss(tensors: list[Tensor], form: AttentionForm) -> Tensor:
    q_s, k_s, q_t, k_t = tensors
    mask = torch.ones(q_s.shape[0], q_s.shape[2], dtype=torch.bool)
    return attention_loss(q_s, k_s, q_t, k_t, mask, student_scaling=0.5, teacher_scaling=0.5, form=form)


@pytest.mark.parametrize(("tokens", "form"), [(8, "scores"), (9, "gram"), (40, "gram"), (2, "scores")])
def test_auto_takes_the_form_with_less_work(tokens: int, form: AttentionForm) -> None:
    """The joined head width is 3 + 5: from there on the Gram matrices are smaller than the scores."""
    tensors = inputs(tokens, dtype=torch.float32)
    assert torch.equal(loss(tensors, "auto"), loss(tensors, form))
    other: AttentionForm = "scores" if form == "gram" else "gram"
    assert not torch.equal(loss(tensors, "auto"), loss(tensors, other))


@pytest.mark.parametrize("closeness", [1.0, 1e-1, 1e-2])
def test_gram_stays_close_in_float32_when_the_scores_are_close(closeness: float) -> None:
    """Its large terms cancel, so its error is relative to the scores' size and not to the loss."""
    exact = loss(inputs(64, closeness=closeness, dtype=torch.float64), "scores")
    got = loss(inputs(64, closeness=closeness, dtype=torch.float32), "gram").double()
    assert ((got - exact).abs() / exact < 1e-6 / closeness**2).all()


def test_gram_keeps_its_gradient_where_rounding_makes_it_negative() -> None:
    negative = 0
    for seed in range(20):
        query, key = (heads(8, 2, 32, 8, seed=2 * seed + i).float() for i in range(2))
        student = (query * (1 + 1e-6)).requires_grad_()
        values = loss([student, key, query, key], "gram")
        (gradient,) = torch.autograd.grad(values.sum(), student)
        below = values < 0
        negative += int(below.sum())
        assert gradient[below].flatten(1).any(1).all()
    assert negative > 0


class _Shapes(TorchDispatchMode):
    """Notes the shape of everything that torch computes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[tuple[int, ...]] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self.seen.add(tuple(tensor.shape))
        return result


@pytest.mark.parametrize(("form", "made"), [("gram", False), ("auto", False), ("scores", True)])
def test_only_the_direct_form_makes_a_matrix_of_all_pairs(form: AttentionForm, made: bool) -> None:
    tensors = [x.requires_grad_() for x in inputs(24, dtype=torch.float32)]
    with _Shapes() as shapes:
        loss(tensors, form).sum().backward()
    assert any(shape[-2:] == (24, 24) for shape in shapes.seen) is made
