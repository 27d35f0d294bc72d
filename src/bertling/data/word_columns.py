"""Texts whose words have labels: files in CoNLL's columns, and columns of lists."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from bertling.data.examples import Examples
from bertling.data.lines import read_lines
from bertling.data.problems import RowProblems, text_problem
from bertling.data.tables import Columns
from bertling.errors import DataError
from bertling.tasks import Task

WORDS, LABELS = "words", "labels"
"""the columns of labelled words, where the task names no others"""
_CONLL_KINDS = (".txt", ".conll")
_DOCUMENT = "-DOCSTART-"
_EXPECTED_LISTS = "Expected a list of words and a list of as many labels"


def is_conll(path: Path) -> bool:
    """Whether a file's name says that it is in CoNLL's layout: ``.txt`` or ``.conll``, also ``.gz``."""
    return path.name.lower().removesuffix(".gz").endswith(_CONLL_KINDS)


def read_conll(path: Path, task: Task) -> Columns:
    """Read a file with a word a line, blanks or tabs between columns, and an empty line between sentences.

    The columns have no names. The task's are counted from 1, ``"1"`` for instance; ``words`` is the first,
    ``labels`` the last. Lines that mark the beginning of a document (``-DOCSTART-``) are left out.

    Returns:
        A row for each sentence, whose values are lists and whose place is that of its first line.

    Raises:
        DataError: no such file, lines with another number of columns than the first, or a column that there
            is not.
    """
    problems = RowProblems(str(path), "line")
    places: list[int] = []
    sentences: list[list[list[str]]] = []
    width = 0
    inside = False
    for number, line in read_lines(path):
        fields = line.split()
        if not fields or fields[0] == _DOCUMENT:
            inside = False
            continue
        width = width or len(fields)
        if len(fields) != width:
            problems.add(f"{len(fields)} {'column' if len(fields) == 1 else 'columns'}", number)
            continue
        if not inside:
            places.append(number)
            sentences.append([])
            inside = True
        sentences[-1].append(fields)
    problems.raise_if_any(
        f"Expected {width} columns with blanks between them, as in the first line: repair or remove "
        "these lines."
    )
    if width == 1:
        raise DataError(
            f"{path} has a single column: expected a word and its label in each line, and an empty line "
            "between sentences"
        )
    values: dict[str, list[object]] = {
        name: [[fields[index] for fields in sentence] for sentence in sentences]
        for name in (task.text, task.label)
        for index in [_column(path, name, width)]
    }
    return Columns(str(path), "line", places, values)


def _column(path: Path, name: str, width: int) -> int:
    named = {WORDS: 0, LABELS: width - 1} | {str(index + 1): index for index in range(width)}
    if width and name not in named:
        raise DataError(
            f"{path}: no column {name!r}; the columns of such a file have no names. Give 1 to {width}, or "
            f"{WORDS!r} for the first and {LABELS!r} for the last."
        )
    return named.get(name, 0)


def to_word_examples(columns: Columns, task: Task, *, label_names: list[str] | None = None) -> Examples:
    """Check lists of words and labels and make them examples; as `bertling.data.loading.to_examples`."""
    words, raw = _lists(columns, task)
    classes = task.labels or {
        name: name for name in label_names or sorted({label for labels in raw for label in labels})
    }
    names = list(dict.fromkeys(classes.values()))
    class_ids = {name: number for number, name in enumerate(names)}
    index = {label: class_ids[name] for label, name in classes.items()}
    problems = RowProblems(columns.source, columns.unit)
    for place, labels in zip(columns.places, raw, strict=True):
        for label in dict.fromkeys(labels):
            if label not in index:
                problems.add(f"unknown label {label[:60]!r}", place)
    problems.raise_if_any(
        f"Expected as labels of words {', '.join(map(repr, classes))}: correct or remove these "
        f"{columns.unit}s, or name all labels in the task's labels."
    )
    if len(names) < 2:
        raise DataError(
            f"{columns.source}: {task.label!r} holds the single label {names[0]!r}. "
            "Expected at least two: check that this is the right column."
        )
    ids = [[index[label] for label in labels] for labels in raw]
    return Examples([" ".join(row) for row in words], None, ids, names, words)


def _lists(columns: Columns, task: Task) -> tuple[list[list[str]], list[list[str]]]:
    problems = RowProblems(columns.source, columns.unit)
    all_words: list[list[str]] = []
    all_labels: list[list[str]] = []
    for place, words, labels in zip(
        columns.places, columns.values[task.text], columns.values[task.label], strict=True
    ):
        problem = _problem(task, words, labels)
        if problem:
            problems.add(problem, place)
            continue
        all_words.append([str(word) for word in cast("list[str]", words)])
        all_labels.append([str(label).strip() for label in cast("list[object]", labels)])
    problems.raise_if_any(f"{_EXPECTED_LISTS}: repair or remove these {columns.unit}s.")
    return all_words, all_labels


def _problem(task: Task, words: object, labels: object) -> str | None:
    for name, values in ((task.text, words), (task.label, labels)):
        if not isinstance(values, list):
            return f"{name!r} is missing (null)" if values is None else f"{name!r} is no list"
    assert isinstance(words, list)
    assert isinstance(labels, list)
    if not words:
        return f"{task.text!r} is empty"
    if len(words) != len(labels):
        return f"{len(words)} words but {len(labels)} labels"
    if not all(isinstance(word, str) and word.strip() for word in words):
        return f"{task.text!r} holds an empty word, or one that is not text"
    if not all(isinstance(label, str | int) and str(label).strip() for label in labels):
        return f"{task.label!r} holds an empty label, or one that is neither text nor a whole number"
    texts = (value for value in (*words, *labels) if isinstance(value, str))
    if problem := next(filter(None, map(text_problem, texts)), None):
        return f"{task.text!r} or {task.label!r} {problem}"
    return None
