from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.models.checkpoints import edit_weights, message, saved
from transformers import BertTokenizer

from bertling.models.labels import match_label_names
from bertling.models.teacher import load_classifier, load_encoder, load_tokenizer, same_vocabulary

NAMES = ["no", "maybe", "yes"]
LABELS: dict[str, Any] = {
    "id2label": dict(enumerate(NAMES)),
    "label2id": {name: i for i, name in enumerate(NAMES)},
}
BATCH = tiny.batch([7, 3])
every_architecture = pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)


@every_architecture
def test_a_classifier_comes_back_as_it_was_saved(architecture: str, tmp_path: Path) -> None:
    model = tiny.classifier(architecture, **LABELS)
    loaded = load_classifier(saved(model, tmp_path), label_names=NAMES, new_head=False)
    assert type(loaded) is type(model)
    assert not loaded.training
    torch.testing.assert_close(loaded(**BATCH).logits, model(**BATCH).logits)


@every_architecture
def test_an_encoder_is_read_out_of_a_classifier(architecture: str, tmp_path: Path) -> None:
    model = tiny.classifier(architecture)
    loaded = load_encoder(saved(model, tmp_path))
    assert not hasattr(loaded, "classifier")
    assert not loaded.training
    expected = model.base_model(**BATCH).last_hidden_state
    torch.testing.assert_close(loaded(**BATCH).last_hidden_state, expected)


def test_half_precision_weights_are_widened(tmp_path: Path) -> None:
    model = tiny.classifier().bfloat16()
    loaded = load_classifier(saved(model, tmp_path), label_names=["LABEL_0", "LABEL_1"], new_head=False)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}


@every_architecture
def test_a_new_head_has_the_task_s_labels_and_the_encoder_stays(architecture: str, tmp_path: Path) -> None:
    model = tiny.encoder(architecture)
    loaded = load_classifier(saved(model, tmp_path), label_names=NAMES, new_head=True)
    assert (loaded.config.id2label, loaded.config.label2id) == (LABELS["id2label"], LABELS["label2id"])
    assert loaded.config.problem_type == "single_label_classification"
    assert loaded(**BATCH).logits.shape == (2, 3)
    expected = model(**BATCH).last_hidden_state
    torch.testing.assert_close(loaded.base_model(**BATCH).last_hidden_state, expected)


@every_architecture
def test_a_new_head_replaces_one_of_another_size(architecture: str, tmp_path: Path) -> None:
    folder = saved(tiny.classifier(architecture, num_labels=5), tmp_path)
    assert load_classifier(folder, label_names=NAMES, new_head=True)(**BATCH).logits.shape == (2, 3)


@every_architecture
def test_regression_has_one_output(architecture: str, tmp_path: Path) -> None:
    folder = saved(tiny.encoder(architecture), tmp_path / "encoder")
    loaded = load_classifier(folder, label_names=None, new_head=True, regression=True)
    assert loaded.config.problem_type == "regression"
    assert loaded(**BATCH).logits.shape == (2, 1)
    again = load_classifier(
        saved(loaded, tmp_path / "regressor"), label_names=None, new_head=False, regression=True
    )
    torch.testing.assert_close(again(**BATCH).logits, loaded(**BATCH).logits)


def test_an_encoder_is_no_teacher_unless_it_is_to_be_fine_tuned(tmp_path: Path) -> None:
    text = message(
        lambda: load_classifier(saved(tiny.encoder(), tmp_path), label_names=NAMES, new_head=False)
    )
    assert "missing: classifier.bias; missing: classifier.weight" in text
    assert "set teacher.fine_tune = true" in text


@pytest.mark.parametrize("new_head", [False, True])
def test_missing_weights_are_refused_and_named(tmp_path: Path, new_head: bool) -> None:
    folder = saved(tiny.classifier(**LABELS), tmp_path)
    name = "bert.encoder.layer.1.output.dense.weight"
    edit_weights(tmp_path, lambda weights: weights.pop(name))
    text = message(lambda: load_classifier(folder, label_names=NAMES, new_head=new_head))
    assert f"the weights of {folder} do not fit bert: missing: {name}." in text
    assert f"missing: {name.removeprefix('bert.')}." in message(lambda: load_encoder(folder))


@pytest.mark.parametrize("new_head", [False, True])
def test_weights_of_another_shape_are_refused_and_named(tmp_path: Path, new_head: bool) -> None:
    folder = saved(tiny.classifier(**LABELS), tmp_path)
    name = "bert.embeddings.word_embeddings.weight"
    edit_weights(tmp_path, lambda weights: weights.update({name: torch.zeros(201, 32)}))
    text = message(lambda: load_classifier(folder, label_names=NAMES, new_head=new_head))
    assert f"another shape: {name}" in text


def test_a_head_of_another_size_is_refused_unless_a_new_one_is_asked_for(tmp_path: Path) -> None:
    folder = saved(tiny.classifier(**LABELS), tmp_path)
    edit_weights(tmp_path, lambda weights: weights.update({"classifier.weight": torch.zeros(2, 32)}))
    text = message(lambda: load_classifier(folder, label_names=NAMES, new_head=False))
    assert "another shape: classifier.weight" in text
    load_classifier(folder, label_names=NAMES, new_head=True)


def test_many_problems_are_counted(tmp_path: Path) -> None:
    folder = saved(tiny.encoder(layers=2), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    text = message(lambda: load_encoder(folder))
    assert text.count("missing: encoder.layer.2.") == 5
    assert "and 11 more" in text


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    folder = saved(tiny.encoder("distilbert"), tmp_path)
    config = tiny.config("bert")
    config.save_pretrained(tmp_path)
    assert "do not fit bert: missing" in message(lambda: load_encoder(folder))


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["no", "maybe", "sure"], "['no', 'maybe', 'yes'] are not the task's ['no', 'maybe', 'sure']"),
        (["no", "yes"], "3 outputs for 2 classes"),
        (None, "takes 1 output; the model has 3"),
    ],
)
def test_labels_that_are_not_the_task_s_are_refused(
    tmp_path: Path, names: list[str] | None, shown: str
) -> None:
    model = tiny.classifier(**LABELS)
    assert shown in message(lambda: match_label_names(model, names))
    folder = saved(model, tmp_path)
    assert shown in message(lambda: load_classifier(folder, label_names=names, new_head=False))


def test_loading_says_nothing_and_leaves_the_logging_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = saved(tiny.encoder(), tmp_path)
    capfd.readouterr()
    level = logging.getLogger("transformers").level
    load_classifier(folder, label_names=NAMES, new_head=True)
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("transformers").level == level


def test_a_tokenizer_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    saved(tiny.encoder(), tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    loaded = load_tokenizer(str(tmp_path))
    assert loaded.is_fast
    assert loaded("w1x2 w3")["input_ids"] == [2, 6, 105, 8, 3]


@every_architecture
def test_a_model_without_a_tokenizer_does_not_get_an_empty_one(architecture: str, tmp_path: Path) -> None:
    folder = saved(tiny.encoder(architecture), tmp_path)
    assert f"{folder} has no tokenizer (tokenizer.json)" in message(lambda: load_tokenizer(folder))


def test_a_slow_tokenizer_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tiny.encoder(), tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    monkeypatch.setattr(BertTokenizer, "is_fast", property(lambda self: False))
    assert "has no fast tokenizer" in message(lambda: load_tokenizer(str(tmp_path)))


def test_student_and_teacher_read_the_same_token_ids() -> None:
    ours = tiny.tokenizer()
    same_vocabulary(ours, tiny.tokenizer())
    entries = ours.get_vocab()
    entries["w0"], entries["w1"] = entries["w1"], entries["w0"]
    swapped = BertTokenizer(vocab=entries)
    text = message(lambda: same_vocabulary(ours, swapped))
    assert "(200 and 200 entries, 2 of the student's differ)" in text
    longer = BertTokenizer(vocab={**ours.get_vocab(), "more": 200})
    assert "(200 and 201 entries, 1 of the student's differ)" in message(
        lambda: same_vocabulary(ours, longer)
    )
