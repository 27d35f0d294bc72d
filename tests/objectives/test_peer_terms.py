from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from tests.objectives.test_objective import states
from torch import Tensor, nn

from bertling.errors import ModelError, ShapeError
from bertling.objectives.objective import Objective
from bertling.objectives.presets import build_objective
from bertling.states import EncoderStates, Parts

STUDENT = states(width=4, layers=2, seed=0)
TEACHER = states(width=6, layers=4, seed=1)
LABELS = torch.tensor([0, 1])
HIDDEN = torch.tensor([[-100, 7, -100], [3, -100, -100]])
TABLE = nn.Embedding(9, 4)

TERMS = {
    "soft_targets": (Parts(logits=True), Parts(logits=True)),
    "cosine": (Parts(hidden=frozenset({2})), Parts(hidden=frozenset({4}))),
    "patient_states": (Parts(hidden=frozenset({1})), Parts(hidden=frozenset({2}))),
    "attention_distributions": (Parts(attention=frozenset({2})), Parts(attention=frozenset({4}))),
    "value_relations": (Parts(values=frozenset({2})), Parts(values=frozenset({4}))),
    "self_relations": (
        Parts(attention=frozenset({2}), values=frozenset({2})),
        Parts(attention=frozenset({3}), values=frozenset({3})),
    ),
    "masked_lm": (Parts(hidden=frozenset({2})), Parts()),
    "soft_masked_lm": (Parts(hidden=frozenset({2})), Parts(hidden=frozenset({4}))),
}
OF_A_TEACHER = [name for name in TERMS if name != "masked_lm"]


def teacher_head(hidden: Tensor) -> Tensor:
    return hidden @ torch.ones(6, 9)


def objective(term: str) -> Objective:
    torch.manual_seed(0)
    weights = {term: 1.0} if term != "soft_masked_lm" else {term: 1.0, "masked_lm": 1.0}
    return build_objective(
        weights,
        {1: 2, 2: 4},
        student_width=4,
        teacher_width=6,
        upper_layer=3,
        embeddings=TABLE,
        teacher_head=teacher_head,
    )


def labels(term: str) -> Tensor:
    return HIDDEN if "masked" in term else LABELS


def only(parts: Parts, shown: EncoderStates) -> EncoderStates:
    """What a cache of these parts would give."""
    nothing = torch.empty(0)
    return EncoderStates(
        mask=shown.mask,
        embedding=shown.embedding if parts.embedding else nothing,
        hidden={layer: shown.hidden[layer] for layer in parts.hidden},
        attention={
            layer: replace(
                state,
                query=state.query if layer in parts.attention else nothing,
                key=state.key if layer in parts.attention else nothing,
                value=state.value if layer in parts.values else nothing,
            )
            for layer, state in shown.attention.items()
            if layer in parts.captured
        },
        logits=shown.logits if parts.logits else None,
    )


@pytest.mark.parametrize("term", TERMS)
def test_a_term_reads_the_parts_that_it_declares_and_no_others(term: str) -> None:
    made = objective(term)
    assert (made.student_parts, made.teacher_parts) == TERMS[term]
    whole, _ = made(STUDENT, TEACHER, labels(term))
    part, _ = made(only(made.student_parts, STUDENT), only(made.teacher_parts, TEACHER), labels(term))
    assert torch.equal(whole, part)
    assert (whole > 0).any()


@pytest.mark.parametrize("term", OF_A_TEACHER)
def test_a_term_without_its_teacher_says_so(term: str) -> None:
    made = objective(term)
    assert made.needs_teacher
    with pytest.raises(ModelError, match=f"'{term}' compares with a teacher, and there is none"):
        made(STUDENT, None, labels(term))


def test_masked_lm_needs_no_teacher_but_texts_with_hidden_tokens() -> None:
    made = objective("masked_lm")
    assert not made.needs_teacher
    assert list(made(STUDENT, None, HIDDEN)[1]) == ["masked_lm"]
    for wrong in (None, LABELS):
        with pytest.raises(ModelError, match="needs texts in which tokens are hidden"):
            made(STUDENT, None, wrong)


def test_a_text_without_hidden_tokens_costs_nothing() -> None:
    values = objective("soft_masked_lm")(STUDENT, TEACHER, torch.tensor([[-100] * 3, [3, -100, -100]]))[1]
    for losses in values.values():
        assert losses[0] == 0
        assert losses[1] > 0


def test_the_masked_lm_head_trains_and_the_table_stays_the_student_s() -> None:
    made = objective("soft_masked_lm")
    assert {name.split(".", 2)[2] for name in made.state_dict()} == {
        *("head.dense.weight", "head.dense.bias", "head.norm.weight", "head.norm.bias", "head.bias")
    }
    TABLE.zero_grad()
    made(STUDENT, TEACHER, HIDDEN)[0].sum().backward()
    assert all(parameter.grad is not None for parameter in made.parameters())
    assert TABLE.weight.grad is not None
    assert TABLE.weight.grad.any()


@pytest.mark.parametrize("term", ["cosine", "patient_states"])
def test_projections_of_states_start_from_the_least_squares_fit(term: str) -> None:
    """A teacher that is a linear image of the student is met, up to the fit's ridge."""
    made = objective(term)
    shown = [states(width=4, layers=2, seed=seed, tokens=9) for seed in range(3)]
    image = torch.randn(4, 6, generator=torch.Generator().manual_seed(3))

    def taught(student: EncoderStates) -> EncoderStates:
        return replace(student, hidden={2: student.hidden[1] @ image, 4: student.hidden[2] @ image})

    before, _ = made(shown[0], taught(shown[0]))
    made.fit_projections((student, taught(student)) for student in shown)
    after, _ = made(shown[0], taught(shown[0]))
    assert (before > 0.1).all()
    assert (after < 1e-5).all()
    assert [tuple(parameter.shape) for parameter in made.parameters()] == [(6, 4)]
    same = build_objective({term: 1.0}, {1: 2, 2: 4}, student_width=6, teacher_width=6)
    assert list(same.parameters()) == []


def test_soft_targets_of_one_output_are_regression() -> None:
    student, teacher = (states(width=4, layers=1, seed=seed, outputs=1) for seed in (0, 1))
    assert student.logits is not None
    assert teacher.logits is not None
    made = build_objective({"soft_targets": 1.0}, {1: 1}, student_width=4, teacher_width=4, temperature=3.0)
    torch.testing.assert_close(made(student, teacher)[0], (student.logits - teacher.logits).square()[:, 0])


def test_terms_that_lack_what_they_need_are_refused() -> None:
    build = partial(build_objective, student_width=4, teacher_width=6)
    with pytest.raises(
        ShapeError, match="layers below the student's last one, and the student has one layer"
    ):
        build({"patient_states": 1.0}, {1: 4})
    with pytest.raises(ShapeError, match="pass embeddings="):
        build({"masked_lm": 1.0}, {1: 4})
    with pytest.raises(ShapeError, match="pass teacher_head="):
        build({"soft_masked_lm": 1.0}, {1: 4}, embeddings=TABLE)
    with pytest.raises(ShapeError, match="the head that masked_lm trains; use both"):
        build({"soft_masked_lm": 1.0}, {1: 4}, embeddings=TABLE, teacher_head=teacher_head)


def test_scores_of_models_with_position_biases_are_taken_as_they_are() -> None:
    made = objective("attention_distributions")
    scores = torch.randn(2, 2, 3, 3, generator=torch.Generator().manual_seed(7))
    own = {layer: replace(state, scores=scores) for layer, state in TEACHER.attention.items()}
    biased = replace(TEACHER, attention=own)
    assert not torch.equal(made(STUDENT, biased)[0], made(STUDENT, TEACHER)[0])
    same = replace(STUDENT, attention={2: replace(STUDENT.attention[2], scores=scores)})
    assert not made(same, biased)[0].any()
