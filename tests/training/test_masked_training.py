"""Training on texts in which tokens are hidden: another choice each epoch, the same however it is run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import tiny
from tests.training import toy
from torch import Tensor
from transformers import TrainerCallback

from bertling.data.tokenization import TokenizedTexts
from bertling.errors import DataError
from bertling.models.masking import RowMasking
from bertling.objectives.presets import build_objective
from bertling.training.arguments import training_arguments
from bertling.training.cache_filling import fill_teacher_cache

WEIGHTS = {"masked_lm": 1.0, "soft_masked_lm": 2.0, "cosine": 1.0}
TABLE = torch.randn(tiny.VOCABULARY, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def texts(*, packed: bool = False) -> TokenizedTexts:
    random = np.random.default_rng(4)
    lengths = random.integers(3, 30, 16)
    return TokenizedTexts(
        random.integers(5, tiny.VOCABULARY, int(lengths.sum())).astype(np.int32),
        np.concatenate([[0], np.cumsum(lengths)]),
        blocks=np.arange(0, 17, 4) if packed else None,
    )


def trainer(
    folder: Path, data: TokenizedTexts, *, callbacks: Sequence[TrainerCallback] = (), **settings: Any
) -> toy.ToyTrainer:
    student = tiny.encoder(layers=2, width=24, heads=4, ffn=32, seed=1).double()
    table = student.get_input_embeddings()
    assert isinstance(table, torch.nn.Embedding)
    torch.manual_seed(0)
    objective = build_objective(
        WEIGHTS,
        {1: 2, 2: 4},
        student_width=24,
        teacher_width=32,
        temperature=2.0,
        embeddings=table,
        teacher_head=lambda states: states @ TABLE.T,
    )
    return toy.ToyTrainer(
        student,
        objective.double(),
        teacher=tiny.encoder(layers=4, seed=2).double(),
        args=training_arguments(folder, **{"log_steps": 1, "batch_size": 4, "epochs": 2.0, **settings}),
        train_dataset=data,
        tokenizer=tiny.tokenizer(),
        masking=RowMasking(tiny.tokenizer(), seed=5),
        callbacks=callbacks,
    )


def gradients(folder: Path, data: TokenizedTexts, **settings: Any) -> list[dict[str, Tensor]]:
    """Of every step, with weights that stay as they are; those of key biases are nothing but rounding."""
    kept = toy.KeepGradients()
    still = {"learning_rate": 0.0, "weight_decay": 0.0, "max_gradient_norm": 0.0}
    trainer(folder, data, callbacks=[kept], **still, **settings).train()
    return [
        {name: gradient for name, gradient in step.items() if "key.bias" not in name} for step in kept.steps
    ]


@pytest.mark.parametrize("packed", [False, True])
def test_micro_batches_hide_the_same_tokens(packed: bool, tmp_path: Path) -> None:
    data = texts(packed=packed)
    whole = gradients(tmp_path / "1", data, batch_size=len(data))
    parts = gradients(tmp_path / "2", data, batch_size=len(data) // 4, accumulation_steps=4)
    assert len(whole) == len(parts) == 2
    for one, other in zip(whole, parts, strict=True):
        toy.assert_close(one, other)
    # Another epoch hides other tokens.
    assert not torch.equal(whole[0]["objective.terms.0.head.bias"], whole[1]["objective.terms.0.head.bias"])


def test_everything_learns_from_the_hidden_tokens(tmp_path: Path) -> None:
    for name, gradient in gradients(tmp_path, texts(), epochs=1.0)[0].items():
        assert gradient.any() or "pooler" in name, name


def test_a_resumed_run_hides_what_an_undisturbed_one_does(tmp_path: Path) -> None:
    undisturbed = trainer(tmp_path / "1", texts(), checkpoint_steps=3)
    undisturbed.args.save_total_limit = None
    undisturbed.train()
    assert undisturbed.state.global_step == 8
    for step in (3, 6):
        resumed = trainer(tmp_path / "2", texts())
        resumed.train(resume_from_checkpoint=str(tmp_path / "1" / f"checkpoint-{step}"))
        toy.assert_equal(toy.weights_of(resumed.trained), toy.weights_of(undisturbed.trained))


def test_checkpoints_hold_the_head_without_the_table(tmp_path: Path) -> None:
    made = trainer(tmp_path, texts())
    names = [name for name in made.trained.state_dict() if name.startswith("objective.terms.0")]
    assert {name.split(".", 4)[4] for name in names} == {
        *("dense.weight", "dense.bias", "norm.weight", "norm.bias", "bias")
    }


def test_a_teacher_cache_does_not_know_hidden_tokens(tmp_path: Path) -> None:
    teacher = tiny.classifier(layers=4, seed=2)
    objective = toy.objective({"prediction": 1.0})
    cache = fill_teacher_cache(
        teacher, toy.texts(4), objective.teacher_parts, folder=tmp_path / "c", tokenizer=tiny.tokenizer()
    )
    with pytest.raises(DataError, match="a teacher cache has none hidden"):
        toy.ToyTrainer(
            toy.student(),
            objective,
            teacher=cache,
            args=training_arguments(tmp_path),
            train_dataset=toy.texts(4),
            tokenizer=tiny.tokenizer(),
            masking=RowMasking(tiny.tokenizer(), seed=0),
        )
