"""Losses against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from bertling.objectives.functional import (
    label_loss,
    prediction_loss,
    regression_prediction_loss,
    state_loss,
)


def test_state_loss_is_the_mean_over_real_tokens_and_width() -> None:
    student = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]], [[0.0, 0.0], [9.0, 9.0], [9.0, 9.0]]])
    teacher = torch.tensor([[[0.0, 4.0], [3.0, 1.0], [0.0, 0.0]], [[2.0, 4.0], [0.0, 0.0], [0.0, 0.0]]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    # (1 + 4 + 0 + 9) / (2 * 2), and (4 + 16) / (1 * 2)
    torch.testing.assert_close(state_loss(student, teacher, mask), torch.tensor([3.5, 10.0]))


def test_prediction_loss_is_summed_over_classes() -> None:
    student = torch.zeros(2, 4)
    teacher = torch.tensor([[0.0, 0.0, 0.0, 0.0], [3.0, -1.0, 0.5, 2.0]])
    # A student that knows nothing pays log C whatever the teacher says; averaged it would be log(C) / C.
    torch.testing.assert_close(prediction_loss(student, teacher), torch.full((2,), math.log(4)))


def test_prediction_loss_of_two_classes() -> None:
    student = torch.tensor([[math.log(3), 0.0]])  # 3/4, 1/4
    teacher = torch.tensor([[math.log(4), 0.0]])  # 4/5, 1/5
    expected = -(0.8 * math.log(0.75) + 0.2 * math.log(0.25))
    torch.testing.assert_close(prediction_loss(student, teacher), torch.tensor([expected]))


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_divides_both_logits_and_brings_no_factor(temperature: float) -> None:
    student, teacher = torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[2.0, -1.0, 0.0]])
    soft = prediction_loss(student, teacher, temperature=temperature)
    torch.testing.assert_close(soft, prediction_loss(student / temperature, teacher / temperature))
    assert soft != prediction_loss(student, teacher)


def test_prediction_loss_is_least_at_the_teacher_s_own_logits() -> None:
    teacher = torch.tensor([[1.0, 2.0, -1.0]])
    student = teacher.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(prediction_loss(student, teacher).sum(), student)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient))


def test_regression_compares_outputs() -> None:
    values = regression_prediction_loss(torch.tensor([[1.0], [-2.0]]), torch.tensor([[4.0], [0.5]]))
    assert values.tolist() == [9.0, 6.25]


def test_label_loss_is_cross_entropy_with_the_class_id() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]])
    expected = torch.tensor([-math.log(0.75), math.log(2)])
    torch.testing.assert_close(label_loss(logits, torch.tensor([1, 0])), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_label_loss_of_one_output_is_a_squared_error(dtype: torch.dtype) -> None:
    values = label_loss(torch.tensor([[1.0], [-2.0]]), torch.tensor([4, 0], dtype=dtype))
    assert values.dtype == torch.float32
    assert values.tolist() == [9.0, 4.0]
