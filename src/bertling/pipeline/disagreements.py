"""Texts on which teacher and student do not agree, for the report.

N examples, W words of the longest, C classes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bertling.data.examples import Examples
from bertling.evaluation.answer_scores import Predicted, answer_words, given_texts
from bertling.evaluation.scores import predictions, probabilities
from bertling.results import Disagreement

Logits = npt.NDArray[np.float32]
Sureness = npt.NDArray[np.floating]


def disagreements(
    examples: Examples, teacher: Logits, student: Logits, *, most: int
) -> tuple[list[Disagreement], int]:
    """Texts on which they differ, most confident (for regression: most different) first, and their number.

    Of labelled words the one is shown on which both are most confident, of several labels all of each.

    Args:
        examples: N, labelled.
        teacher: its logits, (N, C), or (N, W, C) of words.
        student: its logits, in the same shape.
        most: that are listed.
    """
    if examples.regression:
        found = _of_numbers(examples, teacher, student)
    elif examples.word_labels:
        found = _of_words(examples, teacher, student)
    elif examples.multi_label:
        found = _of_several(examples, teacher, student)
    else:
        found = _of_classes(examples, teacher, student)
    return _listed(examples, found, most), found[3]


def _listed(examples: Examples, found: Found, most: int) -> list[Disagreement]:
    order, names, sure, _ = found
    return [
        Disagreement(
            text=examples.texts[index],
            text_pair=examples.text_pairs[index] if examples.text_pairs else None,
            label=names[0][index],
            teacher=names[1][index],
            student=names[2][index],
            teacher_confidence=float(sure[0, index]),
            student_confidence=float(sure[1, index]),
        )
        for index in order[:most].tolist()
    ]


def other_answers(
    examples: Examples, teacher: Predicted, student: Predicted, *, most: int
) -> tuple[list[Disagreement], int]:
    """Questions that they answer with other words, as for `disagreements`.

    Args:
        examples: N questions.
        teacher, student: (N,).
        most: that are listed.
    """
    texts = [given_texts(answers) for answers in (teacher, student)]
    different = np.asarray(
        [answer_words(one) != answer_words(other) for one, other in zip(*texts, strict=True)]
    )
    sure = np.stack([teacher["confidence"], student["confidence"]])
    right = [answers[0] if answers else "" for answers in examples.label_array()]
    order, names = _ordered(
        different, sure, [[text or "no answer" for text in found] for found in (right, *texts)]
    )
    return _listed(examples, (order, names, sure, int(different.sum())), most), int(different.sum())


Found = tuple[npt.NDArray[np.int64], list[list[str]], Sureness, int]
"""rows in order; for each row what is right, the teacher's answer and the student's; (2, N) how sure they
are; how many rows differ"""


def _of_numbers(examples: Examples, teacher: Logits, student: Logits) -> Found:
    order = np.argsort(-np.abs(teacher[:, 0] - student[:, 0]), kind="stable")
    labels = examples.label_array()
    names = [[f"{value:.2f}" for value in np.ravel(values)] for values in (labels, teacher, student)]
    return order, names, np.ones((2, len(examples))), len(examples)


def _of_classes(examples: Examples, teacher: Logits, student: Logits) -> Found:
    assert examples.label_names is not None
    chosen = [teacher.argmax(1), student.argmax(1)]
    sure = np.stack([probabilities(teacher).max(1), probabilities(student).max(1)])
    labels = examples.label_array()
    names = [[examples.label_names[int(index)] for index in values] for values in (labels, *chosen)]
    return *_ordered(chosen[0] != chosen[1], sure, names), sure, int((chosen[0] != chosen[1]).sum())


def _of_words(examples: Examples, teacher: Logits, student: Logits) -> Found:
    assert examples.label_names is not None
    assert examples.words is not None
    labels = examples.label_array()
    chosen = [predictions(logits, regression=False) for logits in (teacher, student)]
    sure = np.stack([np.nan_to_num(probabilities(logits).max(-1)) for logits in (teacher, student)])
    different = (chosen[0] != chosen[1]) & (labels >= 0)
    at = np.where(different, sure.min(0), -1.0).argmax(1)
    rows = np.arange(len(examples))
    names = [
        [
            f"{examples.words[row][word]}: {examples.label_names[int(values[row, word])]}"
            for row, word in zip(rows, at, strict=True)
        ]
        for values in (labels, *chosen)
    ]
    sure = sure[:, rows, at]
    return *_ordered(different.any(1), sure, names), sure, int(different.any(1).sum())


def _of_several(examples: Examples, teacher: Logits, student: Logits) -> Found:
    assert examples.label_names is not None
    chosen = [predictions(logits, regression=False, multi_label=True) for logits in (teacher, student)]
    likely = [probabilities(logits, multi_label=True) for logits in (teacher, student)]
    each = np.stack([np.maximum(values, 1 - values) for values in likely])
    different = chosen[0] != chosen[1]
    at = np.where(different, each.min(0), -1.0).argmax(1)
    sure = each[:, np.arange(len(examples)), at]
    label_names = examples.label_names
    names = [
        [", ".join(label_names[int(label)] for label in np.flatnonzero(row)) or "none" for row in values]
        for values in (examples.label_array(), *chosen)
    ]
    return *_ordered(different.any(1), sure, names), sure, int(different.any(1).sum())


def _ordered(
    different: npt.NDArray[np.bool_], sure: Sureness, names: list[list[str]]
) -> tuple[npt.NDArray[np.int64], list[list[str]]]:
    rows = np.flatnonzero(different)
    return rows[np.argsort(-sure.min(0)[rows], kind="stable")], names
