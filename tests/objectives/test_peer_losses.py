"""Losses of the other methods against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from bertling.objectives.functional import prediction_loss
from bertling.objectives.peer_losses import (
    cosine_loss,
    masked_lm_loss,
    patient_loss,
    soft_masked_lm_loss,
    soft_target_loss,
)
from bertling.objectives.relations import distribution_loss, relation_heads, relation_loss, upper_layer

ALL = torch.ones(1, 2, dtype=torch.bool)


def logs(*shares: list[float]) -> Tensor:
    """Scores (1, 1, T, T) whose distributions are these."""
    return torch.tensor(shares).log()[None, None]


def test_soft_targets_carry_the_square_of_the_temperature() -> None:
    student, teacher = torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[2.0, -1.0, 0.0]])
    expected = 9 * prediction_loss(student, teacher, temperature=3.0)
    assert torch.equal(soft_target_loss(student, teacher, temperature=3.0), expected)


def test_the_gradient_of_soft_targets_hardly_depends_on_a_high_temperature() -> None:
    student = torch.tensor([[0.3, -0.2, 0.1]], requires_grad=True)
    teacher = torch.tensor([[1.0, 0.0, -1.0]])
    warm, hot = (
        torch.autograd.grad(soft_target_loss(student, teacher, temperature=t).sum(), student)[0]
        for t in (50.0, 500.0)
    )
    torch.testing.assert_close(warm, hot, rtol=0.03, atol=0)


def test_cosine_loss_is_the_mean_angle_over_real_tokens() -> None:
    student = torch.tensor([[[3.0, 0.0], [0.0, 2.0], [5.0, 5.0]]])
    teacher = torch.tensor([[[1.0, 1.0], [0.0, -7.0], [1.0, 1.0]]])
    mask = torch.tensor([[True, True, False]])
    # 1 - cos 45 degrees, and 1 - cos 180 degrees
    torch.testing.assert_close(cosine_loss(student, teacher, mask), torch.tensor([(3 - 0.5**0.5) / 2]))


def test_patient_loss_is_the_squared_distance_of_directions() -> None:
    student = torch.tensor([[2.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    teacher = torch.tensor([[0.0, 9.0], [30.0, 40.0], [0.0, -1.0]])
    torch.testing.assert_close(patient_loss(student, teacher), torch.tensor([2.0, 0.0, 4.0]))


def test_distributions_differ_by_their_divergence() -> None:
    student = logs([0.5, 0.5], [0.25, 0.75])
    teacher = logs([0.25, 0.75], [0.25, 0.75])
    # of the first token: 1/4 log 1/2 + 3/4 log 3/2; of the second: nothing
    expected = (0.25 * math.log(0.5) + 0.75 * math.log(1.5)) / 2
    torch.testing.assert_close(distribution_loss(student, teacher, ALL), torch.tensor([expected]))


def test_distributions_of_neighbouring_heads_are_averaged_where_one_side_has_more() -> None:
    student = logs([0.5, 0.5], [0.5, 0.5])
    teacher = torch.cat([logs([0.9, 0.1], [1.0, 1e-9]), logs([0.1, 0.9], [1e-9, 1.0])], 1)
    torch.testing.assert_close(distribution_loss(student, teacher, ALL), torch.zeros(1), atol=1e-6, rtol=0)
    assert distribution_loss(student, teacher[:, :1], ALL) > 0.3


def test_a_window_leaves_distant_tokens_out() -> None:
    mask = torch.ones(1, 3, dtype=torch.bool)
    near = logs([0.5, 0.5, 1e-30], [0.2, 0.3, 0.5], [1e-30, 0.5, 0.5])
    spread = logs([0.2, 0.2, 0.6], [0.2, 0.3, 0.5], [0.6, 0.2, 0.2])
    torch.testing.assert_close(
        distribution_loss(spread, near, mask, window=1), torch.zeros(1), atol=1e-6, rtol=0
    )
    assert distribution_loss(spread, near, mask) > 0.1


def test_relations_are_scaled_products_of_values() -> None:
    # Two channels: products [[4, 0], [0, 0]] over the root of 2 against none.
    student = torch.zeros(1, 1, 2, 2)
    teacher = torch.tensor([[[[2.0, 0.0], [0.0, 0.0]]]])
    share = 1 / (1 + math.exp(-4 / 2**0.5))
    expected = (share * math.log(2 * share) + (1 - share) * math.log(2 * (1 - share))) / 2
    torch.testing.assert_close(relation_loss(student, teacher, ALL), torch.tensor([expected]))


@pytest.mark.parametrize(
    ("student", "teacher", "heads"),
    [(384, 768, 48), (192, 384, 48), (312, 768, 24), (768, 768, 48), (30, 50, 10), (7, 9, 1)],
)
def test_relation_heads_divide_both_widths(student: int, teacher: int, heads: int) -> None:
    assert relation_heads(student, teacher) == heads


@pytest.mark.parametrize(("depth", "layer"), [(6, 6), (12, 12), (24, 21), (16, 14)])
def test_the_upper_layer_of_a_teacher(depth: int, layer: int) -> None:
    assert upper_layer(depth) == layer


def test_masked_lm_loss_is_the_mean_over_an_example_s_guesses() -> None:
    logits = torch.tensor([[0.0, 0.0], [math.log(3), 0.0], [0.0, 0.0]])
    targets, rows = torch.tensor([0, 0, 1]), torch.tensor([0, 0, 2])
    values = masked_lm_loss(logits, targets, rows, examples=4)
    expected = [(math.log(2) + math.log(4 / 3)) / 2, 0.0, math.log(2), 0.0]
    torch.testing.assert_close(values, torch.tensor(expected))


def test_soft_masked_lm_loss_is_the_mean_over_an_example_s_guesses() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(3, 5, generator=generator) for _ in range(2))
    each = soft_target_loss(student, teacher, temperature=2.0)
    values = soft_masked_lm_loss(student, teacher, torch.tensor([1, 1, 0]), examples=3, temperature=2.0)
    torch.testing.assert_close(values, torch.stack([each[2], each[:2].mean(), torch.tensor(0.0)]))
