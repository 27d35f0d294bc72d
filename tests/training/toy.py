"""A small distillation that the tests here train, in this process and in others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests import tiny
from torch import Tensor
from transformers import PreTrainedModel, TrainerCallback

from bertling.data.tokenization import TokenizedTexts
from bertling.objectives.objective import Objective
from bertling.objectives.presets import build_objective
from bertling.training.arguments import training_arguments
from bertling.training.distillation_model import DistillationModel
from bertling.training.trainer import DistillationTrainer

EVERY_TERM = {"embedding": 1.0, "attention": 0.5, "hidden": 2.0, "prediction": 3.0, "labels": 1.5}


def texts(count: int, *, longest: int = 30, seed: int = 0) -> TokenizedTexts:
    """Labelled texts of 3 tokens and more; for about half of them the attention loss takes its Gram form."""
    random = np.random.default_rng(seed)
    lengths = random.integers(3, longest + 1, count)
    return TokenizedTexts(
        random.integers(5, tiny.VOCABULARY, int(lengths.sum())).astype(np.int32),
        np.concatenate([[0], np.cumsum(lengths)]),
        labels=random.integers(0, 2, count),
    )


def objective(weights: Mapping[str, float] = EVERY_TERM) -> Objective:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_objective(weights, {1: 2, 2: 4}, student_width=24, teacher_width=32)


def student(*, dropout: float = 0.0, seed: int = 1) -> PreTrainedModel:
    return tiny.classifier(layers=2, width=24, heads=4, ffn=32, dropout=dropout, seed=seed)


def teacher() -> PreTrainedModel:
    """With dropout, which must not show."""
    return tiny.classifier(layers=4, width=32, heads=4, dropout=0.5, seed=2)


def trainer(
    folder: Path,
    data: TokenizedTexts,
    *,
    weights: Mapping[str, float] = EVERY_TERM,
    dropout: float = 0.0,
    double: bool = False,
    callbacks: Sequence[TrainerCallback] = (),
    **settings: Any,
) -> ToyTrainer:
    """In float64 if ``double``, so that only what is wrong makes a difference."""
    learner, loss, guide = student(dropout=dropout), objective(weights), teacher()
    if double:
        learner, loss, guide = learner.double(), loss.double(), guide.double()
    return ToyTrainer(
        learner,
        loss,
        teacher=guide if loss.needs_teacher else None,
        args=training_arguments(folder, **{"log_steps": 1, "weight_decay": 0.0, **settings}),
        train_dataset=data,
        tokenizer=tiny.tokenizer(),
        callbacks=callbacks,
    )


class ToyTrainer(DistillationTrainer):
    """With what it trains at hand, typed."""

    @property
    def trained(self) -> DistillationModel:
        return self._distilled


class KeepGradients(TrainerCallback):
    """Every step's gradients, as the optimizer gets them."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Tensor]] = []

    def on_pre_optimizer_step(
        self, args: Any, state: Any, control: Any, model: torch.nn.Module | None = None, **kwargs: Any
    ) -> None:
        assert model is not None
        named = ((name.removeprefix("module."), p.grad) for name, p in model.named_parameters())
        self.steps.append({name: gradient.clone() for name, gradient in named if gradient is not None})


def gradients(folder: Path, data: TokenizedTexts, **settings: Any) -> list[dict[str, Tensor]]:
    """Of every step of an epoch in which the weights stay as they are."""
    kept = KeepGradients()
    frozen = {"learning_rate": 0.0, "max_gradient_norm": 0.0, "epochs": 1.0, "double": True}
    trainer(folder, data, callbacks=[kept], **{**frozen, **settings}).train()
    return kept.steps


def weights_of(model: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def assert_equal(got: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """To the last bit."""
    assert got.keys() == expected.keys()
    for name, value in got.items():
        assert torch.equal(value, expected[name]), name


def assert_close(
    got: Mapping[str, Tensor], expected: Mapping[str, Tensor], *, tolerance: float = 1e-9
) -> None:
    """Relative to each tensor's size."""
    assert got.keys() == expected.keys()
    for name, value in got.items():
        assert (value - expected[name]).norm() <= tolerance * expected[name].norm(), name
