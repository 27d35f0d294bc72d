from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.models.checkpoints import message, saved

from bertling.models.labels import output_names, output_order
from bertling.models.teacher import load_classifier, teacher_outputs

BATCH = tiny.batch([7, 3, 5])
MNLI = ["entailment", "neutral", "contradiction"]


def named(*names: str) -> dict[str, Any]:
    return {"id2label": dict(enumerate(names)), "label2id": {name: place for place, name in enumerate(names)}}


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_a_teacher_of_another_label_order_gives_each_class_the_logit_that_it_gave(
    architecture: str, tmp_path: Path
) -> None:
    theirs = ["contradiction", "entailment", "neutral"]
    model = tiny.classifier(architecture, **named(*theirs))
    loaded = load_classifier(saved(model, tmp_path), label_names=MNLI, new_head=False)
    before, after = model(**BATCH).logits, loaded(**BATCH).logits
    for place, name in enumerate(MNLI):
        torch.testing.assert_close(after[:, place], before[:, theirs.index(name)])
    assert loaded.config.id2label == dict(enumerate(MNLI))
    assert loaded.config.label2id == {name: place for place, name in enumerate(MNLI)}


def test_what_is_saved_of_it_has_the_task_s_order(tmp_path: Path) -> None:
    model = tiny.classifier(**named("neutral", "contradiction", "entailment"))
    loaded = load_classifier(saved(model, tmp_path / "theirs"), label_names=MNLI, new_head=False)
    again = load_classifier(saved(loaded, tmp_path / "ours"), label_names=MNLI, new_head=False)
    assert teacher_outputs(str(tmp_path / "ours")) == MNLI
    torch.testing.assert_close(again(**BATCH).logits, loaded(**BATCH).logits)


@pytest.mark.parametrize(
    ("outputs", "classes", "order"),
    [
        (["no", "yes"], ["no", "yes"], [0, 1]),
        (["yes", "no"], ["no", "yes"], [1, 0]),
        (["POSITIVE", "NEGATIVE"], ["negative", "positive"], [1, 0]),
        (["neg", "pos"], ["positive", "negative"], [1, 0]),
        (["Not-Entailment", "entail"], ["entailment", "not_entailment"], [1, 0]),
        (["LABEL_1", "LABEL_0"], ["0", "1"], [1, 0]),
        (["LABEL_0", "LABEL_1"], ["LABEL_1", "LABEL_0"], [1, 0]),
        # where the names as they are will do, they are not folded into one
        (["neg", "Negative"], ["Negative", "neg"], [1, 0]),
    ],
)
def test_names_are_matched_as_they_are_or_in_another_spelling(
    outputs: list[str], classes: list[str], order: list[int]
) -> None:
    assert output_order(outputs, classes) == order


@pytest.mark.parametrize(
    ("outputs", "classes", "expected"),
    [
        (
            ["LABEL_0", "LABEL_1"],
            ["no", "yes"],
            'its outputs have no names, so nothing says which.*"no", "yes"',
        ),
        (["0", "1"], ["no", "yes"], "its outputs have no names"),
        (["LABEL_0", "LABEL_1"], ["1", "2"], "its outputs have no names"),
        (
            ["bad", "good"],
            ["no", "yes"],
            r"\['bad', 'good'\] are not the task's \['no', 'yes'\]\. Where they mean",
        ),
        (["no", "yes"], ["no", "maybe", "yes"], "2 outputs for 3 classes"),
        (["NEG", "neg"], ["Negative", "Neg"], "are not the task's"),
        (["no", "no"], ["no", "no"], "are not the task's"),
    ],
)
def test_names_that_do_not_match_one_to_one_are_refused_with_both_lists(
    outputs: list[str], classes: list[str], expected: str
) -> None:
    text = message(lambda: output_order(outputs, classes))
    assert f"{outputs} are not the task's {classes}" in text
    assert re.search(expected, text)


def test_the_user_names_outputs_that_have_no_names(tmp_path: Path) -> None:
    model = tiny.classifier(num_labels=3)
    folder = saved(model, tmp_path)
    assert "have no names" in message(lambda: load_classifier(folder, label_names=MNLI, new_head=False))
    theirs = ["neutral", "contradiction", "entailment"]
    loaded = load_classifier(folder, label_names=MNLI, new_head=False, outputs=theirs)
    torch.testing.assert_close(loaded(**BATCH).logits, model(**BATCH).logits[:, [2, 0, 1]])
    text = message(lambda: load_classifier(folder, label_names=MNLI, new_head=False, outputs=["no", "yes"]))
    assert "[teacher] labels names 2 outputs, ['no', 'yes']; the model has 3" in text


def test_a_configuration_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    folder = saved(tiny.classifier(**named("no", "yes")), tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"label2id": {"yes": 0, "no": 1}}))
    text = message(lambda: load_classifier(folder, label_names=["no", "yes"], new_head=False))
    assert "by id2label its outputs are ['no', 'yes'], by label2id ['yes', 'no']" in text


def test_outputs_are_read_in_the_order_of_their_indices() -> None:
    assert output_names(tiny.config(id2label={1: "yes", 0: "no"}, label2id={"yes": 1, "no": 0})) == [
        "no",
        "yes",
    ]
    assert output_names(tiny.config()) == ["LABEL_0", "LABEL_1"]
