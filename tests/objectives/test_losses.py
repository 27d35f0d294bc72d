"""The battery that every loss has to stand; what is particular to one stands in the files beside this."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import Tensor

from bertling.errors import ShapeError
from bertling.objectives.functional import (
    AttentionForm,
    attention_loss,
    attention_scores,
    label_loss,
    prediction_loss,
    regression_prediction_loss,
    state_loss,
)
from bertling.objectives.peer_losses import (
    cosine_loss,
    masked_lm_loss,
    patient_loss,
    soft_masked_lm_loss,
    soft_target_loss,
)
from bertling.objectives.relations import distribution_loss, relation_loss

Inputs = tuple[Tensor, ...]
LENGTHS = (5, 3, 1)
MASK = torch.arange(6) < torch.tensor(LENGTHS)[:, None]


@dataclass(frozen=True)
class Loss:
    """A loss as a function of its float inputs and a mask.

    Attributes:
        token_axis: None where it sees no tokens.
        needs_pairs: it compares tokens with one another, so that a single one costs nothing.
    """

    draw: Callable[[torch.Generator], Inputs]
    value: Callable[[Inputs, Tensor], Tensor]
    token_axis: int | None = None
    needs_pairs: bool = False


def shaped(*shapes: tuple[int, ...]) -> Callable[[torch.Generator], Inputs]:
    return lambda generator: tuple(
        torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes
    )


def attention(inputs: Inputs, mask: Tensor, *, form: AttentionForm) -> Tensor:
    q_s, k_s, q_t, k_t = inputs
    return attention_loss(q_s, k_s, q_t, k_t, mask, student_scaling=0.5, teacher_scaling=0.4, form=form)


def distributions(inputs: Inputs, mask: Tensor) -> Tensor:
    q_s, k_s, q_t, k_t = inputs
    ours, theirs = (attention_scores(q, k, mask, scaling=0.5) for q, k in ((q_s, k_s), (q_t, k_t)))
    return distribution_loss(ours, theirs, mask)


EQUAL_HEADS = shaped((3, 2, 6, 3), (3, 2, 6, 3), (3, 2, 6, 4), (3, 2, 6, 4))
OTHER_HEADS = shaped((3, 4, 6, 2), (3, 4, 6, 2), (3, 6, 6, 3), (3, 6, 6, 3))
CLASSES = torch.tensor([2, 0, 3])
NUMBERS = torch.tensor([0.5, -1.0, 3.0], dtype=torch.float64)

LOSSES = {
    "state": Loss(shaped((3, 6, 4), (3, 6, 4)), lambda x, mask: state_loss(x[0], x[1], mask), token_axis=1),
    "attention, scores": Loss(EQUAL_HEADS, partial(attention, form="scores"), token_axis=2),
    "attention, gram": Loss(EQUAL_HEADS, partial(attention, form="gram"), token_axis=2),
    "attention, scores, other heads": Loss(OTHER_HEADS, partial(attention, form="scores"), token_axis=2),
    "attention, gram, other heads": Loss(OTHER_HEADS, partial(attention, form="gram"), token_axis=2),
    "prediction": Loss(shaped((3, 4), (3, 4)), lambda x, _: prediction_loss(*x)),
    "prediction, warm": Loss(shaped((3, 4), (3, 4)), lambda x, _: prediction_loss(*x, temperature=3.0)),
    "prediction, regression": Loss(shaped((3, 1), (3, 1)), lambda x, _: regression_prediction_loss(*x)),
    "soft targets": Loss(shaped((3, 4), (3, 4)), lambda x, _: soft_target_loss(*x, temperature=3.0)),
    "cosine": Loss(shaped((3, 6, 4), (3, 6, 4)), lambda x, mask: cosine_loss(x[0], x[1], mask), token_axis=1),
    "patient": Loss(shaped((3, 4), (3, 4)), lambda x, _: patient_loss(*x)),
    "distributions": Loss(EQUAL_HEADS, distributions, token_axis=2, needs_pairs=True),
    "distributions, other heads": Loss(OTHER_HEADS, distributions, token_axis=2, needs_pairs=True),
    "relations": Loss(
        shaped((3, 2, 6, 3), (3, 2, 6, 4)),
        lambda x, mask: relation_loss(x[0], x[1], mask),
        token_axis=2,
        needs_pairs=True,
    ),
    "relations, relation heads": Loss(
        shaped((3, 2, 6, 3), (3, 4, 6, 3)),
        lambda x, mask: relation_loss(x[0], x[1], mask, heads=6),
        token_axis=2,
        needs_pairs=True,
    ),
    "labels": Loss(shaped((3, 4)), lambda x, _: label_loss(x[0], CLASSES)),
    "labels, regression": Loss(shaped((3, 1)), lambda x, _: label_loss(x[0], NUMBERS)),
}
every_loss = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
token_losses = pytest.mark.parametrize(
    "loss",
    [loss for loss in LOSSES.values() if loss.token_axis],
    ids=[name for name, loss in LOSSES.items() if loss.token_axis],
)


def drawn(loss: Loss, dtype: torch.dtype = torch.float64) -> Inputs:
    return tuple(x.to(dtype) for x in loss.draw(torch.Generator().manual_seed(0)))


@every_loss
def test_one_value_for_each_example(loss: Loss) -> None:
    values = loss.value(drawn(loss), MASK)
    assert values.shape == (3,)
    assert values.dtype == torch.float64
    assert ((values > 0) == torch.tensor([True, True, not loss.needs_pairs])).all()


@pytest.mark.parametrize("name", [name for name in LOSSES if "labels" not in name])
def test_a_batch_is_its_examples_one_by_one(name: str) -> None:
    loss = LOSSES[name]
    inputs = drawn(loss)
    alone = [loss.value(tuple(x[i : i + 1] for x in inputs), MASK[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(loss.value(inputs, MASK), torch.cat(alone))


@pytest.mark.parametrize(("labels", "width"), [(CLASSES, 4), (NUMBERS, 1)])
def test_a_batch_with_labels_is_its_examples_one_by_one(labels: Tensor, width: int) -> None:
    logits = torch.randn(3, width, generator=torch.Generator().manual_seed(0))
    alone = [label_loss(logits[i : i + 1], labels[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(label_loss(logits, labels), torch.cat(alone))


@every_loss
def test_the_gradient_is_that_of_finite_differences(loss: Loss) -> None:
    inputs = tuple(x.requires_grad_() for x in drawn(loss))
    assert torch.autograd.gradcheck(lambda *x: loss.value(x, MASK), inputs)


@token_losses
def test_padding_counts_no_more_than_if_it_were_cut_off(loss: Loss) -> None:
    inputs = drawn(loss)
    assert loss.token_axis is not None
    for row, length in enumerate(LENGTHS):
        short = tuple(x[row : row + 1].narrow(loss.token_axis, 0, length) for x in inputs)
        expected = loss.value(short, torch.ones(1, length, dtype=torch.bool))
        torch.testing.assert_close(loss.value(inputs, MASK)[row : row + 1], expected)


@token_losses
def test_padding_may_lie_anywhere(loss: Loss) -> None:
    inputs = drawn(loss)
    assert loss.token_axis is not None
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    moved = tuple(x.index_select(loss.token_axis, order) for x in inputs)
    torch.testing.assert_close(loss.value(moved, MASK[:, order]), loss.value(inputs, MASK))


@token_losses
@pytest.mark.parametrize("rubbish", [math.nan, math.inf, 1e30])
def test_what_stands_in_the_padding_reaches_neither_value_nor_gradient(loss: Loss, rubbish: float) -> None:
    def run(filling: float) -> tuple[Tensor, ...]:
        assert loss.token_axis is not None
        leaves = []
        for x in drawn(loss):
            shape = [1] * x.dim()
            shape[0], shape[loss.token_axis] = MASK.shape
            leaves.append(x.masked_fill(~MASK.view(shape), filling).requires_grad_())
        values = loss.value(tuple(leaves), MASK)
        return values, *torch.autograd.grad(values.sum(), leaves)

    for got, expected in zip(run(rubbish), run(0.0), strict=True):
        assert torch.isfinite(expected).all()
        torch.testing.assert_close(got, expected)


@token_losses
def test_an_example_without_a_real_token_costs_nothing(loss: Loss) -> None:
    inputs = tuple(x.requires_grad_() for x in drawn(loss))
    mask = MASK.clone()
    mask[1] = False
    values = loss.value(inputs, mask)
    assert values[1] == 0
    torch.testing.assert_close(values[[0, 2]], loss.value(inputs, MASK)[[0, 2]])
    for gradient in torch.autograd.grad(values.sum(), inputs):
        assert torch.isfinite(gradient).all()
        assert not gradient[1].any()


@every_loss
def test_half_precision_in_float32_out(loss: Loss) -> None:
    inputs = drawn(loss, torch.bfloat16)
    values = loss.value(inputs, MASK)
    assert values.dtype == torch.float32
    # Exact arithmetic on the rounded inputs, not rounded arithmetic.
    torch.testing.assert_close(values, loss.value(tuple(x.double() for x in inputs), MASK).float())


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_changes_nothing(loss: Loss, dtype: torch.dtype) -> None:
    def run(*, cast: bool) -> tuple[Tensor, ...]:
        inputs = tuple(x.requires_grad_() for x in drawn(loss, dtype))
        with torch.autocast("cpu", torch.bfloat16, enabled=cast):
            values = loss.value(inputs, MASK)
        return values, *torch.autograd.grad(values.sum(), inputs)

    plain = run(cast=False)
    assert plain[0].dtype == torch.float32
    assert all(torch.equal(a, b) for a, b in zip(plain, run(cast=True), strict=True))


@pytest.mark.parametrize("name", ["state", "attention, scores", "attention, gram"])
@pytest.mark.parametrize("size", [1e-8, 1e8])
def test_tiny_and_huge_values_scale_the_loss(name: str, size: float) -> None:
    """States enter squared, queries and keys to the fourth power."""
    loss = LOSSES[name]
    power = 2 if name == "state" else 4
    inputs = tuple(x * size ** (2 / power) for x in drawn(loss, torch.float32))
    expected = loss.value(drawn(loss), MASK) * size**2
    torch.testing.assert_close(loss.value(inputs, MASK).double(), expected, rtol=1e-4, atol=0)


def test_logits_far_apart_give_a_finite_loss_and_gradient() -> None:
    student = torch.tensor([[0.0, 1e5], [1e5, -1e5], [1e-9, 0.0]], requires_grad=True)
    teacher = torch.tensor([[1e5, 0.0], [1e5, -1e5], [0.0, 1e-9]])
    values = prediction_loss(student, teacher)
    torch.testing.assert_close(values, torch.tensor([1e5, 0.0, math.log(2)]))
    (gradient,) = torch.autograd.grad(values.sum(), student)
    torch.testing.assert_close(gradient, torch.tensor([[-1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]))


def message(call: Callable[[], object]) -> str:
    with pytest.raises(ShapeError) as caught:
        call()
    return str(caught.value)


def test_tensors_that_do_not_fit_are_refused() -> None:
    states, mask = torch.ones(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)
    heads = torch.ones(2, 5, 3, 4)
    scaled = partial(attention_loss, student_scaling=1.0, teacher_scaling=1.0)
    assert "student and teacher states" in message(lambda: state_loss(states, torch.ones(2, 3, 5), mask))
    assert "(2, 3, 4) and (2, 3, 5)" in message(lambda: state_loss(states, torch.ones(2, 3, 5), mask))
    assert "student and teacher states" in message(lambda: state_loss(states[0], states[0], mask[0]))
    assert "states and mask" in message(lambda: state_loss(states, states, mask[:, :2]))
    assert "student's queries and keys" in message(lambda: scaled(heads, heads[..., :2], heads, heads, mask))
    assert "teacher's queries and keys" in message(lambda: scaled(heads, heads, heads, heads[:, :2], mask))
    assert "student's queries and keys" in message(lambda: scaled(states, states, heads, heads, mask))
    assert "teacher's queries and the mask" in message(
        lambda: scaled(heads, heads, heads[:, :, :2], heads[:, :, :2], mask)
    )
    assert "student's queries and the mask" in message(
        lambda: scaled(heads[:1], heads[:1], heads[:1], heads[:1], mask)
    )


def test_logits_and_labels_that_do_not_fit_are_refused() -> None:
    logits = torch.ones(2, 3)
    assert "student and teacher logits" in message(lambda: prediction_loss(logits, logits[:, :2]))
    assert "student and teacher logits" in message(lambda: prediction_loss(logits[0], logits[0]))
    assert "regression outputs" in message(lambda: regression_prediction_loss(logits, logits))
    assert "regression outputs" in message(lambda: regression_prediction_loss(logits[:, :1], logits))
    assert "student and teacher logits" in message(
        lambda: regression_prediction_loss(logits[:, :1], logits[:1, :1])
    )
    assert "logits and labels" in message(lambda: label_loss(logits, torch.zeros(3, dtype=torch.int64)))
    assert "logits and labels" in message(lambda: label_loss(logits[0], torch.zeros(3)))


def test_states_and_relations_that_do_not_fit_are_refused() -> None:
    states, mask = torch.ones(2, 3, 4), torch.ones(2, 3, dtype=torch.bool)
    heads, scores = torch.ones(2, 5, 3, 4), torch.ones(2, 5, 3, 3)
    assert "student and teacher states" in message(lambda: cosine_loss(states, states[..., :2], mask))
    assert "states and mask" in message(lambda: cosine_loss(states, states, mask[:, :2]))
    assert "student and teacher states" in message(lambda: patient_loss(states, states))
    assert "student's scores and the mask" in message(lambda: distribution_loss(heads, scores, mask))
    assert "teacher's scores and the mask" in message(lambda: distribution_loss(scores, scores[:1], mask))
    assert "student's heads and the mask" in message(lambda: relation_loss(states, heads, mask))
    assert "teacher's heads and the mask" in message(lambda: relation_loss(heads, heads[:, :, :2], mask))
    assert "20 channels cannot be split into 3" in message(lambda: relation_loss(heads, heads, mask, heads=3))


def test_guesses_that_do_not_fit_are_refused() -> None:
    logits, ids = torch.ones(2, 3), torch.zeros(2, dtype=torch.int64)
    soft = partial(soft_masked_lm_loss, examples=2, temperature=1.0)
    assert "logits and targets" in message(lambda: masked_lm_loss(logits, ids[:1], ids, examples=2))
    assert "targets and their rows" in message(lambda: masked_lm_loss(logits, ids, ids[:1], examples=2))
    assert "logits and their rows" in message(lambda: soft(logits, logits, ids[:1]))
    assert "student and teacher logits" in message(lambda: soft(logits, logits[:, :2], ids))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_that_is_not_above_zero_is_refused(temperature: float) -> None:
    logits = torch.ones(2, 3)
    assert str(temperature) in message(lambda: prediction_loss(logits, logits, temperature=temperature))
