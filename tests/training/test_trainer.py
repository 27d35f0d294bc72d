from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests import tiny
from tests.training import toy
from torch import Tensor
from transformers import TrainerCallback

from bertling.data.sampler import GroupedBatchSampler
from bertling.data.tokenization import TokenizedTexts
from bertling.errors import ModelError
from bertling.training.arguments import training_arguments
from bertling.training.distillation_model import DistillationModel
from bertling.training.trainer import DistillationTrainer


def points(trainer: DistillationTrainer) -> list[dict[str, Any]]:
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def terms_of(data: TokenizedTexts, example: int) -> dict[str, Tensor]:
    """One example's losses by name, without the Trainer."""
    model = DistillationModel(toy.student(), toy.objective(), toy.teacher())
    ids = torch.as_tensor(data[example]["input_ids"], dtype=torch.int64)[None]
    label = torch.tensor([int(data[example]["labels"])])
    terms: dict[str, Tensor] = model(ids, torch.ones_like(ids), labels=label).terms
    return terms


def test_terms_are_logged_as_the_mean_over_the_examples_since_the_last_point(tmp_path: Path) -> None:
    """13 examples are 5 steps, one of them of one example: points at steps 2, 4 and, being the last, 5."""
    data = toy.texts(13)
    trainer = toy.trainer(tmp_path, data, learning_rate=0.0, epochs=1.0, batch_size=3, log_steps=2)
    trainer.train()
    batches = [
        [draw.example for draw in batch] for batch in GroupedBatchSampler(data.lengths, batch_size=3, seed=42)
    ]
    assert [point["step"] for point in points(trainer)] == [2, 4, 5]
    for point, since in zip(points(trainer), (batches[:2], batches[2:4], batches[4:]), strict=True):
        members = [terms_of(data, example) for batch in since for example in batch]
        logged = {key.removeprefix("term/"): value for key, value in point.items() if key.startswith("term/")}
        assert logged.keys() == members[0].keys()
        for name, value in logged.items():
            expected = sum(float(terms[name]) for terms in members) / len(members)
            assert value == pytest.approx(expected, rel=1e-4), name
    # The Trainer's closing summary is no point, and nothing is left for it.
    assert not any(key.startswith("term/") for key in trainer.state.log_history[-1])


def test_the_logged_loss_is_the_weighted_sum_of_the_terms(tmp_path: Path) -> None:
    trainer = toy.trainer(tmp_path, toy.texts(16), batch_size=2, accumulation_steps=2, epochs=2.0)
    trainer.train()
    assert len(points(trainer)) == 8
    for point in points(trainer):
        weighted = sum(
            value * toy.EVERY_TERM[key.removeprefix("term/").split(".")[0]]
            for key, value in point.items()
            if key.startswith("term/")
        )
        assert point["loss"] == pytest.approx(weighted, rel=1e-4)
        assert point["grad_norm"] > 0


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    trainer = toy.trainer(tmp_path, toy.texts(16), epochs=10.0, batch_size=8, learning_rate=1e-2, log_steps=5)
    trainer.train()
    assert points(trainer)[-1]["loss"] < points(trainer)[0]["loss"] / 2


def test_a_regression_student_learns_from_teacher_and_numbers(tmp_path: Path) -> None:
    data = toy.texts(8)
    assert data.labels is not None
    data.labels = data.labels.astype("float32") * 2.5
    student = tiny.classifier(layers=2, num_labels=1)
    trainer = DistillationTrainer(
        student,
        toy.objective({"prediction": 1.0, "labels": 1.0}),
        teacher=tiny.classifier(num_labels=1, seed=2),
        args=training_arguments(tmp_path, max_steps=20, learning_rate=1e-2, log_steps=1),
        train_dataset=data,
        tokenizer=tiny.tokenizer(),
    )
    trainer.train()
    assert points(trainer)[-1]["loss"] < points(trainer)[0]["loss"]
    assert {key for key in points(trainer)[0] if key.startswith("term/")} == {
        "term/prediction",
        "term/labels",
    }


def test_unlabelled_texts_train_an_encoder_without_a_head(tmp_path: Path) -> None:
    data = toy.texts(8)
    data.labels = None
    student = tiny.encoder(layers=2, width=24, heads=4)
    trainer = DistillationTrainer(
        student,
        toy.objective({"embedding": 1.0, "attention": 1.0, "hidden": 1.0}),
        teacher=tiny.encoder(layers=4, seed=2),
        args=training_arguments(tmp_path, epochs=4, batch_size=4, learning_rate=1e-2, log_steps=1),
        train_dataset=data,
        tokenizer=tiny.tokenizer(),
    )
    trainer.train()
    assert points(trainer)[-1]["loss"] < points(trainer)[0]["loss"]


def test_a_teacher_that_is_missing_is_noticed_before_training(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="compares with a teacher"):
        DistillationTrainer(
            toy.student(),
            toy.objective(),
            args=training_arguments(tmp_path),
            train_dataset=toy.texts(4),
            tokenizer=tiny.tokenizer(),
        )


class Orders(TrainerCallback):
    """Notes the sampler's epoch at every step."""

    def __init__(self) -> None:
        self.epochs: list[int] = []
        self.sampler: GroupedBatchSampler | None = None

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        assert self.sampler is not None
        self.epochs.append(self.sampler._epoch)


@pytest.mark.parametrize("accumulation_steps", [1, 2])
def test_every_epoch_has_an_order_of_its_own(tmp_path: Path, accumulation_steps: int) -> None:
    noted = Orders()
    trainer = toy.trainer(
        tmp_path,
        toy.texts(7),
        callbacks=[noted],
        epochs=3.0,
        batch_size=2,
        accumulation_steps=accumulation_steps,
    )
    noted.sampler = trainer._sampler
    trainer.train()
    steps = 4 // accumulation_steps
    assert noted.epochs == [0] * steps + [1] * steps + [2] * steps


def test_reading_data_draws_no_random_numbers(tmp_path: Path) -> None:
    """Dropout then does not depend on how often an iterator was made, by a resumed run for one."""
    loader = toy.trainer(tmp_path, toy.texts(7)).get_train_dataloader()
    state = torch.get_rng_state()
    assert len(list(loader)) == len(loader)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    def trained(seed: int) -> dict[str, Tensor]:
        trainer = toy.trainer(
            tmp_path, toy.texts(8), dropout=0.3, batch_size=4, learning_rate=1e-2, seed=seed
        )
        trainer.train()
        return toy.weights_of(trainer.trained)

    first = trained(1)
    toy.assert_equal(trained(1), first)
    name = "student.classifier.weight"
    assert not torch.equal(trained(2)[name], first[name])


def test_bfloat16_keeps_weights_and_losses_in_float32(tmp_path: Path) -> None:
    def trained(precision: str) -> toy.ToyTrainer:
        trainer = toy.trainer(tmp_path, toy.texts(8), max_steps=3, learning_rate=1e-3, precision=precision)
        trainer.train()
        return trainer

    half, full = trained("bfloat16"), trained("float32")
    assert {parameter.dtype for parameter in half.trained.parameters()} == {torch.float32}
    for ours, theirs in zip(points(half), points(full), strict=True):
        assert ours["loss"] != theirs["loss"]
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.05)


def test_activation_checkpointing_changes_nothing(tmp_path: Path) -> None:
    def trained(*, checkpointing: bool) -> dict[str, Tensor]:
        trainer = toy.trainer(tmp_path, toy.texts(8), dropout=0.3, max_steps=3, learning_rate=1e-3)
        # The newer and the older name.
        trainer.args.activation_checkpointing = trainer.args.gradient_checkpointing = checkpointing
        trainer.train()
        layers = trainer.trained.student.get_submodule("bert.encoder.layer").children()
        assert {layer.gradient_checkpointing for layer in layers} == {checkpointing}
        return toy.weights_of(trainer.trained)

    toy.assert_close(trained(checkpointing=True), trained(checkpointing=False), tolerance=1e-5)


@pytest.mark.slow
# torch's compiler warns of torch's own code.
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_compiling_changes_nothing(tmp_path: Path) -> None:
    def trained(*, compile: bool) -> dict[str, Tensor]:
        trainer = toy.trainer(
            tmp_path / str(compile),
            toy.texts(8),
            max_steps=2,
            learning_rate=1e-3,
            compile=compile,
            checkpoint_steps=2,
        )
        trainer.train()
        return load_file(tmp_path / str(compile) / "checkpoint-2" / "model.safetensors")

    toy.assert_close(trained(compile=True), trained(compile=False), tolerance=1e-4)


@pytest.mark.faults
@pytest.mark.parametrize("how", ["argument", "environment"])
def test_weights_that_are_spread_over_processes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    made = toy.trainer(tmp_path, toy.texts(4))
    args = made.args
    if how == "argument":
        vars(args)["fsdp"] = True
    else:
        monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ModelError, match=r"fsdp spreads .* torchrun alone"):
        DistillationTrainer(
            toy.student(),
            toy.objective(),
            teacher=toy.teacher(),
            args=args,
            train_dataset=toy.texts(4),
            tokenizer=tiny.tokenizer(),
        )
