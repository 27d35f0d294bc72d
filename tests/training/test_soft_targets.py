"""Predictions from elsewhere in the place of a teacher."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests import tiny
from tests.training import toy

from bertling.data.collation import PadToLongest
from bertling.errors import DataError, ModelError
from bertling.training.arguments import training_arguments
from bertling.training.teacher_cache import SoftTargets
from bertling.training.trainer import DistillationTrainer

PREDICTION = {"prediction": 1.0}


def test_a_teachers_own_predictions_as_soft_targets_train_the_same_student(tmp_path: Path) -> None:
    data = toy.texts(24)
    taught = toy.trainer(tmp_path / "taught", data, weights=PREDICTION, epochs=2, batch_size=8)
    taught.train()
    collate, teacher = PadToLongest(tiny.tokenizer()), toy.teacher()
    logits = []
    with torch.inference_mode():
        for row in range(len(data)):
            batch = collate([data[row]])
            batch.pop("labels")
            logits.append(teacher(**batch).logits[0].numpy())
    student = toy.student()
    trainer = DistillationTrainer(
        student,
        toy.objective(PREDICTION),
        teacher=SoftTargets(np.stack(logits), data.lengths),
        args=training_arguments(tmp_path / "alone", epochs=2, batch_size=8, log_steps=1, weight_decay=0.0),
        train_dataset=data,
        tokenizer=tiny.tokenizer(),
    )
    trainer.train()
    for mine, other in zip(student.parameters(), taught.trained.student.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-4)


def test_soft_targets_show_no_states(tmp_path: Path) -> None:
    data = toy.texts(4)
    targets = SoftTargets(np.zeros((4, 2)), data.lengths)
    assert (len(targets), targets.logits.shape) == (4, (4, 2))
    with pytest.raises(ModelError, match="its cache keeps"):
        DistillationTrainer(
            toy.student(),
            toy.objective(),
            teacher=targets,
            args=training_arguments(tmp_path),
            train_dataset=data,
            tokenizer=tiny.tokenizer(),
        )


def test_soft_targets_of_other_rows_and_infinite_ones_are_refused() -> None:
    lengths = np.asarray([3, 4], dtype=np.int32)
    with pytest.raises(DataError, match=r"shape \(3, 2\) for 2 texts"):
        SoftTargets(np.zeros((3, 2)), lengths)
    with pytest.raises(DataError, match="1 of 2 texts are NaN or infinite: for a probability of 0"):
        SoftTargets(np.asarray([[0.0, 1.0], [-np.inf, 0.0]]), lengths)
