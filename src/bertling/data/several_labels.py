"""Texts with any number of labels: a list of them, or one string with a separator between them."""

from __future__ import annotations

from bertling.data.problems import RowProblems, text_problem
from bertling.data.tables import Columns
from bertling.errors import DataError
from bertling.tasks import Task


def read_several(
    columns: Columns, task: Task, *, label_names: list[str] | None
) -> tuple[list[list[int]], list[str]]:
    """The class ids that each text has, sorted, and the classes' names.

    A label is a word or a whole number. In a string they stand between separators; an empty one, an empty
    list and null are no label at all.

    Raises:
        DataError: values that are no labels, labels that are not the task's, or fewer than two in all.
    """
    raw = _raw(columns, task)
    classes = task.labels or {
        name: name for name in label_names or sorted({label for labels in raw for label in labels})
    }
    names = list(dict.fromkeys(classes.values()))
    if len(names) < 2:
        raise DataError(
            f"{columns.source}: {task.label!r} holds {len(names)} different labels, with {task.separator!r} "
            "between those of a text. Expected at least two: check the column and the separator."
        )
    class_ids = {name: number for number, name in enumerate(names)}
    index = {label: class_ids[name] for label, name in classes.items()}
    problems = RowProblems(columns.source, columns.unit)
    for place, labels in zip(columns.places, raw, strict=True):
        for label in labels:
            if label not in index:
                problems.add(f"unknown label {label[:60]!r}", place)
    problems.raise_if_any(
        f"Expected in the column {task.label!r} some of {', '.join(map(repr, classes))}: correct or remove "
        f"these {columns.unit}s, or name all labels in the task's labels."
    )
    return [sorted({index[label] for label in labels}) for labels in raw], names


def _raw(columns: Columns, task: Task) -> list[list[str]]:
    problems = RowProblems(columns.source, columns.unit)
    rows: list[list[str]] = []
    for place, value in zip(columns.places, columns.values[task.label], strict=True):
        listed = value.split(task.separator) if isinstance(value, str) else value or []
        if isinstance(value, int):
            listed = [value]
        if not isinstance(listed, list) or not all(isinstance(label, str | int) for label in listed):
            problems.add(f"{task.label!r} is neither a list of labels nor a string of them", place)
            continue
        labels = [label for label in (str(label).strip() for label in listed) if label]
        for problem in filter(None, map(text_problem, labels)):
            problems.add(f"a label {problem}", place)
        rows.append(labels)
    problems.raise_if_any(f"Expected several labels, or none: correct or remove these {columns.unit}s.")
    return rows
