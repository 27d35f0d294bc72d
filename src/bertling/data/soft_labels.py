"""Examples with soft labels: columns with what a black box says, such as a large language model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from bertling.data.examples import Examples
from bertling.data.loading import text_columns, to_examples, to_number, to_texts
from bertling.data.problems import RowProblems
from bertling.data.tables import Columns, read_columns
from bertling.errors import DataError
from bertling.tasks import Task

SUM_TOLERANCE = 0.02
"""how far from 1 the probabilities of a text may add up: they were rounded; they are divided by their sum"""
_ROUNDING = 1e-6


def read_soft_train(path: Path, task: Task, soft_labels: Mapping[str, str]) -> Examples:
    """Read a training file with soft labels, as `read_examples` reads one without; labels may be missing.

    Args:
        path: the file.
        task: its columns and labels; not of words.
        soft_labels: label name -> column of its probabilities; for a regression the label column -> column of
            the numbers that take its place. Without ``task.labels`` the classes are these names, sorted.

    Raises:
        DataError: as `read_examples` does; soft labels of other classes than the task's, values that are no
            probabilities, or that do not add up to 1 where a text has one label.
    """
    names = _label_names(str(path), task, soft_labels)
    wanted = [*text_columns(task), *soft_labels.values()]
    columns = read_columns(path, wanted, optional=[task.label])
    if not columns.places:
        raise DataError(f"{path} holds no examples: expected {columns.unit}s with text and soft labels.")
    soft = _soft_labels(columns, task, soft_labels, names)
    if task.label in columns.values:
        return replace(to_examples(columns, task, label_names=names), soft_labels=soft)
    texts, pairs = to_texts(columns, task)
    return Examples(texts, pairs, None, names, soft_labels=soft)


def read_soft_test(path: Path, task: Task, soft_labels: Mapping[str, str]) -> Examples:
    """Read a file that is reported: with labels, and with soft labels where it has their columns.

    Arguments and errors are those of `read_soft_train`; some of the soft labels' columns alone are an error.
    """
    names = _label_names(str(path), task, soft_labels)
    columns = read_columns(path, [*text_columns(task), task.label], optional=list(soft_labels.values()))
    examples = to_examples(columns, task, label_names=names)
    missing = [column for column in soft_labels.values() if column not in columns.values]
    if len(missing) == len(soft_labels):
        return examples
    if missing:
        raise DataError(
            f"{path} has columns of some soft labels, and none called {', '.join(map(repr, missing))}: add "
            "them, or leave out all of them"
        )
    return replace(examples, soft_labels=_soft_labels(columns, task, soft_labels, names))


def _label_names(source: str, task: Task, soft_labels: Mapping[str, str]) -> list[str] | None:
    """The task's classes, which must be those of the soft labels; None for a regression."""
    if task.regression:
        expected = [task.label]
    elif task.labels is None:
        return sorted(soft_labels)
    else:
        expected = list(dict.fromkeys(task.labels.values()))
    if set(soft_labels) != set(expected):
        raise DataError(
            f"{source}: soft labels of {', '.join(map(repr, soft_labels))}, and the task {task.name} has "
            f"{', '.join(map(repr, expected))}. Name a column for each of these, and no others"
        )
    return None if task.regression else expected


def _soft_labels(
    columns: Columns, task: Task, soft_labels: Mapping[str, str], names: list[str] | None
) -> list[list[float]]:
    """(N, C) in the order of the classes, or (N, 1) numbers."""
    chosen = list(soft_labels.values()) if names is None else [soft_labels[name] for name in names]
    one_label = not (task.regression or task.multi_label)
    problems = RowProblems(columns.source, columns.unit)
    rows: list[list[float]] = []
    for index, place in enumerate(columns.places):
        cells = [columns.values[name][index] for name in chosen]
        row = [to_number(cell) for cell in cells]
        wrong = [
            f"soft label {name!r} {problem}"
            for name, cell, number in zip(chosen, cells, row, strict=True)
            if (problem := _problem(cell, number, any_number=task.regression))
        ]
        for problem in wrong:
            problems.add(problem, place)
        numbers = [number for number in row if number is not None]
        total = sum(numbers)
        if wrong:
            continue
        if one_label and abs(total - 1) > SUM_TOLERANCE:
            problems.add("soft labels do not add up to 1", place)
            continue
        if not task.regression:
            numbers = [min(max(number, 0.0), 1.0) / (total if one_label else 1.0) for number in numbers]
        rows.append(numbers)
    problems.raise_if_any(_expected(columns, task, chosen))
    return rows


def _problem(cell: object, number: float | None, *, any_number: bool) -> str | None:
    if cell is None or cell == "":
        return "is missing"
    if number is None:
        return "is not a number"
    if not math.isfinite(number):
        return "is not finite"
    if not any_number and not -_ROUNDING <= number <= 1 + _ROUNDING:
        return "is below 0 or above 1"
    return None


def _expected(columns: Columns, task: Task, chosen: list[str]) -> str:
    listed = ", ".join(map(repr, chosen))
    if task.regression:
        return f"Expected a finite number in {listed}: correct or remove these {columns.unit}s."
    together = "" if task.multi_label else f" that add up to 1 for each text, give or take {SUM_TOLERANCE:g},"
    return (
        f"Expected probabilities from 0 to 1,{together} in {listed}: correct or remove these "
        f"{columns.unit}s. Percentages are to be divided by 100, scores to be made probabilities (softmax) "
        "first."
    )
