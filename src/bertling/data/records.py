"""Lines as fields: records of .tsv and .csv, one after the other."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from bertling.errors import DataError

# The csv module refuses fields above 128 KiB by default; the largest limit that fits a C long everywhere.
_FIELD_CHARACTERS = 2**31 - 1

Lines = Iterator[tuple[int, str]]
"""numbers from 1 and lines with their endings, as `bertling.data.lines.read_lines` gives them"""


def tsv_records(lines: Lines) -> Iterator[tuple[int, list[str]]]:
    """Fields between tabs, with the line's number; quotes are characters, and empty lines are skipped."""
    for number, line in lines:
        if text := line.rstrip("\r\n"):
            yield number, text.split("\t")


def csv_records(lines: Lines, source: str) -> Iterator[tuple[int, list[str]]]:
    """Fields between commas, with the number of the line where a record begins; empty lines are skipped.

    Raises:
        DataError: quotes that are not closed or not doubled.
    """
    # strict: otherwise a stray quote swallows all rows up to the next one without a word.
    reader = csv.reader((line for _, line in lines), strict=True)
    limit = csv.field_size_limit(_FIELD_CHARACTERS)
    first_line = 1
    try:
        for fields in reader:
            if fields:
                yield first_line, fields
            first_line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{source}: the record that begins at line {first_line} is not valid csv: {error}. Expected "
            'fields separated by commas, and quotes (") around a field closed and, inside it, doubled. If '
            "quotes in the file are ordinary characters, separate the fields by tabs and name it .tsv."
        ) from error
    finally:
        csv.field_size_limit(limit)
