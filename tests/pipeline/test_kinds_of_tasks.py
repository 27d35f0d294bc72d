"""Whole runs with labels of words, and with several labels of a text."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.pipeline import kinds_data, words
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    pipeline,
)

from bertling.evaluation.chunks import chunk_counts_by_type
from bertling.evaluation.metrics import score
from bertling.pipeline.context import task_of
from bertling.pipeline.judging import evaluate_model
from bertling.pipeline.predictions import read_predictions
from bertling.pipeline.preflight import validate_data


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> words.Run:
    """A finished run with labels of words, whose stages read their teacher from a cache."""
    folder = tmp_path_factory.mktemp("tagged")
    kinds_data.write_words_task(folder)
    return words.run(words.read(folder, "prediction.teacher_cache=always"))


@pytest.fixture(scope="module")
def topics(tmp_path_factory: pytest.TempPathFactory) -> words.Run:
    folder = tmp_path_factory.mktemp("topics")
    kinds_data.write_topics_task(folder)
    return words.run(words.read(folder))


def test_teacher_and_student_of_words_are_measured_by_chunks_beside_a_yardstick(tagged: words.Run) -> None:
    results = tagged.results
    assert results.teacher
    assert results.teacher.metric == "chunk_f1"
    assert results.teacher.score > 0.8
    assert results.student.score > 0.3
    assert results.student.further_metrics.keys() == {"accuracy"}
    assert results.yardsticks["majority"].score > 0.8  # a word that was seen has one tag, here
    assert results.data.label_names == kinds_data.TAGS
    terms = results.histories["prediction"][-1].terms
    assert terms.keys() == {"prediction", "labels"}


def test_chunks_have_figures_by_type_and_their_words_confusions(tagged: words.Run) -> None:
    found = tagged.results.by_label
    assert found
    assert (found.unit, [row.label for row in found.labels]) == ("chunk", ["A", "B"])
    answers = read_predictions(tagged.folder)
    counts = chunk_counts_by_type(answers["student"], answers["label"], kinds_data.TAGS)
    assert [row.student.recall for row in found.labels] == [right / at for right, _, at in counts.values()]
    assert {row.reference for row in found.confusions} == {"A", "B", "O"}
    assert sum(row.student for row in found.confusions) == (answers["label"] >= 0).sum()
    assert "By type of chunk" in (tagged.folder / "report.html").read_text()


def test_what_models_say_of_each_word_is_kept_and_gives_the_score(tagged: words.Run) -> None:
    answers = read_predictions(tagged.folder)
    assert answers["label"].shape == answers["student"].shape == (24, answers["label"].shape[1])
    found = score("chunk_f1", answers["student"], answers["label"], label_names=kinds_data.TAGS)
    assert found == pytest.approx(tagged.results.student.score)


def test_the_student_of_words_is_a_token_classifier_to_others(tagged: words.Run) -> None:
    folder = tagged.folder / "student"
    model = AutoModelForTokenClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert list(model.config.id2label.values()) == kinds_data.TAGS
    right = []
    for sentence in kinds_data.sentences(24, seed=2):
        encoded = tokenizer([word for word, _ in sentence], is_split_into_words=True, return_tensors="pt")
        with torch.inference_mode():
            chosen = model(**encoded).logits[0].argmax(-1).tolist()
        places = encoded.word_ids(0)
        right += [
            model.config.id2label[chosen[places.index(place)]] == tag
            for place, (_, tag) in enumerate(sentence)
        ]
    assert np.mean(right) == pytest.approx(tagged.results.student.further_metrics["accuracy"])
    card = (folder / "README.md").read_text()
    assert "pipeline_tag: token-classification" in card
    assert pipeline("token-classification", model=model, tokenizer=tokenizer)("w0x3 w1") is not None


def test_disagreements_name_the_word(tagged: words.Run) -> None:
    shown = tagged.results.disagreements
    assert shown
    for entry in shown:
        word, tag = entry.label.split(": ")
        assert word in entry.text.split()
        assert tag in kinds_data.TAGS
        assert entry.teacher != entry.student
        assert 0 < entry.student_confidence <= 1
    assert f"{shown[0].student}" in (tagged.folder / "report.html").read_text()


def test_a_saved_tagger_is_scored_by_evaluate(tagged: words.Run) -> None:
    data = Path(tagged.recipe.data.test or "")
    again = evaluate_model(str(tagged.folder / "student"), data, task_of(tagged.recipe), max_length_tokens=12)
    assert again.sets[0].figures["chunk_f1"] == pytest.approx(tagged.results.student.score)


def test_a_teacher_of_words_that_is_fine_tuned_already_is_matched_by_its_tags(
    tagged: words.Run, tmp_path: Path
) -> None:
    teacher = tmp_path / "tagger"
    model = AutoModelForTokenClassification.from_pretrained(tagged.folder / "stages" / "teacher" / "model")
    order = [3, 1, 0, 2]
    with torch.no_grad():
        for values in (model.classifier.weight, model.classifier.bias):
            values.copy_(values[order])
    model.config.id2label = {index: kinds_data.TAGS[label] for index, label in enumerate(order)}
    model.config.label2id = {name: index for index, name in model.config.id2label.items()}
    model.save_pretrained(teacher)
    AutoTokenizer.from_pretrained(tagged.folder / "student").save_pretrained(teacher)
    kinds_data.write_words_task(tmp_path)
    overrides = ("teacher.fine_tune=false", "intermediate=none", "report=none", "task.class_weights=balanced")
    recipe = words.read(tmp_path, f"teacher.model={teacher}", *overrides)
    taken = words.run(recipe).results.teacher
    assert taken
    assert tagged.results.teacher
    assert taken.score == pytest.approx(tagged.results.teacher.score)


def test_a_run_of_words_is_looked_ahead(tmp_path: Path) -> None:
    kinds_data.write_words_task(tmp_path)
    found = validate_data(words.read(tmp_path, "task.class_weights=balanced"))
    assert found.classes == kinds_data.TAGS
    assert found.lengths[0].rows == 64
    assert [stage.name for stage in found.stages] == [
        *("teacher", "initialize", "intermediate", "prediction", "evaluate")
    ]
    assert not found.refusals


def test_several_labels_are_learned_from_a_held_out_file(topics: words.Run) -> None:
    results = topics.results
    assert (results.data.train_examples, results.data.evaluation_examples) == (180, 60)
    assert results.teacher
    assert results.teacher.metric == "micro_f1"
    assert results.teacher.score > results.yardsticks["majority"].score
    assert results.student.further_metrics.keys() == {"macro_f1"}
    answers = read_predictions(topics.folder)
    assert answers["label"].shape == (60, 3)
    assert score("micro_f1", answers["student"], answers["label"]) == pytest.approx(results.student.score)
    assert results.by_label
    assert [row.label for row in results.by_label.labels] == kinds_data.TOPICS
    assert not results.by_label.confusions
    mean = np.mean([row.student.f1 or 0 for row in results.by_label.labels])
    assert mean == pytest.approx(results.student.further_metrics["macro_f1"])


def test_the_student_of_several_labels_says_so_to_others(topics: words.Run) -> None:
    model = AutoModelForSequenceClassification.from_pretrained(topics.folder / "student")
    assert model.config.problem_type == "multi_label_classification"
    assert list(model.config.id2label.values()) == kinds_data.TOPICS
    config = json.loads((topics.folder / "stages" / "teacher" / "model" / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
