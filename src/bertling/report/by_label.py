"""Answers by label as the page shows them: a table of all labels, and what is taken for what."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bertling.report import numbers
from bertling.report.texts import cut
from bertling.results import ByLabel, Confusion, LabelFigures

_OPEN = 20
"""labels that stand in the open"""
_FOLDED = 1000
"""that are folded away below; further ones are not on the page"""
_DRAWN = 16
"""most labels of a matrix"""
_LISTED = 20
"""confusions, where there are more labels"""
_FLAT = 4
"""most columns of a matrix whose names lie flat"""
_DARKEST = 45
"""% of a cell's shade: numbers stay readable on it, light and dark"""
_NAME_LIMIT = 120
"""characters shown of a label"""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """A label, and a cell for each column."""

    label: str
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Cell:
    """How often an answer is given; ``shade`` is CSS, ``described`` says it in words."""

    count: str
    shade: str
    kind: Literal["right", "wrong", "none"]
    described: str


@dataclass(frozen=True, slots=True)
class Matrix:
    """What a model answers, a row for each label."""

    key: str
    name: str
    rows: list[tuple[str, list[Cell]]]


@dataclass(frozen=True, slots=True)
class Matrices:
    """Confusion matrices; ``answers`` are the names of their columns."""

    answers: list[str]
    drawn: list[Matrix]
    caption: str
    turned: bool


@dataclass(frozen=True, slots=True)
class ByLabelView:
    """The section: a table, part of it folded away, and matrices or, of many labels, a second table."""

    heading: str
    lead: str
    noun: str
    columns: list[str]
    open: list[LabelRow]
    folded: list[LabelRow]
    folded_name: str
    matrices: Matrices | None
    confused_columns: list[str]
    confused: list[LabelRow]
    confused_note: str


def view_by_label(found: ByLabel) -> ByLabelView | None:
    """Word the figures; None where there are no labels.

    Labels stand in the order of what the student loses: of how many more of their examples its teacher finds.
    Without a teacher the frequent ones come first.
    """
    if not found.labels:
        return None
    taught = any(row.teacher for row in found.labels)
    with_baseline = any(row.baseline for row in found.labels)
    # Python sorts stably: labels that are alike stay in the order of their ids.
    ordered = sorted(found.labels, key=lambda row: (-(_lost(row) or 0), -row.support))
    columns = [
        found.unit.capitalize() + "s",
        *["Lost", "Teacher F1"] * taught,
        "Student F1",
        *["Baseline F1"] * with_baseline,
        "Student precision",
        "Student recall",
    ]
    shown = ordered[: _OPEN + _FOLDED]
    rows = [
        LabelRow(_name(row.label), _cells(row, taught=taught, with_baseline=with_baseline)) for row in shown
    ]
    noun = "type" if found.unit == "chunk" else "label"
    names = list(dict.fromkeys([row.label for row in found.labels] + _named(found.confusions)))
    few = len(names) <= _DRAWN
    confused = [] if few else _most_confused(found.confusions)
    return ByLabelView(
        heading="By type of chunk" if found.unit == "chunk" else "By label",
        lead=_lead(found, taught=taught, noun=noun, left_out=len(ordered) - len(shown)),
        noun=noun.capitalize(),
        columns=columns,
        open=rows[:_OPEN],
        folded=rows[_OPEN:],
        folded_name=numbers.count(len(rows) - _OPEN, f"more {noun}"),
        matrices=_matrices(found, names) if few and found.confusions else None,
        confused_columns=["Answered", *["Teacher"] * taught, "Student"],
        confused=[_confused_row(row, taught=taught) for row in confused],
        confused_note=f"The {numbers.count(len(confused), 'pair')} that the student confuses most often: "
        "what is right, what is answered for it, and how many times.",
    )


def _cells(row: LabelFigures, *, taught: bool, with_baseline: bool) -> list[str]:
    lost = _lost(row)
    lost_text = numbers.NOTHING if lost is None else f"{lost:,}".replace("-", numbers.MINUS)
    return [
        f"{row.support:,}",
        *[lost_text, numbers.score(row.teacher.f1 if row.teacher else None)] * taught,
        numbers.score(row.student.f1),
        *[numbers.score(row.baseline.f1 if row.baseline else None)] * with_baseline,
        numbers.score(row.student.precision),
        numbers.score(row.student.recall),
    ]


def _lost(row: LabelFigures) -> int | None:
    """How many fewer of a label's examples the student finds than its teacher."""
    if row.teacher is None or row.teacher.recall is None or row.student.recall is None:
        return None
    return round(row.support * row.teacher.recall) - round(row.support * row.student.recall)


def _lead(found: ByLabel, *, taught: bool, noun: str, left_out: int) -> str:
    lost = [_lost(row) or 0 for row in found.labels]
    fewer, more = sum(value > 0 for value in lost), sum(value < 0 for value in lost)
    order = "The most frequent first."
    if taught:
        order = (
            f"Of {fewer:,} of {numbers.count(len(lost), noun)} the student finds fewer {found.unit}s than "
            f"its teacher, of {more:,} more. Lost: how many fewer; the largest loss comes first."
        )
    rest = f" {numbers.count(left_out, f'further {noun}')} stand in results.json." if left_out > 0 else ""
    return f"{order} F1, precision and recall are times 100.{rest}"


def _name(label: str | None) -> str:
    return "no answer" if label is None else cut(label, _NAME_LIMIT)


def _named(confusions: Sequence[Confusion]) -> list[str]:
    return [name for row in confusions for name in (row.reference, row.answer) if name is not None]


def _confused_row(row: Confusion, *, taught: bool) -> LabelRow:
    times = [*[f"{row.teacher or 0:,}"] * taught, f"{row.student:,}"]
    return LabelRow(_name(row.reference), [_name(row.answer), *times])


def _most_confused(confusions: Sequence[Confusion]) -> list[Confusion]:
    wrong = [row for row in confusions if row.answer != row.reference and row.student]
    return sorted(wrong, key=lambda row: (-row.student, -(row.teacher or 0)))[:_LISTED]


def _matrices(found: ByLabel, names: Sequence[str]) -> Matrices:
    answers: list[str | None] = [*names]
    if any(row.answer is None for row in found.confusions):
        answers.append(None)
    drawn = []
    if any(row.teacher is not None for row in found.confusions):
        teacher = {(row.reference, row.answer): row.teacher or 0 for row in found.confusions}
        drawn.append(_matrix("teacher", "Teacher", teacher, names, answers))
    student = {(row.reference, row.answer): row.student for row in found.confusions}
    drawn.append(_matrix("student", "Student", student, names, answers))
    words = (
        "Words, by the type of the chunk that they stand in; O is outside. " if found.unit == "chunk" else ""
    )
    return Matrices(
        answers=[_name(name) for name in answers],
        drawn=drawn,
        caption=f"{words}Rows: what is right; columns: what is answered. The stronger the colour, the larger "
        "the share of the row.",
        turned=len(answers) > _FLAT,
    )


def _matrix(
    key: str,
    name: str,
    counts: dict[tuple[str, str | None], int],
    names: Sequence[str],
    answers: Sequence[str | None],
) -> Matrix:
    rows = []
    for right in names:
        row = [counts.get((right, answer), 0) for answer in answers]
        cells = [_cell(right, answer, count, sum(row)) for answer, count in zip(answers, row, strict=True)]
        rows.append((_name(right), cells))
    return Matrix(key, name, rows)


def _cell(right: str, answer: str | None, count: int, total: int) -> Cell:
    share = count / total if total else 0.0
    found = f"{count:,} of {total:,} ({numbers.percent(share)})"
    kind: Literal["right", "wrong"] = "right" if answer == right else "wrong"
    return Cell(
        count=f"{count:,}",
        # The root, since a few percent of errors are what one looks for.
        shade=f"{_DARKEST * math.sqrt(share):.0f}%",
        kind=kind if count else "none",
        described=f"{_name(right)}, answered {_name(answer)}: {found}",
    )
