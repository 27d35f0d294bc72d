"""Answers by label, made by hand from confusion matrices."""

from __future__ import annotations

from collections.abc import Sequence

from bertling.results import ByLabel, Confusion, LabelFigures, LabelScore

Counts = Sequence[Sequence[int]]


def by_label(
    names: Sequence[str], *, student: Counts, teacher: Counts | None = None, baseline: Counts | None = None
) -> ByLabel:
    """Of counts with a row for each right label and a column for each answer."""
    given = {"student": student, "teacher": teacher, "baseline": baseline}
    roles = {role: counts for role, counts in given.items() if counts is not None}
    return ByLabel(
        unit="example",
        labels=[
            LabelFigures(
                label=name,
                support=sum(student[index]),
                **{role: _score(counts, index) for role, counts in roles.items()},
            )
            for index, name in enumerate(names)
        ],
        confusions=[
            Confusion(
                reference=right,
                answer=answer,
                student=student[row][column],
                teacher=None if teacher is None else teacher[row][column],
            )
            for row, right in enumerate(names)
            for column, answer in enumerate(names)
            if student[row][column] or (teacher and teacher[row][column])
        ],
    )


def _score(counts: Counts, index: int) -> LabelScore:
    right = counts[index][index]
    said, there = sum(row[index] for row in counts), sum(counts[index])
    return LabelScore(
        precision=right / said if said else None,
        recall=right / there if there else None,
        f1=2 * right / (said + there) if said + there else None,
    )


def many(count: int) -> ByLabel:
    """Labels of 10 examples each, of which the student takes one of the first half for the next label."""
    names = [f"intent {index}" for index in range(count)]
    teacher = [[10 * (row == column) for column in range(count)] for row in range(count)]
    student = [list(row) for row in teacher]
    for row in range(count // 2):
        student[row][row], student[row][row + 1] = 9, 1
    return by_label(names, teacher=teacher, student=student)
