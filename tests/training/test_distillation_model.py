from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests import tiny
from tests.training import toy
from transformers import AutoModelForSequenceClassification

from bertling.data.collation import PadToLongest
from bertling.errors import ModelError
from bertling.training.calibration import fit_projections
from bertling.training.distillation_model import DistillationModel

BATCH = tiny.batch([9, 20, 3])
LABELS = torch.tensor([0, 1, 1])


def distilled(**weights: float) -> DistillationModel:
    return DistillationModel(toy.student(), toy.objective(weights or toy.EVERY_TERM), toy.teacher())


def test_the_loss_is_the_weighted_sum_over_examples_and_terms() -> None:
    model = distilled()
    output = model(**BATCH, labels=LABELS)
    alone = [
        model(**{name: values[i : i + 1] for name, values in BATCH.items()}, labels=LABELS[i : i + 1])
        for i in range(3)
    ]
    torch.testing.assert_close(output.loss, sum(one.loss for one in alone))
    for name, value in output.terms.items():
        torch.testing.assert_close(value, sum(one.terms[name] for one in alone))
        assert not value.requires_grad
    weighted = sum(value * toy.EVERY_TERM[name.split(".")[0]] for name, value in output.terms.items())
    torch.testing.assert_close(output.loss.detach(), weighted)


def test_example_weights_scale_examples() -> None:
    model = distilled(hidden=1.0)
    one, other = (model(**{name: values[i : i + 1] for name, values in BATCH.items()}).loss for i in (0, 1))
    weight = torch.tensor([1.0, 0.5, 0.0], dtype=torch.float64)
    torch.testing.assert_close(model(**BATCH, example_weight=weight).loss, one + other / 2)


def test_the_teacher_is_in_eval_mode_and_hidden_from_torch() -> None:
    teacher = toy.teacher().train()
    student = toy.student()
    model = DistillationModel(student, toy.objective(), teacher)
    model.train()
    assert not any(module.training for module in teacher.modules())
    assert student.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    own = [*student.parameters(), *model.objective.parameters()]
    assert {id(parameter) for parameter in model.parameters()} == {id(parameter) for parameter in own}
    assert not any(module is teacher for module in model.modules())
    names = {name.split(".")[0] for name in model.state_dict()}
    assert names == {"student", "objective"}
    # Its dropout of one half would make any two passes differ.
    assert torch.equal(model(**BATCH, labels=LABELS).loss, model(**BATCH, labels=LABELS).loss)


def test_the_teacher_gets_no_gradient_and_the_projections_do() -> None:
    teacher = toy.teacher()
    model = DistillationModel(toy.student(), toy.objective(), teacher)
    model(**BATCH, labels=LABELS).loss.backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert len(list(model.objective.parameters())) == 3
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_the_teacher_is_placed_with_the_student() -> None:
    teacher = toy.teacher()
    model = DistillationModel(toy.student(), toy.objective(), teacher)
    model.place_teacher(torch.device("meta"))
    assert {parameter.device.type for parameter in teacher.parameters()} == {"meta"}
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


def test_an_objective_that_needs_a_teacher_gets_one() -> None:
    with pytest.raises(ModelError, match="compares with a teacher, and none was given"):
        DistillationModel(toy.student(), toy.objective())


def test_labels_alone_need_no_teacher_and_run_none() -> None:
    teacher = toy.teacher()
    teacher.register_forward_hook(lambda *_: pytest.fail("the teacher ran"))
    model = DistillationModel(toy.student(), toy.objective({"labels": 1.0}), teacher)
    expected = toy.student()(**BATCH, labels=LABELS).loss * 3
    torch.testing.assert_close(model(**BATCH, labels=LABELS).loss, expected)


def test_models_that_show_no_attention_scores_are_refused_at_once() -> None:
    decoder = tiny.classifier(layers=4, is_decoder=True)
    with pytest.raises(ModelError, match="decoder 'bert' cannot give attention scores"):
        DistillationModel(toy.student(), toy.objective(), decoder)
    DistillationModel(toy.student(), toy.objective({"hidden": 1.0}), decoder)


def test_pairs_reach_student_and_teacher_with_their_segments() -> None:
    segments = (torch.arange(20) > 2).long().expand(3, 20)
    for weights in ({"labels": 1.0}, {"prediction": 1.0}):
        model = distilled(**weights)
        plain = model(**BATCH, labels=LABELS).loss
        assert model(**BATCH, token_type_ids=segments, labels=LABELS).loss != plain


def test_training_changes_student_and_projections_and_nothing_else(tmp_path: Path) -> None:
    trainer = toy.trainer(tmp_path, toy.texts(8), max_steps=2, checkpoint_steps=1)
    model = trainer.trained
    (teacher,) = model._teacher
    taught, before = toy.weights_of(teacher), toy.weights_of(model)
    trainer.train()
    toy.assert_equal(toy.weights_of(teacher), taught)
    assert not teacher.training
    after = toy.weights_of(model)
    for name, value in before.items():
        assert not torch.equal(after[name], value), name
    assert trainer.optimizer is not None
    optimized = [id(parameter) for group in trainer.optimizer.param_groups for parameter in group["params"]]
    assert sorted(optimized) == sorted(id(parameter) for parameter in model.parameters())
    kept = load_file(tmp_path / "checkpoint-1" / "model.safetensors")
    assert {name.split(".")[0] for name in kept} == {"student", "objective"}


def test_the_saved_student_is_a_plain_one(tmp_path: Path) -> None:
    trainer = toy.trainer(tmp_path / "run", toy.texts(8), max_steps=1, checkpoint_steps=1)
    trainer.train()
    model = trainer.trained
    model.student.save_pretrained(tmp_path / "student")
    saved = load_file(tmp_path / "student" / "model.safetensors")
    assert saved.keys() == toy.student().state_dict().keys()
    config = json.loads((tmp_path / "student" / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert "bertling" not in json.dumps(config)
    assert "teacher" not in json.dumps(config)
    reloaded = AutoModelForSequenceClassification.from_pretrained(tmp_path / "student")
    torch.testing.assert_close(reloaded(**BATCH).logits, model.student.eval()(**BATCH).logits)


def test_fitting_projections_lowers_the_loss_and_leaves_the_models_alone() -> None:
    student, teacher, objective = toy.student(dropout=0.3).train(), toy.teacher().train(), toy.objective()
    data = toy.texts(64)
    collate = PadToLongest(tiny.tokenizer())
    batches = [collate([data[index] for index in range(start, start + 16)]) for start in range(0, 64, 16)]
    inputs = [{name: values for name, values in batch.items() if name != "labels"} for batch in batches]
    before_student, before_teacher = toy.weights_of(student), toy.weights_of(teacher)

    def losses() -> dict[str, torch.Tensor]:
        model = DistillationModel(student, objective, teacher).eval()
        outputs = [model(**batch) for batch in batches]
        student.train()
        return {name: sum(output.terms[name] for output in outputs) for name in outputs[0].terms}

    before = losses()
    fit_projections(objective, student, teacher, inputs)
    assert student.training
    after = losses()
    for name in ("embedding", "hidden.1", "hidden.2"):
        assert after[name] < before[name] / 2, name
    for name in ("attention.1", "attention.2", "prediction"):
        assert after[name] == before[name], name
    toy.assert_equal(toy.weights_of(student), before_student)
    toy.assert_equal(toy.weights_of(teacher), before_teacher)
    weights = toy.weights_of(objective)
    fit_projections(objective, student, teacher, inputs)
    toy.assert_equal(toy.weights_of(objective), weights)
    assert all(parameter.requires_grad for parameter in objective.parameters())
