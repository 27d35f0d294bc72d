"""What the models of a run say of each example of the reported set, as a file of the stage ``evaluate``.

N examples, W words of the longest, C labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from bertling.evaluation.answer_scores import PREDICTED
from bertling.files import whole_file

_FILE = "predictions.parquet"


def write_predictions(folder: Path, said: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write what `read_predictions` reads, into the stage's folder; hidden until it is whole."""
    with whole_file(folder / _FILE) as partial:
        pq.write_table(pa.table({name: _column(values) for name, values in said.items()}), partial)


def read_predictions(run: Path) -> dict[str, npt.NDArray[Any]]:
    """What the models of a finished run say of each example of the reported set, in its order.

    Returns:
        ``label``, ``student`` and, if the run has them, ``teacher`` and ``baseline``: (N,) class ids, or
        numbers for a regression. Of words (N, W), negative for no answer and behind the last; of several
        labels (N, C), 0 or 1. Of questions (N,) lists of right texts as ``label``, and answers of the dtype
        `PREDICTED`.
    """
    table = pq.read_table(run / "stages" / "evaluate" / _FILE)
    if pa.types.is_struct(table.schema.field("student").type):
        return {name: _answers(table[name].to_pylist()) for name in table.column_names}
    columns = {name: table[name].to_numpy() for name in table.column_names}
    return {name: np.stack(values) if values.dtype == object else values for name, values in columns.items()}


def _answers(rows: list[Any]) -> npt.NDArray[Any]:
    if isinstance(rows[0], dict):
        return np.asarray(
            [tuple(row[name] for name in PREDICTED.names or ()) for row in rows], dtype=PREDICTED
        )
    right = np.empty(len(rows), dtype=object)
    for place, texts in enumerate(rows):
        right[place] = texts
    return right


def _column(values: npt.NDArray[Any]) -> pa.Array:
    if values.dtype == PREDICTED:
        return pa.array([dict(zip(PREDICTED.names or (), row, strict=True)) for row in values.tolist()])
    if values.dtype == object:
        return pa.array(values.tolist(), pa.list_(pa.string()))
    return pa.array(values if values.ndim == 1 else list(values))
