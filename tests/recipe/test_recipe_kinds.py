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
