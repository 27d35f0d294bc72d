"""Reads a task's labelled examples from a file, and says exactly which rows cannot be used."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import cast

from bertling.data.answers import answer_columns, is_squad, read_squad, to_answer_examples
from bertling.data.examples import Examples
from bertling.data.problems import RowProblems, text_problem
from bertling.data.several_labels import read_several
from bertling.data.tables import Columns, read_columns
from bertling.data.word_columns import is_conll, read_conll, to_word_examples
from bertling.errors import DataError
from bertling.tasks import Task


def read_examples(path: Path, task: Task, *, label_names: list[str] | None = None) -> Examples:
    """Read a .tsv, .csv, .jsonl (each also .gz) or .parquet file.

    Of labelled words, also .txt or .conll; of questions with answers, also .json in SQuAD's layout.

    Texts are taken as they stand. Raw labels are compared as stripped strings: the number 1 in a .jsonl or
    .parquet file is ``"1"``, and true is ``"True"``.

    Args:
        path: the file.
        task: its columns and labels.
        label_names: the classes in order, where ``task.labels`` is None: a test set takes its training
            set's. Without both, the classes are the labels found in this file, sorted.

    Raises:
        DataError: a file, a column, a text or a label that cannot be used; with line or row numbers.
    """
    if task.question_answering and is_squad(path):
        columns, articles = read_squad(path, task)
        return replace(to_examples(columns, task), groups=articles)
    if task.word_labels and is_conll(path):
        columns = read_conll(path, task)
    elif task.question_answering:
        columns = answer_columns(path, task)
    else:
        columns = read_columns(path, wanted_columns(task))
    return to_examples(columns, task, label_names=label_names)


def wanted_columns(task: Task) -> list[str]:
    """The columns that the task reads, text columns first."""
    return [*text_columns(task), task.label]


def text_columns(task: Task) -> list[str]:
    """The columns of the text, or of both texts."""
    return [task.text] if task.text_pair is None else [task.text, task.text_pair]


def to_examples(columns: Columns, task: Task, *, label_names: list[str] | None = None) -> Examples:
    """Check the columns of a task and make them examples; arguments and errors as for ``read_examples``."""
    if not columns.places:
        raise DataError(f"{columns.source} holds no examples: expected {columns.unit}s with text and label.")
    if task.word_labels:
        return to_word_examples(columns, task, label_names=label_names)
    texts, text_pairs = to_texts(columns, task)
    if task.question_answering:
        return to_answer_examples(columns, task)
    if task.regression:
        return Examples(texts, text_pairs, _numbers(columns, task.label), None)
    if task.multi_label:
        several, names = read_several(columns, task, label_names=label_names)
        return Examples(texts, text_pairs, several, names)
    raw = _raw_labels(columns, task.label)
    classes = task.labels or {name: name for name in label_names or sorted(set(raw))}
    names = list(dict.fromkeys(classes.values()))
    if label_names is not None and names != label_names:
        raise DataError(
            f"{columns.source}: the label names {label_names} were asked for, "
            f"but the task {task.name} has {names}. Leave one of the two out."
        )
    if len(names) < 2:
        raise DataError(
            f"{columns.source}: {task.label!r} holds the single label {names[0]!r}. "
            "Expected at least two: check that this is the right column, or add examples of another class."
        )
    return Examples(texts, text_pairs, _class_ids(columns, task.label, raw, classes, names), names)


def to_texts(columns: Columns, task: Task) -> tuple[list[str], list[str] | None]:
    """The texts and, for pairs, the second texts; raises a DataError where some are none."""
    problems = RowProblems(columns.source, columns.unit)
    for name in text_columns(task):
        for place, value in zip(columns.places, columns.values[name], strict=True):
            if problem := _problem_of(value):
                problems.add(f"{name!r} {problem}", place)
    problems.raise_if_any(f"Every example needs text: fill in or remove these {columns.unit}s.")
    texts, *pairs = (cast("list[str]", columns.values[name]) for name in text_columns(task))
    return texts, pairs[0] if pairs else None


def _problem_of(value: object) -> str | None:
    if value is None:
        return "is missing (null)"
    if not isinstance(value, str):
        return f"is not text ({type(value).__name__})"
    return text_problem(value)


def _raw_labels(columns: Columns, name: str) -> list[str]:
    problems = RowProblems(columns.source, columns.unit)
    raw: list[str] = []
    for place, value in zip(columns.places, columns.values[name], strict=True):
        if isinstance(value, str | int | float):
            raw.append(str(value).strip())
            if problem := text_problem(raw[-1]):
                problems.add(f"label {name!r} {problem}", place)
        elif value is None:
            problems.add(f"label {name!r} is missing (null)", place)
        else:
            problems.add(f"label {name!r} is a {type(value).__name__}, not a string or a number", place)
    problems.raise_if_any(f"Every example needs a label: fill in or remove these {columns.unit}s.")
    return raw


def _class_ids(
    columns: Columns, name: str, raw: list[str], classes: dict[str, str], names: list[str]
) -> list[int]:
    problems = RowProblems(columns.source, columns.unit)
    class_ids = {class_name: number for number, class_name in enumerate(names)}
    index = {label: class_ids[class_name] for label, class_name in classes.items()}
    for place, label in zip(columns.places, raw, strict=True):
        if label not in index:
            problems.add(f"unknown label {label[:60]!r}", place)
    expected = ", ".join(repr(label) for label in classes)
    problems.raise_if_any(
        f"Expected in the column {name!r} one of {expected}: correct or remove these {columns.unit}s."
    )
    return [index[label] for label in raw]


def _numbers(columns: Columns, name: str) -> list[float]:
    problems = RowProblems(columns.source, columns.unit)
    numbers: list[float] = []
    for place, value in zip(columns.places, columns.values[name], strict=True):
        number = to_number(value)
        if number is None:
            shown = repr(value[:60]) if isinstance(value, str) else f"of the type {type(value).__name__}"
            problems.add(f"label {shown} is not a number", place)
        elif not math.isfinite(number):
            problems.add(f"label {number} is not finite", place)
        else:
            numbers.append(number)
    problems.raise_if_any(
        f"Expected a finite number in the column {name!r}: correct or remove these {columns.unit}s; "
        "for classes, the task is not a regression."
    )
    return numbers


def to_number(value: object) -> float | None:
    """A cell as a number, None where it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
