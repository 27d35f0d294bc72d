"""One distillation step with teachers and students of every architecture, against plain eager attention."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import tiny
from torch import Tensor
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from bertling.data.tokenization import TokenizedTexts
from bertling.errors import DataError, ModelError
from bertling.models.anatomy import layers_of
from bertling.objectives.objective import Objective
from bertling.objectives.presets import build_objective
from bertling.states import Parts
from bertling.training.arguments import training_arguments
from bertling.training.cache_filling import fill_teacher_cache
from bertling.training.distillation_model import DistillationModel
from bertling.training.teacher_cache import pad_taught
from bertling.training.trainer import DistillationTrainer

BATCH = tiny.batch([9, 4, 1], total=11)
REAL = BATCH["attention_mask"].bool()
LAYERS = {1: 1, 2: 3}
NEW = ("albert", "camembert", "deberta-v2", "mobilebert", "modernbert", "xlm-roberta")
PAIRS = [
    *((name, name) for name in NEW),
    *(("bert", name) for name in NEW),
    *[("modernbert", "deberta-v2"), ("deberta-v2", "bert"), ("mobilebert", "electra")],
]
"""of student and teacher"""
pairs = pytest.mark.parametrize(("student", "teacher"), PAIRS)


def models(student: str, teacher: str, *, student_heads: int = 4) -> tuple[PreTrainedModel, PreTrainedModel]:
    return (
        tiny.classifier(student, layers=2, heads=student_heads, seed=1),
        tiny.classifier(teacher, layers=3, heads=4, seed=2),
    )


def objective() -> Objective:
    terms = {"embedding": 1.0, "attention": 1.0, "hidden": 1.0, "prediction": 1.0}
    return build_objective(terms, LAYERS, student_width=32, teacher_width=32)


class Softmaxes(TorchFunctionMode):
    """Notes what goes into each softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.softmax:
            self.seen.append(args[0])
        return func(*args, **(kwargs or {}))


def eager_scores(model: PreTrainedModel) -> list[Tensor]:
    """Masked scores of each layer, (B, H, T, T), by the model's own eager attention."""
    twin: PreTrainedModel = type(model)._from_config(
        type(model.config).from_dict(model.config.to_dict()), attn_implementation="eager"
    )
    twin.load_state_dict(model.state_dict())
    softmaxes = Softmaxes()
    with softmaxes:
        twin.eval()(**BATCH)
    return softmaxes.seen


def plain_attention_loss(ours: Tensor, theirs: Tensor) -> Tensor:
    """Summed over examples: the mean square over heads (or groups) and pairs that neither model masks."""
    total = torch.zeros(())
    groups = math.gcd(ours.shape[1], theirs.shape[1])
    for example, length in enumerate(BATCH["attention_mask"].sum(1).tolist()):
        sides = [scores[example, :, :length, :length] for scores in (ours, theirs)]
        counted = (sides[0][0] > -1e30) & (sides[1][0] > -1e30)
        means = [scores.unflatten(0, (groups, -1)).mean(1) for scores in sides]
        total = total + (means[0] - means[1])[:, counted].square().mean()
    return total


@pairs
def test_the_losses_of_a_step_are_the_plain_ones(student: str, teacher: str) -> None:
    ours, theirs = models(student, teacher, student_heads=2)
    with torch.no_grad():
        plain = [model(**BATCH, output_hidden_states=True) for model in (ours, theirs)]
        scores = [eager_scores(model) for model in (ours, theirs)]
        losses = DistillationModel(ours, objective(), theirs)(**BATCH).terms
    for mine, other in LAYERS.items():
        expected = plain_attention_loss(scores[0][mine - 1], scores[1][other - 1])
        torch.testing.assert_close(losses[f"attention.{mine}"], expected)
        states = plain[0].hidden_states[mine] - plain[1].hidden_states[other]
        means = torch.stack([row[keep].square().mean() for row, keep in zip(states, REAL, strict=True)])
        torch.testing.assert_close(losses[f"hidden.{mine}"], means.sum())
    assert torch.equal(plain[0].hidden_states[-1], ours.base_model(**BATCH).last_hidden_state)


@pairs
def test_padding_and_grouping_change_neither_loss_nor_gradient(student: str, teacher: str) -> None:
    """Far more padding than a window is long."""
    ours, theirs = models(student, teacher)
    model = DistillationModel(ours.double(), objective().double(), theirs.double())
    results = []
    for total in (11, 40):
        batch = tiny.batch([9, 4, 1], total=total)
        model.zero_grad()
        for rows in [slice(0, 3)] if total == 11 else [slice(0, 1), slice(1, 3)]:
            output = model(**{name: values[rows] for name, values in batch.items()})
            output.loss.backward()
        gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        assert all(gradient.isfinite().all() for gradient in gradients.values())
        assert any("layer" in name and gradient.any() for name, gradient in gradients.items())
        results.append((output.terms if total == 11 else None, gradients))
    torch.testing.assert_close(results[0][1], results[1][1])


@pytest.mark.parametrize("student", NEW)
def test_attention_alone_reaches_the_student_s_weights(student: str) -> None:
    ours, theirs = models(student, "bert")
    attention = build_objective({"attention": 1.0}, {2: 3}, student_width=32, teacher_width=32)
    DistillationModel(ours.train(), attention, theirs)(**BATCH).loss.backward()
    below = ours.get_submodule(layers_of(ours)[0])
    assert all(p.grad is not None and p.grad.any() and p.grad.isfinite().all() for p in below.parameters())


def rows() -> TokenizedTexts:
    """The texts of ``BATCH``."""
    texts = [ids[keep].numpy() for ids, keep in zip(BATCH["input_ids"], REAL, strict=True)]
    return TokenizedTexts(np.concatenate(texts), np.cumsum([0, *map(len, texts)]))


@pytest.mark.parametrize("teacher", ["modernbert", "albert"])
def test_a_cache_takes_the_teacher_s_place(teacher: str, tmp_path: Path) -> None:
    """Windows included."""
    ours, theirs = models("bert", teacher)
    parts = objective().teacher_parts
    cache = fill_teacher_cache(theirs, rows(), parts, folder=tmp_path, tokenizer=tiny.tokenizer())
    batch = {name: values[:, :9] for name, values in BATCH.items()}
    taught = pad_taught([cache[row] for row in range(3)], REAL[:, :9].numpy())
    got = DistillationModel(ours, objective(), cache)(**batch, taught=taught).terms
    expected = DistillationModel(ours, objective(), theirs)(**batch).terms
    # Half precision lies between.
    torch.testing.assert_close(got, expected, rtol=5e-3, atol=1e-4)


def test_scores_with_position_biases_are_not_cached(tmp_path: Path) -> None:
    _, theirs = models("bert", "deberta-v2")
    fill = partial(fill_teacher_cache, theirs, rows(), folder=tmp_path, tokenizer=tiny.tokenizer())
    with pytest.raises(DataError, match="the attention scores of 'deberta-v2' are more than their products"):
        fill(parts=objective().teacher_parts)
    assert len(fill(parts=Parts(hidden=frozenset({3}), values=frozenset({1}), logits=True))) == 3


@pytest.mark.parametrize(("student", "teacher"), [("deberta-v2", "bert"), ("bert", "mobilebert")])
def test_models_that_cannot_read_packed_rows_are_refused_before_training(
    student: str, teacher: str, tmp_path: Path
) -> None:
    ours, theirs = models(student, teacher)
    ids = np.arange(6, dtype=np.int32)
    packed = TokenizedTexts(ids, np.asarray([0, 3, 6]), blocks=np.asarray([0, 2]))
    with pytest.raises(ModelError, match="cannot read packed rows"):
        DistillationTrainer(
            ours,
            objective(),
            teacher=theirs,
            args=training_arguments(tmp_path),
            train_dataset=packed,
            tokenizer=tiny.tokenizer(),
        )
