"""Where teacher and student disagree, in words."""

from __future__ import annotations

from dataclasses import dataclass

from bertling.report import numbers
from bertling.report.texts import cut
from bertling.results import Disagreement, Results


@dataclass(frozen=True, slots=True)
class Guess:
    """A model's answer; ``right`` is None where answers are numbers, and so is ``confidence``."""

    answer: str
    confidence: str | None
    right: bool | None


@dataclass(frozen=True, slots=True)
class DisagreementRow:
    """A text, the beginning of it if it is long, and what the models make of it."""

    text: str
    text_pair: str | None
    label: str
    teacher: Guess
    student: Guess


def view_disagreement(row: Disagreement, *, regression: bool) -> DisagreementRow:
    """A disagreement, ready to print."""

    def guess(answer: str, confidence: float) -> Guess:
        if regression:
            return Guess(answer, None, None)
        return Guess(answer, numbers.percent(confidence), answer == row.label)

    return DisagreementRow(
        text=cut(row.text),
        text_pair=None if row.text_pair is None else cut(row.text_pair),
        label=row.label,
        teacher=guess(row.teacher, row.teacher_confidence),
        student=guess(row.student, row.student_confidence),
    )


def disagreement_summary(results: Results, *, regression: bool) -> str | None:
    """How often they disagree, in words; None where nothing is known of what the teacher says."""
    if results.teacher is None:
        return None
    shown, total = len(results.disagreements), results.disagreement_count
    if embeds(results) and shown:
        return f"The {numbers.count(shown, 'pair')} whose cosines differ most; labels have the data's scale."
    if regression:
        return (
            f"The {numbers.count(shown, 'text')} on which they differ most."
            if shown
            else "No texts are shown."
        )
    if not total:
        same = (
            "give the same answer to every question"
            if asks(results)
            else "choose the same label for every text"
        )
        return f"They {same}."
    texts = results.data.evaluation_examples
    share = f" ({numbers.percent(total / texts)})" if texts else ""
    listed = "all of them" if shown == total else f"{shown:,}"
    below = f" Below, {listed}, the most confident first." if shown else ""
    if asks(results):
        return f"They answer {total:,} of {numbers.count(texts, 'question')} differently{share}.{below}"
    return f"They choose different labels for {total:,} of {numbers.count(texts, 'text')}{share}.{below}"


def embeds(results: Results) -> bool:
    """Whether the task is to embed texts."""
    return results.data.kind == "sentence_embeddings"


def asks(results: Results) -> bool:
    """Whether the task is to answer questions."""
    return results.data.kind == "question_answering"
