"""A loss or gradient that is not finite stops the run while the weights are still good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.training import toy
from torch import Tensor
from transformers import TrainerCallback

from bertling.data.sampler import GroupedBatchSampler
from bertling.data.tokenization import TokenizedTexts
from bertling.errors import NonFiniteLossError

pytestmark = pytest.mark.faults

COUNT, BATCH_SIZE = 12, 2
TABLE = "student.bert.embeddings.word_embeddings.weight"


def trainer(
    folder: Path, data: TokenizedTexts, *callbacks: TrainerCallback, **settings: Any
) -> toy.ToyTrainer:
    return toy.trainer(folder, data, callbacks=callbacks, batch_size=BATCH_SIZE, max_steps=6, **settings)


def stop(made: toy.ToyTrainer) -> str:
    with pytest.raises(NonFiniteLossError) as caught:
        made.train()
    return str(caught.value)


class WeightsAtStep(TrainerCallback):
    """The weights as each step found them."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Tensor]] = []

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seen.append(toy.weights_of(kwargs["model"]))


def step_of(data: TokenizedTexts, example: int) -> int:
    """The step, from 1, that the Trainer draws an example in."""
    batches = GroupedBatchSampler(data.lengths, batch_size=BATCH_SIZE, seed=42)
    return next(step for step, batch in enumerate(batches, 1) if example in [draw.example for draw in batch])


def poisoned(example: int) -> TokenizedTexts:
    """Token 199, whose embedding is NaN, stands in one example alone."""
    clean = toy.texts(COUNT)
    rows = [np.where(clean[i]["input_ids"] == 199, 7, clean[i]["input_ids"]) for i in range(COUNT)]
    rows[example][1] = 199
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return TokenizedTexts(np.concatenate(rows).astype(np.int32), starts, labels=clean.labels)


@pytest.mark.parametrize("example", [0, 5])
def test_a_nan_loss_names_terms_and_step_and_spares_the_weights(tmp_path: Path, example: int) -> None:
    data, kept = poisoned(example), WeightsAtStep()
    made = trainer(tmp_path, data, kept, weights={"hidden": 1.0, "labels": 1.0}, checkpoint_steps=1)
    with torch.no_grad():
        made.trained.get_parameter(TABLE)[199] = torch.nan
    step = step_of(data, example)
    text = stop(made)
    assert f"the loss is not finite at step {step} of 6" in text
    assert "hidden.1, hidden.2, labels." in text
    assert "Lower learning_rate" in text
    assert len(kept.seen) == step
    now = toy.weights_of(made.trained)
    for name, value in kept.seen[-1].items():
        assert torch.equal(now[name].nan_to_num(), value.nan_to_num()), name
    # Apart from the poison itself nothing was taken in.
    now[TABLE] = now[TABLE][:199]
    assert all(torch.isfinite(value).all() for value in now.values())
    assert not (tmp_path / f"checkpoint-{step}").exists()


def test_only_the_terms_that_are_not_finite_are_named(tmp_path: Path) -> None:
    made = trainer(tmp_path, toy.texts(COUNT), weights={"embedding": 1.0, "hidden": 1.0, "prediction": 1.0})
    with torch.no_grad():
        made.trained.get_parameter("student.classifier.bias").fill_(torch.inf)
    text = stop(made)
    assert "step 1 of 6 (epoch 0.00): prediction. The last checkpoint" in text


def test_a_sum_that_overflows_is_named(tmp_path: Path) -> None:
    made = trainer(tmp_path, toy.texts(COUNT), weights={"hidden": 3e38, "embedding": 3e38})
    assert "the sum of all terms" in stop(made)


class Spoil(TrainerCallback):
    """Makes the gradient of one parameter infinite although the loss is fine."""

    def __init__(self, step: int, value: float) -> None:
        self.step, self.value = step, value

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        def spoil(gradient: Tensor) -> Tensor:
            return gradient * self.value if state.global_step + 1 == self.step else gradient

        kwargs["model"].get_parameter("student.classifier.weight").register_hook(spoil)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("max_gradient_norm", [0.0, 1.0])
def test_a_gradient_that_is_not_finite_stops_the_run(
    tmp_path: Path, value: float, max_gradient_norm: float
) -> None:
    kept = WeightsAtStep()
    made = trainer(
        tmp_path,
        toy.texts(COUNT),
        kept,
        Spoil(3, value),
        max_gradient_norm=max_gradient_norm,
        checkpoint_steps=1,
    )
    text = stop(made)
    assert "the gradient is not finite at step 3 of 6. The weights are those from before this step" in text
    toy.assert_equal(toy.weights_of(made.trained), kept.seen[2])
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]
