"""Reads GLUE tasks from their own files, in the layout in which the benchmark gives them out."""

from __future__ import annotations

from pathlib import Path

from bertling.data.examples import Examples
from bertling.data.lines import listed_folder
from bertling.data.loading import to_examples, wanted_columns
from bertling.data.problems import did_you_mean
from bertling.data.tables import read_columns
from bertling.errors import DataError
from bertling.tasks import GLUE, GLUE_LAYOUTS


def read_glue(folder: Path, name: str) -> tuple[Examples, Examples]:
    """Training and development set of the GLUE task ``name`` (``sst2`` for instance).

    Raises:
        DataError: an unknown task, a folder without the task's files, or rows that cannot be used.
    """
    if name not in GLUE:
        raise DataError(f"{name!r} is no GLUE task; these are {', '.join(GLUE)}.{did_you_mean(name, GLUE)}")
    task, layout = GLUE[name], GLUE_LAYOUTS[name]
    expected = f"Expected the folder of the GLUE task {name} with its files {layout.train} and {layout.dev}"
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DataError(f"{folder} {what}. {expected}: check the path (looked at {folder.absolute()}).")
    if missing := [file for file in (layout.train, layout.dev) if not (folder / file).exists()]:
        raise DataError(
            f"{folder} has no {' and no '.join(missing)}; it holds {listed_folder(folder)}. {expected}: "
            "name that folder."
        )
    columns = [
        read_columns(folder / file, wanted_columns(task), header=layout.header)
        for file in (layout.train, layout.dev)
    ]
    return to_examples(columns[0], task), to_examples(columns[1], task)
