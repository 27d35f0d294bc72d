"""Heads for labels of words, for several labels of a text, and for answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from transformers import PreTrainedModel

from bertling.errors import ModelError
from bertling.models.capture import observe
from bertling.models.student import Shape, create_student
from bertling.models.teacher import load_classifier

NAMES = ["a", "b", "c"]
LABELS: dict[str, Any] = {
    "id2label": dict(enumerate(NAMES)),
    "label2id": {name: index for index, name in enumerate(NAMES)},
}
BATCH = tiny.batch([5, 3])


def saved(model: PreTrainedModel, folder: Path) -> str:
    model.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_every_encoder_takes_a_head_for_words_and_gives_a_student(architecture: str, tmp_path: Path) -> None:
    teacher = load_classifier(
        saved(tiny.encoder(architecture), tmp_path), label_names=NAMES, new_head=True, word_labels=True
    )
    assert teacher(**BATCH).logits.shape == (2, 5, 3)
    shape = Shape(layers=1, width=32, heads=4, ffn=48)
    student = create_student(teacher, shape, initialization="layers")
    assert student(**BATCH).logits.shape == (2, 5, 3)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_every_encoder_answers_questions_and_gives_a_student(architecture: str, tmp_path: Path) -> None:
    teacher = load_classifier(
        saved(tiny.encoder(architecture), tmp_path), label_names=None, new_head=True, question_answering=True
    )
    student = create_student(teacher, Shape(layers=1, width=32, heads=4, ffn=48), initialization="layers")
    for model in (teacher, student):
        shown = observe(model, BATCH, attention_layers=[1]).logits
        assert shown is not None
        assert shown.shape == (2, 5, 2)
        torch.testing.assert_close(shown[0, :, 0], model(**BATCH).start_logits[0])
        torch.testing.assert_close(shown[0, :, 1], model(**BATCH).end_logits[0])
    saved(student, tmp_path / "student")
    load_classifier(str(tmp_path / "student"), label_names=None, new_head=False, question_answering=True)


@pytest.mark.parametrize("architecture", ["bert", "distilbert", "albert", "deberta-v2", "modernbert"])
def test_a_student_that_answers_is_cut_out_with_its_head(architecture: str) -> None:
    teacher = tiny.answerer(architecture)
    heads = 2 if architecture == "modernbert" else 4
    student = create_student(
        teacher, Shape(layers=1, width=16, heads=heads, ffn=24), initialization="prune", calibration=[BATCH]
    )
    assert observe(student, BATCH).embedding.shape[-1] <= 24
    assert student(**BATCH).start_logits.shape == (2, 5)


def test_a_model_with_other_outputs_than_start_and_end_is_refused(tmp_path: Path) -> None:
    three = saved(tiny.answerer(num_labels=3), tmp_path / "three")
    with pytest.raises(ModelError, match=r"has 3 outputs.*questions has 2"):
        load_classifier(three, label_names=None, new_head=False, question_answering=True)
    bare = saved(tiny.encoder(), tmp_path / "bare")
    with pytest.raises(ModelError, match=r"missing: qa_outputs.*fine_tune = true"):
        load_classifier(bare, label_names=None, new_head=False, question_answering=True)


def test_a_student_for_words_is_cut_out_with_its_head() -> None:
    teacher = tiny.word_classifier(**LABELS)
    student = create_student(
        teacher, Shape(layers=1, width=16, heads=2, ffn=24), initialization="prune", calibration=[BATCH]
    )
    assert student.get_parameter("classifier.weight").shape == (3, 16)


def test_a_new_head_for_several_labels_says_so(tmp_path: Path) -> None:
    model = load_classifier(
        saved(tiny.encoder(), tmp_path), label_names=NAMES, new_head=True, multi_label=True
    )
    assert model.config.problem_type == "multi_label_classification"
    assert model.config.num_labels == 3


def test_a_fine_tuned_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    texts = saved(tiny.classifier(**LABELS), tmp_path / "texts")
    words = saved(tiny.word_classifier(**LABELS), tmp_path / "words")
    one = saved(tiny.classifier(problem_type="single_label_classification", **LABELS), tmp_path / "one")
    with pytest.raises(ModelError, match=r"a classifier of texts.*those of words"):
        load_classifier(texts, label_names=NAMES, new_head=False, word_labels=True)
    with pytest.raises(ModelError, match=r"a classifier of words.*those of texts"):
        load_classifier(words, label_names=NAMES, new_head=False)
    with pytest.raises(ModelError, match=r"a classifier of words.*those of answers"):
        load_classifier(words, label_names=None, new_head=False, question_answering=True)
    answers = saved(tiny.answerer(), tmp_path / "answers")
    with pytest.raises(ModelError, match=r"a classifier of answers.*those of texts"):
        load_classifier(answers, label_names=NAMES, new_head=False)
    with pytest.raises(ModelError, match="one label for each text"):
        load_classifier(one, label_names=NAMES, new_head=False, multi_label=True)
    several = load_classifier(texts, label_names=NAMES, new_head=False, multi_label=True)
    assert several.config.problem_type == "multi_label_classification"
