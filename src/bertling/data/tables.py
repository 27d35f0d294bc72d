"""Chosen columns of a .tsv, .csv, .jsonl or .parquet file, with the place of every row for messages."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bertling.data.lines import check_file, read_lines
from bertling.data.problems import RowProblems, Unit, did_you_mean, listed_names
from bertling.data.records import csv_records, tsv_records
from bertling.data.unpacking import Unpacked
from bertling.errors import DataError

_TEXT_KINDS = (".tsv", ".csv", ".jsonl")
_PARQUET_ROWS = 1024  # read at once


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of a data set.

    Attributes:
        source: the file or data set, as the user knows it.
        unit: what ``places`` counts.
        places: for each row its line in the file (where it begins), or its row, from 1.
        values: column name -> one value for each row, as found.
    """

    source: str
    unit: Unit
    places: list[int]
    values: dict[str, list[object]]


def read_columns(
    path: Path,
    wanted: Sequence[str],
    *,
    optional: Sequence[str] = (),
    header: Sequence[str] | None = None,
    faulty_rows: int = 0,
) -> Columns:
    """Read the columns ``wanted``; the suffix says the format.

    In .tsv quotes are literal characters, as in GLUE's files; in .csv they are csv's quotes. Empty lines
    are skipped. ``.tsv.gz``, ``.csv.gz`` and ``.jsonl.gz`` are unpacked.

    Args:
        path: the file.
        wanted: column names.
        optional: names of columns that are read where the file has them.
        header: column names of a .tsv or .csv file that has no header line.
        faulty_rows: so many rows of a .tsv or .csv file with too few or too many fields are left out; for
            files that are known to hold some.

    Raises:
        DataError: no such file, an unknown suffix, a missing or repeated column, rows with too few or too
            many fields, malformed json, csv or parquet, invalid UTF-8.
    """
    check_file(path)
    name = path.name.lower()
    if name.endswith(".parquet"):
        return _read_parquet(path, wanted, optional)
    kind = next((kind for kind in _TEXT_KINDS if name.endswith((kind, f"{kind}.gz"))), None)
    if kind == ".tsv":
        return _read_delimited(path, tsv_records(read_lines(path)), wanted, optional, header, faulty_rows)
    if kind == ".csv":
        records = csv_records(read_lines(path), str(path))
        return _read_delimited(path, records, wanted, optional, header, faulty_rows)
    if kind == ".jsonl":
        return _read_jsonl(path, wanted, optional)
    raise DataError(
        f"{path}: the suffix {''.join(path.suffixes) or '(none)'} is not known. "
        "Expected .tsv, .csv, .jsonl (each also with .gz) or .parquet: convert or rename the file."
    )


def require_columns(source: str, wanted: Sequence[str], columns: Sequence[str]) -> None:
    """Raise a DataError unless ``columns`` has all of ``wanted`` and repeats none."""
    if repeated := [name for name, count in Counter(columns).items() if count > 1]:
        raise DataError(
            f"{source}: {listed_names(repeated)} names more than one column. Rename or remove the others; "
            f"the columns are {listed_names(columns)}."
        )
    if missing := [name for name in wanted if name not in columns]:
        raise DataError(
            f"{source}: no column {listed_names(missing)}; the columns are {listed_names(columns)}."
            f"{did_you_mean(missing[0], columns)} Correct the task's column or the header."
        )


def _read_delimited(
    path: Path,
    records: Iterator[tuple[int, list[str]]],
    wanted: Sequence[str],
    optional: Sequence[str],
    header: Sequence[str] | None,
    faulty_rows: int,
) -> Columns:
    columns = header or next((fields for _, fields in records), [])
    if not columns:
        raise DataError(f"{path} is empty. Expected a header line with the column names, then the examples.")
    require_columns(str(path), wanted, columns)
    wanted = [*wanted, *(name for name in optional if name in columns)]
    problems = RowProblems(str(path), "line")
    places: list[int] = []
    faulty = 0
    rows: list[list[object]] = [[] for _ in wanted]
    picked = list(zip(rows, (columns.index(name) for name in wanted), strict=True))
    for number, fields in records:
        if len(fields) != len(columns):
            problems.add(f"{len(fields)} {'field' if len(fields) == 1 else 'fields'}", number)
            faulty += 1
            continue
        places.append(number)
        for values, index in picked:
            values.append(fields[index])
    if faulty > faulty_rows:
        problems.raise_if_any(
            f"Expected {len(columns)} fields, as in the columns {listed_names(columns)}: repair or remove "
            "these lines."
        )
    return Columns(str(path), "line", places, dict(zip(wanted, rows, strict=True)))


def _read_jsonl(path: Path, wanted: Sequence[str], optional: Sequence[str]) -> Columns:
    malformed = RowProblems(str(path), "line")
    incomplete = RowProblems(str(path), "line")
    places: list[int] = []
    records: list[dict[str, object]] = []
    keys: dict[str, None] = {}
    for number, line in read_lines(path):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            malformed.add(f"malformed json ({error.msg})", number)
            continue
        except (ValueError, RecursionError) as error:
            malformed.add(f"malformed json ({error})", number)
            continue
        if not isinstance(record, dict):
            malformed.add(f"json {type(record).__name__}, not an object", number)
            continue
        places.append(number)
        keys |= dict.fromkeys(record)
        records.append({name: record[name] for name in (*wanted, *optional) if name in record})
    malformed.raise_if_any("Expected one json object a line: repair or remove these lines.")
    if places:
        require_columns(str(path), wanted, list(keys))
    wanted = [*wanted, *(name for name in optional if name in keys)]
    for number, record in zip(places, records, strict=True):
        for name in wanted:
            if name not in record:
                incomplete.add(f"no key {name!r}", number)
    incomplete.raise_if_any("Every line needs the same keys: add them or remove these lines.")
    values = {name: [record[name] for record in records] for name in wanted}
    return Columns(str(path), "line", places, values)


def _read_parquet(path: Path, wanted: Sequence[str], optional: Sequence[str]) -> Columns:
    try:
        with pq.ParquetFile(path) as file:
            require_columns(str(path), wanted, file.schema_arrow.names)
            wanted = [*wanted, *(name for name in optional if name in file.schema_arrow.names)]
            columns = _parquet_cells(path, file, list(wanted))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read as parquet ({error}): check that the file is whole."
        ) from error
    rows = max(map(len, columns.values()), default=0)
    return Columns(str(path), "row", list(range(1, rows + 1)), columns)


def _parquet_cells(path: Path, file: pq.ParquetFile, names: list[str]) -> dict[str, list[object]]:
    unpacked = Unpacked(path)
    problems = RowProblems(str(path), "row")
    columns: dict[str, list[object]] = {name: [] for name in names}
    row = 0
    for batch in file.iter_batches(_PARQUET_ROWS, columns=names):
        # A value that repeats is stored once, and takes its room in memory each time.
        unpacked.add(batch.nbytes)
        for name, cells in columns.items():
            for place, scalar in enumerate(batch.column(name), start=row + 1):
                try:
                    cells.append(scalar.as_py())
                except UnicodeDecodeError:
                    problems.add(f"{name!r} is not valid UTF-8", place)
                except (ArithmeticError, LookupError, ValueError):  # such as a date after the year 9999
                    problems.add(f"{name!r} cannot be read", place)
        row += batch.num_rows
    problems.raise_if_any("Expected text in UTF-8: write the file again from text that is.")
    return columns
