"""Figures by label against values computed by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bertling.data.examples import Examples
from bertling.evaluation.by_label import answers_by_label
from bertling.results import ByLabel

NAMES = ["a", "b", "c", "d"]


def found(examples: Examples, *, chunks: bool = False, **answers: Any) -> ByLabel:
    arrays = {role: np.asarray(given) for role, given in answers.items()}
    result = answers_by_label(examples, arrays, chunks=chunks)
    assert result is not None
    return result


def figures(result: ByLabel, role: str = "student") -> dict[str, tuple[int, Any, Any, Any]]:
    """Label -> support, precision, recall and F1."""
    return {
        row.label: (row.support, score.precision, score.recall, score.f1)
        for row in result.labels
        if (score := getattr(row, role))
    }


def confusions(result: ByLabel) -> list[tuple[str, str | None, int | None, int]]:
    return [(row.reference, row.answer, row.teacher, row.student) for row in result.confusions]


def test_single_labels() -> None:
    examples = Examples(list("uvwxyz"), None, [0, 0, 0, 1, 1, 2], NAMES)
    result = found(
        examples, student=[0, 0, 1, 1, 0, 2], teacher=[0, 0, 0, 1, 1, 1], baseline=[0, 0, 0, 0, 0, 0]
    )
    assert result.unit == "example"
    third = pytest.approx(2 / 3)
    assert figures(result) == {
        "a": (3, third, third, third),
        "b": (2, 0.5, 0.5, 0.5),
        "c": (1, 1.0, 1.0, 1.0),
        "d": (0, None, None, None),
    }
    assert figures(result, "teacher")["c"] == (1, None, 0.0, 0.0)
    assert figures(result, "baseline")["a"] == (3, 0.5, 1.0, third)
    assert confusions(result) == [
        ("a", "a", 3, 2),
        ("a", "b", 0, 1),
        ("b", "a", 0, 1),
        ("b", "b", 2, 1),
        ("c", "b", 1, 0),
        ("c", "c", 0, 1),
    ]


def test_a_student_alone_has_confusions_of_its_own() -> None:
    result = found(Examples(["u", "v"], None, [0, 1], NAMES), student=[0, 0])
    assert result.labels[0].teacher is None
    assert confusions(result) == [("a", "a", None, 1), ("b", "a", None, 1)]


def test_words_without_an_answer_are_missed_and_what_stands_behind_the_last_is_not_read() -> None:
    examples = Examples(["u v", "w"], None, [[0, 1], [1]], ["x", "y"], words=[["u", "v"], ["w"]])
    result = found(examples, student=[[0, -1], [1, 0]])
    assert result.unit == "word"
    assert figures(result) == {"x": (1, 1.0, 1.0, 1.0), "y": (2, 1.0, 0.5, pytest.approx(2 / 3))}
    assert confusions(result) == [("x", "x", None, 1), ("y", None, None, 1), ("y", "y", None, 1)]


def test_several_labels() -> None:
    examples = Examples(list("uvw"), None, [[0], [0, 1], []], ["x", "y", "z"])
    result = found(examples, student=[[1, 0, 0], [1, 0, 0], [0, 1, 0]])
    assert figures(result) == {
        "x": (2, 1.0, 1.0, 1.0),
        "y": (1, 0.0, 0.0, 0.0),
        "z": (0, None, None, None),
    }
    assert (result.unit, result.confusions) == ("example", [])


def test_one_label_that_a_text_has_or_not() -> None:
    result = found(Examples(list("uvw"), None, [[0], [], [0]], ["x"]), student=[[1], [1], [0]])
    assert figures(result) == {"x": (2, 0.5, 0.5, 0.5)}


def test_chunks_count_as_wholes_and_their_words_are_confused_by_type() -> None:
    tags = ["B-NP", "I-NP", "B-VP", "O", "B-PP"]
    examples = Examples(["u v w x"], None, [[0, 1, 3, 2]], tags, words=[list("uvwx")])
    result = found(examples, chunks=True, student=[[0, 3, -1, 2]], teacher=[[0, 1, 3, 0]])
    assert result.unit == "chunk"
    assert figures(result) == {
        "NP": (1, 0.0, 0.0, 0.0),  # too short
        "VP": (1, 1.0, 1.0, 1.0),
        "PP": (0, None, None, None),
    }
    assert figures(result, "teacher")["NP"] == (1, 0.5, 1.0, pytest.approx(2 / 3))
    assert figures(result, "teacher")["VP"] == (1, None, 0.0, 0.0)
    assert confusions(result) == [
        ("NP", "NP", 2, 1),
        ("NP", "O", 0, 1),
        ("VP", "NP", 1, 0),
        ("VP", "VP", 0, 1),
        ("O", None, 0, 1),
        ("O", "O", 1, 0),
    ]


def test_what_has_no_labels_has_no_figures() -> None:
    student = {"student": np.asarray([0.5, 1.5])}
    assert answers_by_label(Examples(["u", "v"], None, [0.5, 1.0], None), student) is None
