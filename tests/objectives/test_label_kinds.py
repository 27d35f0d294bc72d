"""Losses of labelled words and of several labels, against plain arithmetic."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from bertling.errors import ModelError, ShapeError
from bertling.objectives.label_kinds import (
    balanced_weights,
    multi_label_loss,
    multi_label_prediction_loss,
    over_labelled_tokens,
)
from bertling.objectives.objective import Objective
from bertling.objectives.peer_terms import SoftTargetTerm
from bertling.objectives.presets import build_objective
from bertling.objectives.terms import LabelTerm, PredictionTerm
from bertling.states import EncoderStates

LABELS = torch.tensor([[-100, 2, -100, 0, -100], [-100, 1, -100, -100, -100]])


def logits(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def states(values: Tensor) -> EncoderStates:
    mask = torch.ones(values.shape[0], 5, dtype=torch.bool)
    return EncoderStates(mask=mask, embedding=torch.empty(0), hidden={}, logits=values)


def soft(ours: Tensor, other: Tensor, temperature: float = 1.0) -> Tensor:
    return -((other / temperature).softmax(-1) * (ours / temperature).log_softmax(-1)).sum(-1)


def test_words_soft_targets_are_averaged_over_each_examples_labelled_tokens() -> None:
    ours, other = logits(0, 2, 5, 3), logits(1, 2, 5, 3)
    loss = PredictionTerm(temperature=2.0)(states(ours), states(other), LABELS)["prediction"]
    each = soft(ours, other, 2.0)
    assert torch.allclose(loss, torch.stack([(each[0, 1] + each[0, 3]) / 2, each[1, 1]]))
    scaled = SoftTargetTerm(temperature=2.0)(states(ours), states(other), LABELS)["soft_targets"]
    assert torch.allclose(scaled, 4 * loss)


def test_words_labels_are_averaged_over_each_examples_labelled_tokens() -> None:
    ours = logits(0, 2, 5, 3)
    loss = LabelTerm()(states(ours), None, LABELS)["labels"]
    each = -ours.log_softmax(-1)
    assert torch.allclose(loss, torch.stack([(each[0, 1, 2] + each[0, 3, 0]) / 2, each[1, 1, 1]]))


def test_padding_and_further_pieces_never_count_not_even_as_nan() -> None:
    ours, other = logits(0, 2, 5, 3), logits(1, 2, 5, 3)
    objective = Objective([PredictionTerm(), LabelTerm()])
    clean, _ = objective(states(ours), states(other), LABELS)
    dirty = ours.masked_fill((LABELS < 0)[..., None], float("nan")).requires_grad_()
    wild = other.masked_fill((LABELS < 0)[..., None], float("nan"))
    loss, _ = objective(states(dirty), states(wild), LABELS)
    assert torch.equal(loss, clean)
    (gradient,) = torch.autograd.grad(loss.sum(), dirty)
    assert torch.isfinite(gradient).all()
    assert (gradient[LABELS < 0] == 0).all()


def test_an_example_without_a_labelled_token_has_the_loss_0() -> None:
    nothing = torch.full((2, 5), -100)
    assert LabelTerm()(states(logits(0, 2, 5, 3)), None, nothing)["labels"].tolist() == [0.0, 0.0]


def test_soft_targets_of_words_need_to_know_where_words_begin() -> None:
    with pytest.raises(ModelError, match=r"'prediction' compares words.*no labels"):
        PredictionTerm()(states(logits(0, 2, 5, 3)), states(logits(1, 2, 5, 3)), None)
    with pytest.raises(ShapeError, match="logits and labels"):
        over_labelled_tokens(lambda x, y: x.sum(-1), logits(0, 2, 4, 3), LABELS, LABELS)


def test_several_labels_are_a_sum_of_bernoulli_cross_entropies() -> None:
    ours, other = logits(0, 4, 3), logits(1, 4, 3)
    p, q = (other / 2).sigmoid(), (ours / 2).sigmoid()
    expected = -(p * q.log() + (1 - p) * (1 - q).log()).sum(-1)
    assert torch.allclose(multi_label_prediction_loss(ours, other, temperature=2.0), expected)
    by_softmax = sum(
        soft(torch.stack([ours[:, c], 0 * ours[:, c]], -1), torch.stack([other[:, c], 0 * ours[:, c]], -1))
        for c in range(3)
    )
    assert isinstance(by_softmax, Tensor)
    assert torch.allclose(multi_label_prediction_loss(ours, other), by_softmax)
    with pytest.raises(ShapeError, match="temperature"):
        multi_label_prediction_loss(ours, other, temperature=0.0)


def test_several_labels_need_no_labels_for_soft_targets_and_are_summed_for_hard_ones() -> None:
    ours, other = logits(0, 4, 3), logits(1, 4, 3)
    objective = build_objective(
        {"prediction": 1.0}, {1: 1}, student_width=1, teacher_width=1, multi_label=True
    )
    loss, _ = objective(states(ours), states(other))
    assert torch.allclose(loss, multi_label_prediction_loss(ours, other))
    chosen = torch.tensor([[1.0, 0.0, 1.0]] * 4)
    expected = -(ours[:, [0, 2]].sigmoid().log().sum(-1) + (1 - ours[:, 1].sigmoid()).log())
    assert torch.allclose(LabelTerm()(states(ours), None, chosen)["labels"], expected)
    with pytest.raises(ShapeError, match="logits and targets"):
        multi_label_loss(ours, chosen[:, :2])


def test_class_weights_multiply_the_losses_of_their_classes() -> None:
    weights = torch.tensor([1.0, 3.0, 0.5])
    ours, labels = logits(0, 3, 3), torch.tensor([0, 1, 2])
    plain = LabelTerm()(states(ours), None, labels)["labels"]
    assert torch.allclose(LabelTerm(weights)(states(ours), None, labels)["labels"], plain * weights)
    words = LabelTerm(weights)(states(logits(0, 2, 5, 3)), None, LABELS)["labels"]
    each = -logits(0, 2, 5, 3).log_softmax(-1)
    assert words[0] == pytest.approx(float(0.5 * each[0, 1, 2] + each[0, 3, 0]) / 2)


def test_balanced_weights_give_every_class_the_same_sum_and_the_mean_example_1() -> None:
    labels = torch.tensor([0] * 6 + [1] * 3 + [3])
    weights = balanced_weights(labels, 4)
    assert weights[2] == 0
    assert torch.allclose(weights[[0, 1, 3]] * torch.tensor([6.0, 3.0, 1.0]), torch.full((3,), 10 / 3))
    assert float(weights[labels].mean()) == pytest.approx(1.0)


def test_class_weights_are_not_saved_with_the_objective() -> None:
    assert not Objective([LabelTerm(torch.ones(2))]).state_dict()
