from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from bertling.errors import ModelError, ShapeError
from bertling.objectives.objective import Objective
from bertling.objectives.presets import TINYBERT_INTERMEDIATE, TINYBERT_PREDICTION, build_objective
from bertling.objectives.projection import LeastSquares
from bertling.objectives.terms import HiddenTerm, LabelTerm, PredictionTerm
from bertling.states import AttentionState, EncoderStates

ALL = {**TINYBERT_INTERMEDIATE, **TINYBERT_PREDICTION, "labels": 1.0}
LABELS = torch.tensor([0, 1])


def states(*, width: int, layers: int, seed: int, tokens: int = 3, outputs: int | None = 2) -> EncoderStates:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(2, *shape, generator=generator)

    def head() -> torch.Tensor:
        return draw(2, tokens, width // 2)

    return EncoderStates(
        mask=torch.tensor([[True] * tokens, [True] + [False] * (tokens - 1)]),
        embedding=draw(tokens, width),
        hidden={layer: draw(tokens, width) for layer in range(1, layers + 1)},
        attention={
            layer: AttentionState(query=head(), key=head(), value=head(), scaling=0.5)
            for layer in range(1, layers + 1)
        },
        logits=None if outputs is None else draw(outputs),
    )


STUDENT = states(width=4, layers=2, seed=0)
TEACHER = states(width=6, layers=4, seed=1)


def objective(weights: dict[str, float]) -> Objective:
    torch.manual_seed(0)
    return build_objective(weights, {1: 2, 2: 4}, student_width=4, teacher_width=6)


def test_losses_are_named_by_term_and_student_layer() -> None:
    total, losses = objective(ALL)(STUDENT, TEACHER, LABELS)
    assert list(losses) == [
        "embedding",
        "attention.1",
        "attention.2",
        "hidden.1",
        "hidden.2",
        "prediction",
        "labels",
    ]
    assert {loss.shape for loss in losses.values()} == {(2,)}
    torch.testing.assert_close(total, torch.stack(list(losses.values())).sum(0))


def test_weights_scale_the_sum_and_not_the_named_losses() -> None:
    weighted = {"embedding": 0.5, "attention": 2.0, "hidden": 3.0, "prediction": 10.0}
    total, losses = objective(weighted)(STUDENT, TEACHER)
    _, plain = objective(dict.fromkeys(weighted, 1.0))(STUDENT, TEACHER)
    for name, loss in losses.items():
        assert torch.equal(loss, plain[name])
    expected = sum(loss * weighted[name.split(".")[0]] for name, loss in losses.items())
    torch.testing.assert_close(total, torch.as_tensor(expected))


def test_terms_of_weight_zero_are_left_out() -> None:
    made = objective({"hidden": 1.0, "attention": 0.0, "labels": 0})
    assert list(made(STUDENT, TEACHER)[1]) == ["hidden.1", "hidden.2"]
    assert made.student_parts.captured == frozenset()


def test_what_an_objective_needs() -> None:
    labels, attention = objective({"labels": 1.0}), objective({"attention": 1.0, "labels": 1.0})
    assert not labels.needs_teacher
    assert attention.needs_teacher
    assert attention.student_parts.captured == {1, 2}
    assert attention.teacher_parts.captured == {2, 4}
    assert not labels.student_parts.captured
    assert not labels.teacher_parts.captured
    assert not objective(TINYBERT_PREDICTION).student_parts.captured


def test_each_layer_has_a_projection_of_its_own_and_the_embedding_too() -> None:
    assert [tuple(p.shape) for p in objective(TINYBERT_INTERMEDIATE).parameters()] == [(6, 4)] * 3
    same = build_objective(TINYBERT_INTERMEDIATE, {1: 2, 2: 4}, student_width=6, teacher_width=6)
    assert list(same.parameters()) == []


def test_terms_may_come_with_a_weight_or_without() -> None:
    made = Objective([LabelTerm(), (PredictionTerm(temperature=2.0), 0.25)])
    total, losses = made(STUDENT, TEACHER, LABELS)
    torch.testing.assert_close(total, losses["labels"] + losses["prediction"] / 4)


def test_prediction_of_one_output_is_regression() -> None:
    student, teacher = (states(width=4, layers=1, seed=seed, outputs=1) for seed in (0, 1))
    assert student.logits is not None
    assert teacher.logits is not None
    _, losses = Objective([PredictionTerm()])(student, teacher)
    torch.testing.assert_close(losses["prediction"], (student.logits - teacher.logits).square()[:, 0])


def test_projections_start_from_the_least_squares_fit() -> None:
    """On real tokens alone: a teacher that is a linear image of the student is met, up to the fit's ridge."""
    student = [states(width=4, layers=2, seed=seed, tokens=9) for seed in range(3)]
    maps = [torch.randn(4, 6, generator=torch.Generator().manual_seed(seed)) for seed in range(3)]

    def taught(shown: EncoderStates) -> EncoderStates:
        def image(x: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
            return (x @ matrix).masked_fill(~shown.mask[..., None], 99.0)

        hidden = {2: image(shown.hidden[1], maps[1]), 4: image(shown.hidden[2], maps[2])}
        return EncoderStates(mask=shown.mask, embedding=image(shown.embedding, maps[0]), hidden=hidden)

    made = objective({"embedding": 1.0, "hidden": 1.0})
    before, _ = made(student[0], taught(student[0]))
    made.fit_projections((shown, taught(shown)) for shown in student)
    after, losses = made(student[0], taught(student[0]))
    assert (before > 0.1).all()
    assert (after < 1e-4 * before).all()
    assert len(losses) == 3
    pairs = [
        [(shown.embedding, taught(shown).embedding, shown.mask) for shown in student],
        [(shown.hidden[1], taught(shown).hidden[2], shown.mask) for shown in student],
        [(shown.hidden[2], taught(shown).hidden[4], shown.mask) for shown in student],
    ]
    for weight, states_of_both in zip(made.parameters(), pairs, strict=True):
        fit = LeastSquares()
        for ours, theirs, mask in states_of_both:
            fit.add(ours[mask], theirs[mask])
        torch.testing.assert_close(weight.detach().T, fit.solve())


def test_fitting_leaves_an_objective_without_projections_alone() -> None:
    objective({"prediction": 1.0}).fit_projections([(STUDENT, TEACHER)])
    same = build_objective({"hidden": 1.0}, {1: 1}, student_width=4, teacher_width=4)
    same.fit_projections([(STUDENT, STUDENT)])
    assert not same(STUDENT, STUDENT)[0].any()


def test_unknown_terms_are_named_with_what_is_known() -> None:
    with pytest.raises(ShapeError, match=r"\['atention', 'pooler'\]; expected embedding, attention, hidden,"):
        objective({"pooler": 1.0, "atention": 1.0, "hidden": 1.0})


@pytest.mark.parametrize("weight", [0.0, -1.0, math.nan])
def test_an_objective_needs_terms_that_count(weight: float) -> None:
    with pytest.raises(ShapeError, match="weights above 0"):
        objective({"hidden": weight})
    with pytest.raises(ShapeError, match="weights above 0"):
        Objective([])


@pytest.mark.parametrize("term", ["embedding", "attention", "hidden", "prediction"])
def test_a_term_without_its_teacher_says_so(term: str) -> None:
    with pytest.raises(ModelError, match=f"'{term}' compares with a teacher, and there is none"):
        objective({term: 1.0})(STUDENT)


def test_labels_and_heads_that_are_missing_are_named() -> None:
    headless = replace(STUDENT, logits=None)
    with pytest.raises(ModelError, match="batch has no labels"):
        objective({"labels": 1.0})(STUDENT)
    with pytest.raises(ModelError, match="the student gives no logits"):
        objective({"labels": 1.0})(headless, None, LABELS)
    with pytest.raises(ModelError, match="the student gives no logits"):
        objective({"prediction": 1.0})(headless, TEACHER)
    with pytest.raises(ModelError, match="the teacher gives no logits"):
        objective({"prediction": 1.0})(STUDENT, replace(TEACHER, logits=None))


def test_states_of_another_width_than_the_projections_are_refused() -> None:
    made = Objective([HiddenTerm({1: 2}, student_width=4, teacher_width=4)])
    with pytest.raises(ShapeError, match="student and teacher states"):
        made(STUDENT, TEACHER)
