"""Embeddings of texts, and losses of the cosines between them."""

from __future__ import annotations

import math

import pytest
import torch
from tests import tiny
from torch import Tensor

from bertling.errors import ModelError, ShapeError
from bertling.models.capture import observe
from bertling.objectives.objective import Objective
from bertling.objectives.presets import build_objective
from bertling.objectives.sentence_losses import (
    pair_cosines,
    similarity_label_loss,
    similarity_loss,
    text_embeddings,
)
from bertling.objectives.sentence_terms import SimilarityLabelTerm, SimilarityTerm


def unit(*angles: float) -> Tensor:
    """(B, 2), one embedding for each angle in degrees."""
    return torch.tensor([[math.cos(math.radians(angle)), math.sin(math.radians(angle))] for angle in angles])


def test_an_embedding_is_the_mean_over_real_tokens_at_length_1() -> None:
    states = torch.tensor(
        [[[3.0, 0.0], [0.0, 8.0], [float("nan"), 7.0]], [[0.0, 2.0], [0.0, 4.0], [0.0, 3.0]]]
    )
    mask = torch.tensor([[True, True, False], [True, True, True]])
    expected = torch.tensor([[3 / math.sqrt(73), 8 / math.sqrt(73)], [0.0, 1.0]])
    torch.testing.assert_close(text_embeddings(states, mask), expected)


def test_an_example_without_tokens_has_an_embedding_of_zeros() -> None:
    found = text_embeddings(torch.ones(1, 2, 3), torch.zeros(1, 2, dtype=torch.bool))
    assert found.tolist() == [[0.0, 0.0, 0.0]]


def test_neighbours_are_pairs() -> None:
    torch.testing.assert_close(pair_cosines(unit(0, 60, 10, 10)), torch.tensor([0.5, 1.0]))
    with pytest.raises(ShapeError, match="pairs"):
        pair_cosines(unit(0, 60, 10))


def test_similarities_by_hand() -> None:
    # Of 0 and 1, 0 and 2, 1 and 2: the student's cosines are 0, -1, 0; the teacher's 1/2, -1, -1/2.
    teacher = torch.nn.functional.pad(unit(0, 60, 180), (0, 3))
    loss = similarity_loss(unit(0, 90, 180), teacher)
    torch.testing.assert_close(loss, torch.tensor([0.25 / 2, 0.5 / 2, 0.25 / 2]))


def test_a_turned_or_mirrored_space_is_the_same_to_it_and_a_text_alone_has_no_loss() -> None:
    torch.testing.assert_close(similarity_loss(unit(0, 50, 130), unit(77, 27, -53)), torch.zeros(3))
    assert similarity_loss(unit(0), unit(90)).tolist() == [0.0]


def test_the_label_loss_is_the_same_at_both_texts_of_a_pair() -> None:
    loss = similarity_label_loss(unit(0, 60, 10, 10), torch.tensor([0.9, 0.0]))
    torch.testing.assert_close(loss, torch.tensor([0.16, 0.16, 1.0, 1.0]))
    with pytest.raises(ShapeError, match="labels of pairs"):
        similarity_label_loss(unit(0, 60, 10, 10), torch.tensor([0.9]))


def test_gradients_are_those_of_the_functions() -> None:
    states = torch.randn(4, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    teacher = torch.nn.functional.normalize(torch.randn(4, 6, dtype=torch.float64), dim=-1)
    mask = torch.tensor([[True, True, True], [True, False, False], [True, True, False], [True, True, True]])
    labels = torch.tensor([0.2, 0.9], dtype=torch.float64)
    states.requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: similarity_loss(text_embeddings(x, mask), teacher), states)
    assert torch.autograd.gradcheck(lambda x: similarity_label_loss(text_embeddings(x, mask), labels), states)


def objective(terms: dict[str, float], *, student_width: int = 16) -> Objective:
    return build_objective(
        terms,
        {1: 1, 2: 2},  # not the teacher's last layer, which the embedding is read from all the same
        student_width=student_width,
        teacher_width=32,
        sentence_layers=(2, 3),
        similarity_range=(0.0, 5.0),
    )


def test_an_objective_of_embeddings_needs_no_head_and_padding_does_not_count() -> None:
    student, teacher = tiny.encoder(layers=2, width=16), tiny.encoder(layers=3, width=32, seed=1)
    made = objective({"prediction": 1.0, "labels": 0.5, "similarities": 2.0})
    assert made.teacher_parts.hidden == {3}
    labels = torch.tensor([5.0, 1.0])
    losses = []
    for total in (None, 12):
        batch = tiny.batch([3, 7, 5, 4], total=total)
        loss, terms = made(observe(student, batch), observe(teacher, batch), labels)
        torch.testing.assert_close(
            loss, terms["prediction"] + 0.5 * terms["labels"] + 2 * terms["similarities"]
        )
        losses.append(loss)
    torch.testing.assert_close(losses[0], losses[1])
    assert (losses[0] > 0).all()


def test_the_prediction_loss_is_that_of_projected_embeddings_text_by_text() -> None:
    student, teacher = tiny.encoder(layers=2, width=16), tiny.encoder(layers=3, width=32, seed=1)
    made = objective({"prediction": 1.0})
    (weight,) = made.parameters()
    batch = tiny.batch([3, 7, 5])
    shown = observe(student, batch), observe(teacher, batch)
    expected = []
    for row, length in enumerate([3, 7, 5]):
        ours = shown[0].hidden[2][row, :length].mean(0) @ weight.T
        theirs = shown[1].hidden[3][row, :length].mean(0)
        expected.append(2 - 2 * torch.nn.functional.cosine_similarity(ours, theirs, dim=0).item())
    assert made(*shown)[0].tolist() == pytest.approx(expected, rel=1e-4)


def test_its_projection_starts_from_the_fit_and_equal_widths_have_none() -> None:
    teacher = tiny.encoder(layers=3, width=32, seed=1)
    assert not list(objective({"prediction": 1.0}, student_width=32).parameters())
    made = objective({"prediction": 1.0})
    student = tiny.encoder(layers=2, width=16)
    batches = [tiny.batch([5, 7, 6, 8], seed=seed) for seed in range(8)]
    shown = [(observe(student, batch), observe(teacher, batch)) for batch in batches]
    before = made(*shown[0])[0].sum().item()
    made.fit_projections(shown)
    assert made(*shown[0])[0].sum().item() < before / 2


def test_similarities_are_for_embeddings_alone() -> None:
    with pytest.raises(ShapeError, match="similarities are those of embeddings"):
        build_objective({"similarities": 1.0}, {1: 1}, student_width=16, teacher_width=16)


def test_a_scale_of_the_data_is_made_one_of_cosines() -> None:
    encoder = tiny.encoder(layers=1, width=16)
    shown = observe(encoder, tiny.batch([3, 7]))
    cosine = pair_cosines(text_embeddings(shown.hidden[1], shown.mask))
    term = SimilarityLabelTerm(1, lowest=-2.0, highest=6.0)
    assert term(shown, None, 8 * cosine - 2)["labels"].tolist() == pytest.approx([0.0, 0.0], abs=1e-9)
    with pytest.raises(ModelError, match="labelled data"):
        term(shown, None, None)
    with pytest.raises(ModelError, match="'similarities' compares with a teacher"):
        SimilarityTerm(1, 1)(shown, None, None)
