"""A whole objective on real models against the paper's equations 7 to 11, written out plainly."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tests import tiny
from torch import Tensor
from torch.nn.functional import log_softmax, softmax
from transformers import PreTrainedModel

from bertling.models.capture import observe
from bertling.objectives.layer_map import layer_map
from bertling.objectives.presets import build_objective

LENGTHS = (17, 3, 5)
WEIGHTS = {"embedding": 0.5, "attention": 2.0, "hidden": 3.0, "prediction": 1.5}


class Encoder:
    """A BERT read layer by layer, on one text without padding."""

    def __init__(self, model: PreTrainedModel, ids: Tensor) -> None:
        bert: Any = model.base_model
        head: Any = model.classifier
        hidden: Tensor = bert.embeddings(input_ids=ids[None])
        self.embedding: Tensor = hidden[0]
        self.hidden: list[Tensor] = []
        self.scores: list[Tensor] = []
        self.heads: list[dict[str, Tensor]] = []
        count = model.config.num_attention_heads
        for layer in bert.encoder.layer:
            attention = layer.attention.self
            query, key, value = (
                linear(hidden[0]).unflatten(1, (count, -1)).transpose(0, 1)
                for linear in (attention.query, attention.key, attention.value)
            )
            self.heads.append({"query": query, "key": key, "value": value})
            self.scores.append(query @ key.mT / math.sqrt(query.shape[-1]))
            context = (softmax(self.scores[-1], -1) @ value).transpose(0, 1).flatten(1)
            attended = layer.attention.output(context[None], hidden)
            hidden = layer.output(layer.intermediate(attended), attended)
            self.hidden.append(hidden[0])
        self.logits: Tensor = head(bert.pooler(hidden))[0]


def averaged(scores: Tensor, heads: int) -> Tensor:
    """(H, n, n) -> (heads, n, n): neighbouring heads averaged."""
    grouped: Tensor = scores.unflatten(0, (heads, -1))
    return grouped.mean(1)


def mse(ours: Tensor, theirs: Tensor) -> Tensor:
    return (ours - theirs).square().mean()


@pytest.mark.parametrize("student_heads", [4, 2])
def test_objective_is_that_of_the_paper(student_heads: int) -> None:
    student = tiny.classifier(layers=2, width=24, heads=student_heads, num_labels=3, seed=1).double()
    teacher = tiny.classifier(layers=4, width=32, heads=4, num_labels=3, seed=2).double()
    layers = layer_map("uniform", student_layers=2, teacher_layers=4)
    assert layers == {1: 2, 2: 4}
    torch.manual_seed(0)
    objective = build_objective(WEIGHTS, layers, student_width=24, teacher_width=32, temperature=2.0).double()
    batch = tiny.batch(LENGTHS)
    with torch.no_grad():
        taught = observe(teacher, batch, attention_layers=objective.teacher_parts.captured)
    shown = observe(student, batch, attention_layers=objective.student_parts.captured)
    total, losses = objective(shown, taught)

    matrices = [parameter.T for parameter in objective.parameters()]
    expected: dict[str, list[Tensor]] = {name: [] for name in losses}
    for ids, length in zip(batch["input_ids"], LENGTHS, strict=True):
        ours = Encoder(student, ids[:length])
        with torch.no_grad():
            theirs = Encoder(teacher, ids[:length])
        expected["embedding"].append(mse(ours.embedding @ matrices[0], theirs.embedding))  # equation 9
        for m, n in layers.items():
            heads = averaged(theirs.scores[n - 1], student_heads)
            expected[f"attention.{m}"].append(  # equation 7
                torch.stack([mse(ours.scores[m - 1][i], heads[i]) for i in range(student_heads)]).mean()
            )
            expected[f"hidden.{m}"].append(  # equation 8
                mse(ours.hidden[m - 1] @ matrices[m], theirs.hidden[n - 1])
            )
        expected["prediction"].append(  # equation 10
            -(softmax(theirs.logits / 2.0, -1) * log_softmax(ours.logits / 2.0, -1)).sum()
        )
    torch.testing.assert_close(losses, {name: torch.stack(values) for name, values in expected.items()})
    summed = torch.stack(
        [torch.stack(values) * WEIGHTS[name.split(".")[0]] for name, values in expected.items()]
    ).sum(0)  # equation 11
    torch.testing.assert_close(total, summed)

    names, learning = zip(*student.named_parameters(), *objective.named_parameters(), strict=True)
    got, plain = (
        dict(zip(names, torch.autograd.grad(loss.sum(), learning), strict=True)) for loss in (total, summed)
    )
    torch.testing.assert_close(got, plain)
