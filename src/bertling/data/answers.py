"""Questions whose answers are parts of a context: SQuAD's json, and columns of a file of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

from bertling.data.examples import Answer, Examples
from bertling.data.lines import read_lines
from bertling.data.problems import RowProblems
from bertling.data.tables import Columns, read_columns
from bertling.errors import DataError
from bertling.tasks import Task

QUESTION, CONTEXT, ANSWERS, START = "question", "context", "answers", "answer_start"
"""SQuAD's own names; the first three are the columns where the task names no others"""
_LAYOUT = (
    'Expected {"data": [{"title": ..., "paragraphs": [{"context": ..., "qas": [{"question": ..., "answers": '
    '[{"text": ..., "answer_start": ...}]}]}]}]}, as in SQuAD\'s files; a file with a question in each line '
    "is .jsonl"
)
_SHOWN = 40
_FRAGMENT_BYTES = 1 << 20  # the whole file may be one line
_DIGITS = 18


def is_squad(path: Path) -> bool:
    """Whether a file's name says that it is in SQuAD's layout: ``.json``, also ``.json.gz``."""
    return path.name.lower().removesuffix(".gz").endswith(".json")


def read_squad(path: Path, task: Task) -> tuple[Columns, list[str]]:
    """Read a file of SQuAD 1.1 or 2.0: a row for each question, whose place is its number in the file.

    Returns:
        The columns, and for each question the article that its context is from.

    Raises:
        DataError: no such file, no json, another layout, or answers to a question that ``is_impossible``.
    """
    text = "".join(part for _, part in read_lines(path, fragment_bytes=_FRAGMENT_BYTES))
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not valid json ({error}). {_LAYOUT}.") from error
    values: dict[str, list[object]] = {
        name: [] for name in (task.text, task.text_pair or CONTEXT, task.label)
    }
    questions, contexts, answers = values.values()
    articles: list[str] = []
    problems = RowProblems(str(path), "question")
    for number, article in enumerate(_listed(path, document, "data"), start=1):
        for paragraph in _listed(path, article, "paragraphs"):
            for asked in _listed(path, paragraph, "qas"):
                questions.append(asked.get("question"))
                contexts.append(paragraph.get("context"))
                answers.append(asked.get("answers"))
                title = article.get("title", "")
                articles.append(f"{number} {title if isinstance(title, str) else ''}")
                impossible = asked.get("is_impossible")
                if impossible is not None and bool(impossible) == bool(asked.get("answers")):
                    shown = json.dumps(impossible) if isinstance(impossible, bool) else "no truth value"
                    problems.add(f"is_impossible is {shown}, and answers say otherwise", len(articles))
    problems.raise_if_any("Correct or remove these questions.")
    return Columns(str(path), "question", list(range(1, len(articles) + 1)), values), articles


def _listed(path: Path, holder: Any, key: str) -> list[dict[str, Any]]:
    values = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise DataError(f"{path} is not in SQuAD's layout: {key!r} is no list of objects. {_LAYOUT}.")
    return values


def answer_columns(path: Path, task: Task) -> Columns:
    """Read the columns of questions, contexts and answers from any other file that `read_columns` reads.

    In .tsv and .csv the column of answers holds a text, and another one, ``answer_start``, its place.
    """
    wanted = [task.text, task.text_pair or CONTEXT, task.label]
    if not path.name.lower().removesuffix(".gz").endswith((".tsv", ".csv")):
        return read_columns(path, wanted)
    columns = read_columns(path, [*wanted, START])
    texts, starts = columns.values[task.label], columns.values.pop(START)
    columns.values[task.label] = [
        [{"text": text, START: _number(start)}] if str(text) or str(start).strip() else []
        for text, start in zip(texts, starts, strict=True)
    ]
    return columns


def _number(start: object) -> object:
    stripped = str(start).strip()
    # No text is so long that its places have more digits, and Python makes no numbers of thousands of them.
    whole = stripped.removeprefix("-").isdecimal() and len(stripped) <= _DIGITS
    return int(stripped) if whole else stripped


def to_answer_examples(columns: Columns, task: Task) -> Examples:
    """Check answers against their contexts, texts that have been checked, and make all of it examples.

    Answers are a list of objects with ``text`` and ``answer_start`` or, as on the hub, one object with a list
    of each. Several answers to a question are all right. No answer at all is an empty list or null.

    Raises:
        DataError: answers that are none, that do not stand where they say, or that are missing.
    """
    contexts = cast("list[str]", columns.values[task.text_pair or CONTEXT])
    problems = RowProblems(columns.source, columns.unit)
    rows: list[list[Answer]] = []
    for place, context, value in zip(columns.places, contexts, columns.values[task.label], strict=True):
        answers = _answers(value)
        if answers is None:
            problems.add(f"{task.label!r} has not the form of answers", place)
            continue
        for text, start in answers:
            if problem := _problem(text, start, context):
                problems.add(problem, place)
        if not answers and not task.unanswerable:
            problems.add("no answer", place)
        rows.append([Answer(cast("str", text), cast("int", start)) for text, start in answers])
    problems.raise_if_any(
        f"Expected in {task.label!r} each answer's text, as it stands in the context, and the character "
        f"that it starts at, counted from 0: correct or remove these {columns.unit}s"
        + ("." if task.unanswerable else "; if some questions have no answer, set unanswerable = true.")
    )
    questions = cast("list[str]", columns.values[task.text])
    return Examples(questions, contexts, None, None, answers=rows)


def _answers(value: object) -> list[tuple[object, object]] | None:
    """Text and start of each answer, not checked; None for another form."""
    if value is None:
        return []
    if isinstance(value, dict):
        texts, starts = value.get("text"), value.get(START)
        if not isinstance(texts, list) or not isinstance(starts, list) or len(texts) != len(starts):
            return None
        return list(zip(texts, starts, strict=True))
    if isinstance(value, list) and all(isinstance(answer, dict) for answer in value):
        return [(answer.get("text"), answer.get(START)) for answer in value]
    return None


def _problem(text: object, start: object, context: str) -> str | None:
    if not isinstance(text, str) or not text.strip():
        return f"an answer's text is {'missing' if text is None else 'empty or no text'}"
    shown = repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}...")
    if isinstance(start, bool) or not isinstance(start, int):
        return f"the start of the answer {shown} is {'missing' if start is None else 'no whole number'}"
    if not 0 <= start < len(context):
        return f"the answer {shown} starts at {start}, and its context has characters 0 to {len(context) - 1}"
    if not context.startswith(text, start):
        there = context[start : start + min(len(text), _SHOWN)]
        elsewhere = "" if text in context else ", nor anywhere else in it"
        return f"the answer {shown} is not at {start} of its context{elsewhere}; there stands {there!r}"
    return None
