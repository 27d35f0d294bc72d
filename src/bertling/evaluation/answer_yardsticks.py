"""Plain methods that answer questions without learning anything. N questions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bertling.evaluation.answer_scores import answer_words, predicted
from bertling.evaluation.yardsticks import Yardstick

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def no_answer(count: int) -> Yardstick:
    """No answer to any of N questions: right for those that have none, in SQuAD 2.0 half of them."""
    return Yardstick(predicted([""] * count, float("inf")), None, None, lambda text, text_pair: 0)


def most_overlap(questions: Sequence[str], contexts: Sequence[str]) -> Yardstick:
    """The sentence of the context that has most of the question's words, the first of equals.

    Words are compared as answers are. A sentence ends at a full stop, a question mark or an exclamation mark
    with a blank behind it.
    """
    found = [overlapping_sentence(*pair) for pair in zip(questions, contexts, strict=True)]
    return Yardstick(predicted(found, float("-inf")), None, None, lambda text, text_pair: 0)


def overlapping_sentence(question: str, context: str) -> str:
    """The sentence that has most different words of the question, the first of equals."""
    asked = set(answer_words(question))
    sentences = _SENTENCE_END.split(context.strip())
    return max(sentences, key=lambda sentence: len(asked & set(answer_words(sentence))))
