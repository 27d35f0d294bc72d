"""Closeness of layers against plain computations of its figures."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from tests import tiny
from torch import Tensor
from transformers import PreTrainedModel

from bertling.data.collation import calibration_batches
from bertling.data.tokenization import tokenize
from bertling.errors import ModelError, ShapeError
from bertling.evaluation.closeness import StateSums, layer_closeness, summed_divergence
from bertling.models.attention_weights import attention_weights
from bertling.models.capture import observe
from bertling.results import LayerCloseness

TEXTS = [" ".join(f"w{(7 * row + 3 * place) % 98}" for place in range(2 + row % 7)) for row in range(40)]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    yield from tiny.one_thread()


def batches(first: int = 0, last: int = 40, batch_size: int = 8) -> list[dict[str, Tensor]]:
    tokens = tokenize(tiny.tokenizer(), TEXTS[first:last], max_length_tokens=16)
    return calibration_batches(tokens, tiny.tokenizer(), count=40, batch_size=batch_size)


def compared(
    student: PreTrainedModel, teacher: PreTrainedModel, layers: dict[int, int]
) -> dict[int, LayerCloseness]:
    rows = layer_closeness(student, teacher, layers, fitted_on=batches(20, 40), measured_on=batches(0, 20))
    return {row.layer: row for row in rows}


def plain_cka(ours: np.ndarray, theirs: np.ndarray) -> float:
    """By the tokens' Gram matrices, as Kornblith et al. define it, where the sums are of channels."""
    centring = np.eye(len(ours)) - 1 / len(ours)
    grams = [centring @ (states @ states.T) @ centring for states in (ours, theirs)]
    return float((grams[0] * grams[1]).sum() / math.prod(np.linalg.norm(gram) for gram in grams))


def test_a_copy_is_as_near_as_can_be() -> None:
    rows = compared(tiny.classifier(layers=3), tiny.classifier(layers=3), {1: 1, 2: 2, 3: 3})
    assert list(rows) == [0, 1, 2, 3]
    for row in rows.values():
        assert row.cka == pytest.approx(1.0)
        assert row.cosine > 0.99, "but for the ridge of the fit"
        assert row.head_nats == pytest.approx([0.0] * 4 if row.layer else [], abs=1e-6)
    assert rows[0].uniform_nats is None


def test_figures_are_those_of_a_plain_computation() -> None:
    student, teacher = tiny.classifier(layers=2, width=16, seed=1), tiny.classifier(layers=4)
    rows = compared(student, teacher, {1: 2, 2: 4})
    assert [(row.layer, row.teacher_layer) for row in rows.values()] == [(0, 0), (1, 2), (2, 4)]
    # One text at a time, so that there is no padding.
    singles = {part: batches(*part, batch_size=1) for part in ((20, 40), (0, 20))}
    for layer, source in ((1, 2), (2, 4)):
        found: dict[tuple[int, int], list[np.ndarray]] = {}
        for part, texts in singles.items():
            with torch.no_grad():
                pairs = [(observe(student, text), observe(teacher, text)) for text in texts]
            found[part] = [
                torch.cat([shown[side].hidden[place][0] for shown in pairs]).double().numpy()
                for side, place in ((0, layer), (1, source))
            ]
        ours, theirs = found[20, 40]
        ridge = 1e-3 * np.mean(np.diag(ours.T @ ours)) * np.eye(16)
        weight = np.linalg.solve(ours.T @ ours + ridge, ours.T @ theirs)
        ours, theirs = found[0, 20]

        def cosine(some: np.ndarray, others: np.ndarray) -> float:
            products = (some * others).sum(1)
            return float(np.mean(products / np.linalg.norm(some, axis=1) / np.linalg.norm(others, axis=1)))

        assert rows[layer].cosine == pytest.approx(cosine(ours @ weight, theirs), rel=1e-4)
        mean = np.broadcast_to(theirs.mean(0), theirs.shape)
        assert rows[layer].constant_cosine == pytest.approx(cosine(mean, theirs), rel=1e-5)
        assert rows[layer].cka == pytest.approx(plain_cka(ours, theirs), rel=1e-5)


def test_attention_is_apart_by_the_jensen_shannon_divergence() -> None:
    student, teacher = tiny.classifier(layers=2, width=16, seed=1), tiny.classifier(layers=4)
    row = compared(student, teacher, {1: 2, 2: 4})[2]
    apart: list[list[float]] = [[] for _ in range(4)]
    uniform = []
    for text in batches(0, 20, batch_size=1):
        ours = attention_weights(student, text).layers[1][0].detach().double().numpy()
        theirs = attention_weights(teacher, text).layers[3][0].detach().double().numpy()
        for head in range(4):
            for mine, shown in zip(ours[head], theirs[head], strict=True):
                apart[head].append(float(jensenshannon(mine, shown)) ** 2)
                uniform.append(float(jensenshannon(np.full(len(shown), 1 / len(shown)), shown)) ** 2)
    assert row.head_nats == pytest.approx([float(np.mean(values)) for values in apart], rel=1e-4)
    assert row.uniform_nats == pytest.approx(float(np.mean(uniform)), rel=1e-4)


def test_where_head_counts_differ_groups_are_compared() -> None:
    row = compared(tiny.classifier(heads=2, seed=1), tiny.classifier(heads=4), {1: 1, 2: 2})[1]
    assert len(row.head_nats) == 2


def test_a_divergence_by_hand() -> None:
    first = torch.tensor([[[[1.0, 0.0], [0.5, 0.5]]]])
    second = torch.tensor([[[[0.0, 1.0], [0.5, 0.5]]]])
    both = torch.tensor([[True, True]])
    assert summed_divergence(first, second, both).item() == pytest.approx(math.log(2))
    alone = torch.tensor([[True, False]])
    nothing = torch.full_like(first, torch.nan)
    nothing[..., 0, 0] = 1.0
    assert summed_divergence(nothing, nothing.clone(), alone).item() == 0.0


def test_sums_of_batches_are_those_of_all_tokens() -> None:
    random = torch.Generator().manual_seed(0)
    ours, theirs, mapped = (torch.randn(30, width, generator=random) + 3 for width in (4, 6, 6))
    whole, parts = StateSums(), StateSums()
    whole.add(ours, theirs, mapped)
    for start in (0, 10, 20):
        part = slice(start, start + 10)
        parts.add(ours[part], theirs[part], mapped[part])
    assert parts.cosine() == pytest.approx(whole.cosine())
    assert parts.constant_cosine() == pytest.approx(whole.constant_cosine())
    assert parts.cka() == pytest.approx(whole.cka())


def test_states_that_are_all_the_same_have_no_cka() -> None:
    sums = StateSums()
    constant = torch.full((10, 4), 0.3)
    sums.add(constant, torch.randn(10, 4, generator=torch.Generator().manual_seed(0)), constant)
    assert sums.cka() is None


def test_no_text_to_measure_or_to_fit_on() -> None:
    model = tiny.classifier()
    with pytest.raises(ModelError, match="there are no texts to compare layers on"):
        layer_closeness(model, model, {1: 1}, fitted_on=batches(), measured_on=[])
    with pytest.raises(ShapeError, match="give calibration texts"):
        layer_closeness(model, model, {1: 1}, fitted_on=[], measured_on=batches())
