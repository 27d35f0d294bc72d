"""Exact match and F1 of answers, as SQuAD's own scripts define them (arXiv:1606.05250, arXiv:1806.03822).

Ours and not a package's: transformers gave its copy up with version 5, and the packages that have one know
SQuAD 1.1 alone or fetch code when they run.

N questions.
"""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bertling.errors import DataError, ShapeError
from bertling.tasks import OF_ANSWERS, OF_UNANSWERABLE, Metric

PREDICTED = np.dtype([("text", object), ("null_odds", np.float64), ("confidence", np.float64)])
"""What a model answers: the best ``text`` of the context; by how much the score of no answer exceeds the
score of that text (``null_odds``), so that above 0 there is no answer; and how likely the model finds what it
answers."""
Predicted = npt.NDArray[np.void]
"""(N,) of `PREDICTED`"""

_ARTICLES = {"a", "an", "the"}
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def predicted(texts: Sequence[str], null_odds: float | npt.NDArray[np.float64]) -> Predicted:
    """Answers whose confidence is not known."""
    answers = np.empty(len(texts), dtype=PREDICTED)
    answers["text"], answers["null_odds"], answers["confidence"] = list(texts), null_odds, np.nan
    return answers


def given_texts(answers: Predicted) -> list[str]:
    """What is answered: the texts, and an empty one where that is no answer."""
    return [
        "" if odds > 0 else text for text, odds in zip(answers["text"], answers["null_odds"], strict=True)
    ]


def answer_words(text: str) -> list[str]:
    """Words as they are compared: in lower case, without punctuation (of ASCII), without a, an and the."""
    return [word for word in text.lower().translate(_WITHOUT_PUNCTUATION).split() if word not in _ARTICLES]


def exact_match(text: str, right: Sequence[str]) -> float:
    """1 for the words of one of the right answers, else 0; no answer is right where there is none."""
    words = answer_words(text)
    return float(any(words == other for other in _right_words(right)))


def answer_f1(text: str, right: Sequence[str]) -> float:
    """The harmonic mean of precision and recall of words, for the right answer for which it is largest.

    Where either has no word, 1 if the other has none, too, and else 0.
    """
    words = answer_words(text)
    return max(_f1(words, other) for other in _right_words(right))


def _right_words(right: Sequence[str]) -> list[list[str]]:
    """Of each right answer that has any; a single empty one where there are none."""
    return [words for words in map(answer_words, right) if words] or [[]]


def _f1(words: list[str], other: list[str]) -> float:
    if not words or not other:
        return float(words == other)
    same = (Counter(words) & Counter(other)).total()
    return 2 * same / (len(words) + len(other))


_SCORES: dict[Metric, Callable[[str, Sequence[str]], float]] = {
    "answer_f1": answer_f1,
    "exact_match": exact_match,
}


def each_answer(
    metric: Metric, answers: npt.NDArray[Any], right: npt.NDArray[Any]
) -> npt.NDArray[np.float64]:
    """(N,), ``answer_f1`` or ``exact_match`` of each question; the score is their mean.

    Args:
        metric: one of the two.
        answers: (N,).
        right: (N,) lists of the texts that are right, empty where there is no answer.

    Raises:
        DataError: not of the type of answers.
        ShapeError: another number of one than of the other, or none.
    """
    _check(answers, right)
    return _each(metric, given_texts(answers), right)


def _each(metric: Metric, texts: Sequence[str], right: npt.NDArray[np.object_]) -> npt.NDArray[np.float64]:
    score = _SCORES[metric]
    return np.asarray([score(text, others) for text, others in zip(texts, right, strict=True)])


def answer_score(metric: Metric, answers: npt.NDArray[Any], right: npt.NDArray[Any]) -> float:
    """The score of answers, a fraction from 0 to 1.

    - answer_f1, exact_match: mean over all questions, no answer being given where ``null_odds`` is above 0.
    - best_answer_f1, best_exact_match: the same, for the threshold of ``null_odds`` for which it is largest.
      It is chosen on the questions that are scored, as SQuAD 2.0's script does: what a tuned threshold could
      reach.
    - has_answer_f1, no_answer_f1: answer_f1 of the questions that have an answer, or have none; 0 if there is
      no such question.

    Arguments and errors as for `each_answer`.
    """
    _check(answers, right)
    if metric in OF_ANSWERS:
        return float(each_answer(metric, answers, right).mean())
    answerable = np.asarray([bool(_right_words(others)[0]) for others in right])
    if metric in ("has_answer_f1", "no_answer_f1"):
        chosen = answerable if metric == "has_answer_f1" else ~answerable
        return float(each_answer("answer_f1", answers, right)[chosen].mean()) if chosen.any() else 0.0
    if metric not in OF_UNANSWERABLE:
        raise DataError(f"{metric} is no score of answers: {', '.join((*OF_ANSWERS, *OF_UNANSWERABLE))} are")
    kind: Metric = "answer_f1" if metric == "best_answer_f1" else "exact_match"
    scores = _each(kind, answers["text"].tolist(), right)
    order = np.argsort(answers["null_odds"], kind="stable")
    odds = answers["null_odds"][order]
    # Of the questions in this order the first k are answered, and no answer is given to the others.
    totals = (~answerable).sum() + np.concatenate([[0.0], np.cumsum((scores - ~answerable)[order])])
    # Equal odds are on one side of every threshold.
    possible = np.concatenate([[True], odds[1:] != odds[:-1], [True]])
    return float(totals[possible].max() / len(right))


def _check(answers: Predicted, right: npt.NDArray[np.object_]) -> None:
    if answers.dtype != PREDICTED:
        raise DataError(f"got predictions of type {answers.dtype}; answers are of {PREDICTED}")
    if answers.ndim != 1 or answers.shape != right.shape or not len(right):
        raise ShapeError(
            f"got answers of shape {answers.shape} and right ones of shape {right.shape}; expected (N,) and "
            "(N,) with N above 0"
        )
