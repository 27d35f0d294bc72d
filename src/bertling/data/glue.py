"""Reads GLUE tasks from their own files, in the layout in which the benchmark gives them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from bertling.data.examples import Examples
from bertling.data.lines import listed_folder
from bertling.data.loading import text_columns, to_examples, wanted_columns
from bertling.data.problems import did_you_mean
from bertling.data.tables import Columns, read_columns
from bertling.errors import DataError
from bertling.tasks import GLUE, GLUE_LAYOUTS, Submission, Task


def read_glue(folder: Path, name: str) -> tuple[Examples, Examples]:
    """Training and development set of the GLUE task ``name`` (``sst2`` for instance).

    Raises:
        DataError: an unknown task, a folder without the task's files, or rows that cannot be used.
    """
    layout = GLUE_LAYOUTS[_known(name)]
    _require_files(folder, name, (layout.train, layout.dev))
    return _read(folder / layout.train, name), _read(folder / layout.dev, name)


def read_glue_devs(folder: Path, name: str) -> dict[str, Examples]:
    """All development sets of a GLUE task: ``dev``, and for MNLI, whose is the matched one, ``mismatched``.

    Raises:
        DataError: as `read_glue` does.
    """
    layout = GLUE_LAYOUTS[_known(name)]
    files = {"dev": layout.dev, **layout.further_devs}
    _require_files(folder, name, tuple(files.values()))
    return {which: _read(folder / file, name) for which, file in files.items()}


def read_glue_test(path: Path, submission: Submission) -> Examples:
    """The unlabelled texts of one of the files that GLUE's server wants answers to, all of them, in order.

    Raises:
        DataError: no such file, another number of rows than GLUE's, or lines that cannot be read.
    """
    task = GLUE[submission.task]
    columns = read_columns(path, text_columns(task))
    if len(columns.places) != submission.rows:
        raise DataError(
            f"{path} has {len(columns.places):,} rows, and GLUE's own has {submission.rows:,}: the server "
            "takes an answer for each of them, in their order. Get the whole file, as GLUE gives it out"
        )
    # An empty text is answered as well: a line that is left out would move all answers behind it.
    texts, *pairs = (cast("list[str]", columns.values[name]) for name in text_columns(task))
    return Examples(texts, pairs[0] if pairs else None, None, None)


def _known(name: str) -> str:
    if name not in GLUE:
        raise DataError(f"{name!r} is no GLUE task; these are {', '.join(GLUE)}.{did_you_mean(name, GLUE)}")
    return name


def _require_files(folder: Path, name: str, files: Sequence[str]) -> None:
    noun = "file" if len(files) == 1 else "files"
    expected = f"Expected the folder of the GLUE task {name} with its {noun} {' and '.join(files)}"
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {what}. {expected}: check the path (looked at {folder.absolute()}).")
    if missing := [file for file in files if not (folder / file).exists()]:
        raise DataError(
            f"{folder} has no {' and no '.join(missing)}; it holds {listed_folder(folder)}. {expected}: "
            "name that folder."
        )


def _read(file: Path, name: str) -> Examples:
    task, layout = GLUE[name], GLUE_LAYOUTS[name]
    columns = read_columns(file, wanted_columns(task), header=layout.header, faulty_rows=layout.faulty_rows)
    return to_examples(_with_texts(columns, task, most=layout.faulty_rows), task)


def _with_texts(columns: Columns, task: Task, *, most: int) -> Columns:
    """Without the rows that lack a text, if they are at most so many; others are an error later on."""
    texts = zip(*(columns.values[name] for name in text_columns(task)), strict=True)
    kept = [row for row, values in enumerate(texts) if all(str(value).strip() for value in values)]
    if not 0 < len(columns.places) - len(kept) <= most:
        return columns
    return replace(
        columns,
        places=[columns.places[row] for row in kept],
        values={name: [values[row] for row in kept] for name, values in columns.values.items()},
    )
