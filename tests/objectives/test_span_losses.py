"""Losses of answers: distributions over where they start and where they end."""

from __future__ import annotations

import math

import pytest
import torch
from tests import tiny
from torch import Tensor
from torch.nn import functional

from bertling.errors import ShapeError
from bertling.models.capture import observe
from bertling.objectives.presets import build_objective
from bertling.objectives.span_losses import span_label_loss, span_prediction_loss
from bertling.objectives.terms import LabelTerm, PredictionTerm
from bertling.states import EncoderStates

MASK = torch.tensor([[True, True, True, False], [True, True, True, True]])


def logits(seed: int) -> Tensor:
    return torch.randn(2, 4, 2, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_soft(student: Tensor, teacher: Tensor, mask: Tensor, temperature: float) -> list[float]:
    """Equation 10 for starts and for ends, one real token after the other."""
    losses = []
    for ours, theirs, real in zip(student, teacher, mask, strict=True):
        total = 0.0
        for side in range(2):
            shares = [
                [
                    math.exp(float(value) / temperature)
                    for value, there in zip(row[:, side], real, strict=True)
                    if there
                ]
                for row in (ours, theirs)
            ]
            total -= sum(
                their / sum(shares[1]) * math.log(our / sum(shares[0]))
                for our, their in zip(*shares, strict=True)
            )
        losses.append(total)
    return losses


def test_a_value_by_hand() -> None:
    # Starts: the teacher is sure of token 1 of three, the student finds each as likely. Ends: both are even.
    teacher = torch.zeros(1, 3, 2)
    teacher[0, 1, 0] = 100.0
    student = torch.zeros(1, 3, 2)
    mask = torch.ones(1, 3, dtype=torch.bool)
    assert span_prediction_loss(student, teacher, mask).item() == pytest.approx(2 * math.log(3))
    assert span_label_loss(student, torch.tensor([[1, 2]]), mask).item() == pytest.approx(2 * math.log(3))
    student[0, 1, 0] = math.log(2)
    assert span_label_loss(student, torch.tensor([[1, 2]]), mask).item() == pytest.approx(
        -math.log(2 / 4) + math.log(3)
    )


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_soft_cross_entropy_of_starts_and_ends_as_a_plain_reference_has_it(temperature: float) -> None:
    student, teacher = logits(1), logits(2)
    found = span_prediction_loss(student, teacher, MASK, temperature=temperature)
    assert found.tolist() == pytest.approx(plain_soft(student, teacher, MASK, temperature))


def test_labels_are_the_cross_entropies_of_both_ends() -> None:
    student, spans = logits(1), torch.tensor([[1, 2], [0, 3]])
    expected = [
        float(
            functional.cross_entropy(row[real, 0], span[0]) + functional.cross_entropy(row[real, 1], span[1])
        )
        for row, real, span in zip(student, MASK, spans, strict=True)
    ]
    assert span_label_loss(student, spans, MASK).tolist() == pytest.approx(expected)


def test_padding_counts_neither_in_the_losses_nor_in_the_gradient() -> None:
    spans = torch.tensor([[1, 2], [0, 3]])
    gradients = []
    for extra in (0, 3):
        student, teacher = (functional.pad(logits(seed), (0, 0, 0, extra), value=math.nan) for seed in (1, 2))
        mask = functional.pad(MASK, (0, extra), value=False)
        student[0, 3] = math.nan if extra else 7.0
        student.requires_grad_()
        loss = span_prediction_loss(student, teacher, mask) + span_label_loss(student, spans, mask)
        loss.sum().backward()
        assert student.grad is not None
        assert not student.grad[~mask].any()
        gradients.append((loss.detach(), student.grad[:, :4]))
    torch.testing.assert_close(gradients[0], gradients[1])


def test_the_gradient_is_the_difference_of_the_distributions() -> None:
    student, teacher = logits(1).requires_grad_(), logits(2)
    span_prediction_loss(student, teacher, MASK).sum().backward()
    with torch.no_grad():
        shares = [values.masked_fill(~MASK[..., None], -math.inf).softmax(1) for values in (student, teacher)]
    torch.testing.assert_close(student.grad, shares[0] - shares[1])


def test_an_example_without_a_real_token_has_the_loss_0() -> None:
    none = torch.zeros(2, 4, dtype=torch.bool)
    assert span_prediction_loss(logits(1), logits(2), none).tolist() == [0.0, 0.0]


def test_shapes_and_temperatures_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError, match="logits of spans and mask"):
        span_prediction_loss(logits(1)[..., :1], logits(2)[..., :1], MASK)
    with pytest.raises(ShapeError, match="student and teacher"):
        span_prediction_loss(logits(1), logits(2)[:1], MASK)
    with pytest.raises(ShapeError, match="temperature"):
        span_prediction_loss(logits(1), logits(2), MASK, temperature=0.0)
    with pytest.raises(ShapeError, match="spans"):
        span_label_loss(logits(1), torch.zeros(2, 4, dtype=torch.int64), MASK)


def test_an_objective_of_answers_reads_the_logits_of_both_ends() -> None:
    batch = tiny.batch([5, 3])
    states = [observe(tiny.answerer(seed=seed), batch) for seed in (1, 2)]
    spans = torch.tensor([[1, 2], [0, 0]])
    shown = states[0].logits
    assert shown is not None
    assert shown.shape == (2, 5, 2)
    objective = build_objective(
        {"prediction": 2.0, "labels": 1.0, "soft_targets": 1.0},
        {1: 1},
        student_width=32,
        teacher_width=32,
        temperature=2.0,
        spans=True,
    )
    total, losses = objective(*states, spans)
    soft = span_prediction_loss(shown, _logits(states[1]), states[0].mask, temperature=2.0)
    torch.testing.assert_close(losses["prediction"], soft)
    torch.testing.assert_close(losses["soft_targets"], 4 * soft)
    torch.testing.assert_close(losses["labels"], span_label_loss(shown, spans, states[0].mask))
    torch.testing.assert_close(total, 6 * soft + losses["labels"])
    assert PredictionTerm(spans=True)(*states, None).keys() == {"prediction"}
    assert LabelTerm(spans=True)(states[0], None, spans).keys() == {"labels"}


def _logits(states: EncoderStates) -> Tensor:
    assert states.logits is not None
    return states.logits
