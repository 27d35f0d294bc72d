"""A step's gradient is that of the mean over its examples, however they are padded, grouped, accumulated."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from tests import tiny
from tests.training import toy
from torch import Tensor

from bertling.data.collation import PadToLongest
from bertling.data.sampler import GroupedBatchSampler
from bertling.data.tokenization import TokenizedTexts
from bertling.models.capture import observe
from bertling.training.distillation_model import DistillationModel


def plain(data: TokenizedTexts, examples: list[int]) -> dict[str, Tensor]:
    """The gradient of the mean, from examples one by one, without padding, batches or Trainer."""
    student, objective, teacher = toy.student().double(), toy.objective().double(), toy.teacher().double()
    learning = {f"student.{name}": parameter for name, parameter in student.named_parameters()}
    learning |= {f"objective.{name}": parameter for name, parameter in objective.named_parameters()}
    for example in examples:
        ids = torch.as_tensor(data[example]["input_ids"], dtype=torch.int64)[None]
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        with torch.no_grad():
            taught = observe(teacher, inputs, attention_layers=[2, 4])
        shown = observe(student, inputs, attention_layers=[1, 2])
        label = torch.tensor([int(data[example]["labels"])])
        (objective(shown, taught, label)[0].sum() / len(examples)).backward()
    return {name: p.grad for name, p in learning.items() if p.grad is not None}


@pytest.mark.parametrize("count", [8, 7])
@pytest.mark.parametrize(
    ("batch_size", "accumulation_steps"), [(8, 1), (4, 2), (2, 4), (1, 8), (3, 3), (5, 2), (20, 1)]
)
def test_one_step_over_all_examples(
    tmp_path: Path, count: int, batch_size: int, accumulation_steps: int
) -> None:
    data = toy.texts(count)
    steps = toy.gradients(tmp_path, data, batch_size=batch_size, accumulation_steps=accumulation_steps)
    assert len(steps) == 1
    toy.assert_close(steps[0], plain(data, list(range(count))))


@pytest.mark.parametrize("accumulation_steps", [1, 2, 3, 5])
def test_every_step_of_an_epoch_with_incomplete_ends(tmp_path: Path, accumulation_steps: int) -> None:
    """13 examples in batches of 3 are 5 batches, one of them of one example, anywhere in the epoch."""
    data = toy.texts(13)
    batches = [
        [draw.example for draw in batch] for batch in GroupedBatchSampler(data.lengths, batch_size=3, seed=7)
    ]
    assert sorted(len(batch) for batch in batches) == [1, 3, 3, 3, 3]
    steps = toy.gradients(tmp_path, data, batch_size=3, accumulation_steps=accumulation_steps, seed=7)
    assert len(steps) == -(-5 // accumulation_steps)
    for index, step in enumerate(steps):
        members = batches[index * accumulation_steps : (index + 1) * accumulation_steps]
        toy.assert_close(step, plain(data, list(chain.from_iterable(members))))


def reordered(data: TokenizedTexts, order: list[int]) -> TokenizedTexts:
    rows = [data[index]["input_ids"] for index in order]
    starts = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    assert data.labels is not None
    return TokenizedTexts(np.concatenate(rows), starts, labels=data.labels[order])


def test_the_order_of_examples_does_not_matter(tmp_path: Path) -> None:
    data = toy.texts(8)
    settings = {"batch_size": 4, "accumulation_steps": 2}
    (first,) = toy.gradients(tmp_path, data, **settings)
    (second,) = toy.gradients(tmp_path, reordered(data, [3, 7, 0, 6, 1, 5, 2, 4]), seed=3, **settings)
    toy.assert_close(second, first)


@pytest.mark.parametrize("more", [1, 15])
def test_more_padding_does_not_matter(tmp_path: Path, more: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = toy.texts(8)
    expected = toy.gradients(tmp_path, data, batch_size=8)
    call = PadToLongest.__call__

    def pad(self: PadToLongest, examples: list[dict[str, object]]) -> dict[str, Tensor]:
        batch = call(self, examples)
        for name in ("input_ids", "attention_mask"):
            batch[name] = torch.nn.functional.pad(batch[name], (0, more))
        return batch

    monkeypatch.setattr(PadToLongest, "__call__", pad)
    toy.assert_close(toy.gradients(tmp_path, data, batch_size=8)[0], expected[0])


def test_float32_agrees_to_its_own_precision(tmp_path: Path) -> None:
    data = toy.texts(8)
    exact = plain(data, list(range(8)))
    for batch_size, accumulation_steps in ((8, 1), (2, 4)):
        (step,) = toy.gradients(
            tmp_path, data, batch_size=batch_size, accumulation_steps=accumulation_steps, double=False
        )
        whole, expected = (
            torch.cat([g.flatten().double() for g in grads.values()]) for grads in (step, exact)
        )
        assert (whole - expected).norm() < 1e-5 * expected.norm()


def test_a_duplicate_of_weight_zero_counts_nothing_even_if_it_is_nan() -> None:
    student, teacher = toy.student(), toy.teacher()
    with torch.no_grad():
        student.get_parameter("bert.embeddings.word_embeddings.weight")[199] = torch.nan
    model = DistillationModel(student, toy.objective(), teacher)
    batch = tiny.batch([9, 5, 5])
    batch["input_ids"][batch["input_ids"] == 199] = 7
    batch["input_ids"][2, 3] = 199
    labels = torch.tensor([0, 1, 1])
    silenced = model(**batch, labels=labels, example_weight=torch.tensor([1.0, 1.0, 0.0]))
    without = model(**{name: values[:2] for name, values in batch.items()}, labels=labels[:2])
    torch.testing.assert_close(silenced.loss, without.loss)
    torch.testing.assert_close(silenced.terms, without.terms)
    assert model(**batch, labels=labels).loss.isnan()


def test_a_duplicate_of_weight_zero_adds_no_gradient() -> None:
    model = DistillationModel(toy.student(), toy.objective(), toy.teacher())
    batch, labels = tiny.batch([9, 5, 5]), torch.tensor([0, 1, 1])

    def run(rows: int, weight: Tensor | None) -> dict[str, Tensor]:
        model.zero_grad()
        inputs = {name: values[:rows] for name, values in batch.items()}
        model(**inputs, labels=labels[:rows], example_weight=weight).loss.backward()
        return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}

    toy.assert_close(run(3, torch.tensor([1.0, 1.0, 0.0])), run(2, None), tolerance=1e-5)


@pytest.mark.parametrize("accumulation_steps", [1, 2])
def test_packing_leaves_the_gradient_as_it_is(tmp_path: Path, accumulation_steps: int) -> None:
    """A step over all of nine texts: each in a row of its own, or in four blocks, of which two a batch."""
    weights = {"embedding": 1.0, "attention": 0.5, "hidden": 2.0}
    random = np.random.default_rng(3)
    lengths = random.integers(3, 12, 9)
    tokens = random.integers(5, tiny.VOCABULARY, int(lengths.sum())).astype(np.int32)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    packed = TokenizedTexts(tokens, starts, blocks=np.asarray([0, 2, 3, 6, 9]))
    assert len(packed) == 4
    (expected,) = toy.gradients(
        tmp_path / "alone", TokenizedTexts(tokens, starts), weights=weights, batch_size=9
    )
    (got,) = toy.gradients(
        tmp_path / "packed",
        packed,
        weights=weights,
        batch_size=4 // accumulation_steps,
        accumulation_steps=accumulation_steps,
    )
    toy.assert_close(got, expected)


def test_tokens_are_counted_and_logged(tmp_path: Path) -> None:
    data = toy.texts(10)
    trainer = toy.trainer(tmp_path, data, epochs=2.0, batch_size=4)
    trainer.train()
    logged = [entry["tokens"] for entry in trainer.state.log_history if "loss" in entry]
    assert logged == sorted(logged)
    assert logged[2] == int(data.lengths.sum())
    assert logged[-1] == 2 * logged[2]
