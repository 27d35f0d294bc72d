"""What a recipe may say of the kinds of tasks and of data of one's own."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from bertling.recipe.schema import Recipe


def tables(task: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {
        "name": "mine",
        "task": {"name": "mine", **task},
        "data": {"train": "train.jsonl", "test": "test.jsonl"},
        "teacher": {"model": "teacher"},
        "student": {"preset": "tinybert-4l-312"},
        "prediction": {},
        **sections,
    }


@pytest.mark.parametrize(
    "task",
    [
        {"word_labels": True},
        {"word_labels": True, "metric": "accuracy", "label": "2", "class_weights": "balanced"},
        {"multi_label": True, "separator": "|", "metric": "macro_f1"},
        {"class_weights": "balanced"},
    ],
)
def test_kinds_of_tasks_are_read(task: dict[str, Any]) -> None:
    assert Recipe.model_validate(tables(task)).task.name == "mine"


def test_a_train_file_alone_is_enough_with_a_held_out_fraction() -> None:
    data = {"train": "train.jsonl", "held_out_fraction": 0.1}
    assert Recipe.model_validate(tables({}, data=data)).data.test is None


@pytest.mark.parametrize(
    ("task", "sections", "problem"),
    [
        ({"word_labels": True, "regression": True}, {}, "regression and word_labels exclude each other"),
        ({"word_labels": True, "text_pair": "other"}, {}, "no pairs"),
        ({"separator": "|"}, {}, "multi_label = true"),
        ({"multi_label": True, "class_weights": "balanced"}, {}, "class_weights"),
        ({"word_labels": True, "metric": "f1"}, {}, "metric f1: with word_labels it is chunk_f1 or accuracy"),
        ({"multi_label": True, "metric": "accuracy"}, {}, "micro_f1 or macro_f1"),
        ({"metric": "chunk_f1"}, {}, "metric chunk_f1 needs word_labels = true"),
        ({"metric": "micro_f1"}, {}, "metric micro_f1 needs multi_label = true"),
        ({"word_labels": True}, {"augment": {}}, "does not replace words that have labels"),
        ({"word_labels": True}, {"data": {"hub": "owner/name"}}, "comes from files"),
        (
            {"multi_label": True},
            {"evaluate": {"yardsticks": ["tfidf"]}},
            "tfidf is no method for multi_label",
        ),
        (
            {"word_labels": True},
            {"prediction": {"unlabelled": True}, "general": {"corpus": "corpus.txt"}},
            "unlabelled: such text is not in words",
        ),
        ({}, {"data": {"train": "train.jsonl"}}, "train and held_out_fraction"),
        (
            {},
            {"data": {"train": "a.jsonl", "test": "b.jsonl", "held_out_fraction": 0.1}},
            "held_out_fraction: is for a train file without a test file",
        ),
    ],
)
def test_what_does_not_fit_is_refused(task: dict[str, Any], sections: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Recipe.model_validate(tables(task, **sections))


def test_questions_are_read_with_their_own_columns_or_squads() -> None:
    data = {"train": "train.json", "test": "test.json", "max_length_tokens": 384, "stride_tokens": 0}
    asked = Recipe.model_validate(
        tables(
            {"question_answering": True, "unanswerable": True, "text_pair": "passage"},
            data=data,
            evaluate={"yardsticks": ["no_answer", "overlap"]},
        )
    )
    assert asked.task.head == "QuestionAnswering"
    assert asked.data.stride_tokens == 0


@pytest.mark.parametrize(
    ("task", "sections", "problem"),
    [
        ({"question_answering": True, "word_labels": True}, {}, "exclude each other"),
        ({"question_answering": True, "labels": ["a", "b"]}, {}, "answers are parts of the context"),
        ({"question_answering": True, "metric": "f1"}, {}, "it is answer_f1 or exact_match"),
        ({"question_answering": True, "class_weights": "balanced"}, {}, "class_weights"),
        ({"metric": "exact_match"}, {}, "needs question_answering = true"),
        (
            {"question_answering": True, "unanswerable": True, "metric": "best_answer_f1"},
            {},
            "is reported beside the score",
        ),
        ({"unanswerable": True}, {}, "set question_answering = true"),
        (
            {"question_answering": True},
            {"teacher": {"model": "teacher", "fine_tune": False, "labels": ["a", "b"]}},
            "no names of classes",
        ),
        ({"question_answering": True}, {"data": {"hub": "owner/name"}}, "comes from files"),
        ({"question_answering": True}, {"augment": {}}, "would lose the answers' places"),
        (
            {"question_answering": True},
            {"prediction": {"unlabelled": True}, "general": {"corpus": "corpus.txt"}},
            "such text asks no questions",
        ),
        (
            {"question_answering": True},
            {"evaluate": {"yardsticks": ["majority"]}},
            "majority is no method for this task; no_answer and overlap are",
        ),
        (
            {"question_answering": True},
            {"evaluate": {"yardsticks": ["no_answer"]}},
            "no_answer is wrong where all questions have an answer",
        ),
        ({}, {"evaluate": {"yardsticks": ["overlap"]}}, "overlap is no method for this task"),
        (
            {},
            {"data": {"train": "a.tsv", "test": "b.tsv", "stride_tokens": 8}},
            "stride_tokens: is for contexts",
        ),
        (
            {"question_answering": True},
            {"data": {"train": "a.json", "test": "b.json", "max_length_tokens": 64, "stride_tokens": 64}},
            "windows of 64 tokens .* cannot share 64",
        ),
    ],
)
def test_what_does_not_fit_questions_is_refused(
    task: dict[str, Any], sections: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        Recipe.model_validate(tables(task, **sections))


@pytest.mark.parametrize(
    "sections",
    [
        {},
        {"data": {"hub": "owner/name"}},
        {"teacher": {"model": "teacher", "fine_tune": False}, "augment": {}, "baseline": {}},
        {"prediction": {"unlabelled": True}, "general": {"corpus": "corpus.txt"}},
        {"prediction": {"terms": {"prediction": 1.0, "labels": 0.5, "similarities": 10.0}}},
        {"evaluate": {"yardsticks": ["tfidf_cosine", "tfidf", "majority"]}},
    ],
)
def test_sentence_embeddings_are_read(sections: dict[str, Any]) -> None:
    embedded = Recipe.model_validate(tables({"sentence_embeddings": True, "metric": "pearson"}, **sections))
    assert embedded.task.head is None


@pytest.mark.parametrize(
    ("task", "sections", "problem"),
    [
        ({"regression": True}, {}, "regression and sentence_embeddings exclude each other"),
        ({"labels": ["a", "b"]}, {}, "is a number, and has no names"),
        ({"metric": "accuracy"}, {}, "sentence embeddings are scored by spearman or pearson"),
        ({"class_weights": "balanced"}, {}, "class_weights"),
        ({"name": "stsb"}, {}, "stsb is a GLUE task and brings its own sentence_embeddings"),
        ({}, {"data": {"builtin": "docstrings"}}, "the docstrings have no pairs of texts"),
        (
            {},
            {
                "teacher": {"models": [{"model": "other"}]},
                "student": {"preset": "tinybert-4l-312", "source": "a"},
            },
            r"sentence_embeddings: \[teacher\] models gives predictions alone",
        ),
        ({}, {"teacher": {"model": "a", "fine_tune": False, "labels": ["b"]}}, "no outputs with names"),
        ({}, {"method": "kd"}, r"\[prediction\] terms: soft_targets are those of classes or numbers"),
        ({}, {"evaluate": {"yardsticks": ["overlap"]}}, "overlap is no method for this task"),
    ],
)
def test_what_does_not_fit_sentence_embeddings_is_refused(
    task: dict[str, Any], sections: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        Recipe.model_validate(tables({"sentence_embeddings": True, **task}, **sections))


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"evaluate": {"yardsticks": ["tfidf_cosine"]}}, "tfidf_cosine is for sentence embeddings"),
        ({"prediction": {"terms": {"similarities": 1.0}}}, "similarities are those of sentence embeddings"),
    ],
)
def test_what_is_for_sentence_embeddings_is_refused_elsewhere(sections: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Recipe.model_validate(tables({"regression": True}, **sections))
