"""Unlabelled text for general distillation, streamed: memory depends neither on files nor on lines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bertling.data.lines import MOST_PROBLEMS, check_file, listed_folder, read_lines
from bertling.data.problems import RowProblems, Unit, did_you_mean, listed_names
from bertling.data.unpacking import Unpacked
from bertling.errors import DataError

MAX_TEXT_CHARACTERS = 100_000
"""longer lines and documents are split, at whitespace where there is some"""

MAX_RECORD_BYTES = 64 << 20
"""longest line of a .jsonl file, since json can only be read as a whole"""

_FRAGMENT = 1 << 18  # bytes, or characters, of a long text that are looked at together
_PARQUET_ROWS = 128  # read at once: few, since each may be a whole book
_PARQUET_BUFFER_BYTES = 1 << 20

_PACKINGS = ("", ".gz", ".zst")
_KINDS = {
    ".gz": "text",
    ".zst": "text",
    ".parquet": "parquet",
    **{f".txt{packing}": "text" for packing in _PACKINGS},
    **{f".jsonl{packing}": "jsonl" for packing in _PACKINGS},
}
_EXPECTED = (
    "Expected plain text, one document or sentence a line (.txt, .txt.gz, .txt.zst, .gz, .zst), json lines "
    "(.jsonl, .jsonl.gz, .jsonl.zst) or .parquet"
)

# Cc of Unicode, without those that separate words; and Cs, halves of characters that json can escape.
_REMOVED = {
    code: None
    for code in (*range(0x20), *range(0x7F, 0xA0), *range(0xD800, 0xE000))
    if not chr(code).isspace()
}


def read_corpus(path: Path, *, column: str = "text") -> Iterator[str]:
    """Stream the texts of a file, or of all files in a folder and its subfolders.

    Plain text has one text a line; .jsonl and .parquet have them in ``column``. The files of a folder are
    read in the order of their paths; hidden ones are left out.

    Blank texts are skipped, runs of whitespace become one space, and other control characters are removed.
    Texts above ``MAX_TEXT_CHARACTERS`` are split into pieces of at most that.

    Args:
        path: the file or folder.
        column: key of .jsonl, column of .parquet.

    Raises:
        DataError: no such file, a kind of file that is not read, a damaged file, invalid UTF-8, malformed
            json or values that are not text (with line or row numbers), a missing column, a .jsonl line
            above ``MAX_RECORD_BYTES``; and at the end, if there was no text at all.
    """
    texts = (read_corpus_file(file, kind, column=column) for file, kind in corpus_files(path))
    return require_text(str(path), chain.from_iterable(texts))


def read_corpus_file(file: Path, kind: str, *, column: str) -> Iterator[str]:
    """Stream the texts of one of the files that `corpus_files` lists, of which there may be none."""
    return _READERS[kind](file, column)


def require_text(source: str, texts: Iterable[str]) -> Iterator[str]:
    """Pass texts on; raise a DataError at the end if there were none."""
    empty = True
    for text in texts:
        empty = False
        yield text
    if empty:
        raise DataError(f"{source} holds no text: expected at least one line or row that is not blank")


def split_text(fragments: Iterable[str]) -> Iterator[str]:
    """One text that comes in fragments, cleaned and split as `read_corpus` says."""
    rest = ""
    for fragment in fragments:
        rest += fragment.translate(_REMOVED)
        text = " ".join(rest.split())
        if rest[-1:].isspace():
            text += " "  # the next fragment begins with another word
        start = 0
        while len(text) - start > MAX_TEXT_CHARACTERS:
            end = text.rfind(" ", start, start + MAX_TEXT_CHARACTERS + 1)
            if end > start:
                yield text[start:end]
                start = end + 1
            else:
                yield text[start : start + MAX_TEXT_CHARACTERS]
                start += MAX_TEXT_CHARACTERS
        rest = text[start:]
    if rest := rest.strip():
        yield rest


@dataclass(frozen=True, slots=True)
class Unusable:
    """Stands for the value of a row that has none.

    Attributes:
        problem: what is wrong with the row.
    """

    problem: str


def texts_of(source: str, unit: Unit, column: str, values: Iterable[tuple[int, object]]) -> Iterator[str]:
    """The texts in the values of a column.

    Args:
        source: the file or data set, as the user knows it.
        unit: what the places count.
        column: for messages.
        values: place, from 1, and value.

    Raises:
        DataError: values that are not text; no text after the first of them is yielded.
    """
    problems = RowProblems(source, unit)
    unusable = 0
    for place, value in values:
        if not isinstance(value, str):
            problems.add(_problem(column, value), place)
            unusable += 1
            if unusable == MOST_PROBLEMS:
                break
        elif not unusable:
            yield from split_text(
                value[start : start + _FRAGMENT] for start in range(0, len(value), _FRAGMENT)
            )
    problems.raise_if_any(f"Expected text in every {unit}: repair or remove these {unit}s.")


def require_column(source: str, column: str, columns: Sequence[str]) -> None:
    """Raise a DataError, with the columns that there are, unless ``column`` is one of them."""
    if column not in columns:
        raise DataError(
            f"{source}: no column {column!r}; the columns are {listed_names(columns)}."
            f"{did_you_mean(column, columns)} Name the column that holds the text."
        )


def _problem(column: str, value: object) -> str:
    if isinstance(value, Unusable):
        return value.problem
    if value is None:
        return f"{column!r} is missing (null)"
    return f"{column!r} is not text ({type(value).__name__})"


def corpus_files(path: Path) -> list[tuple[Path, str]]:
    """The files of a corpus and their kinds (text, jsonl, parquet), in the order in which they are read.

    Raises:
        DataError: no such file, or a kind of file that is not read.
    """
    if path.is_dir():
        below = {file.relative_to(path).parts: file for file in path.rglob("*") if file.is_file()}
        files = [below[parts] for parts in sorted(below) if not any(part[0] == "." for part in parts)]
        if not files:
            raise DataError(f"{path} holds no files to read: it holds {listed_folder(path)}. {_EXPECTED}.")
    else:
        check_file(path)
        files = [path]
    kinds = [_kind(file) for file in files]
    if unknown := [file for file, kind in zip(files, kinds, strict=True) if not kind]:
        more = f" (and {len(unknown) - 1} others)" if len(unknown) > 1 else ""
        raise DataError(
            f"{unknown[0]}{more} is of no kind that a corpus is read from. {_EXPECTED}: convert, rename or "
            "remove it."
        )
    return list(zip(files, kinds, strict=True))


def _kind(file: Path) -> str:
    """The kind of a file by its name, or nothing."""
    *_, inner, last = ["", "", *(suffix.lower() for suffix in file.suffixes)]
    return _KINDS.get(inner + last if last in _PACKINGS else last, "")


def _texts_of_lines(path: Path, column: str) -> Iterator[str]:
    fragments = (fragment for _, fragment in read_lines(path, fragment_bytes=_FRAGMENT))
    for first in fragments:
        yield from split_text(_line(first, fragments))


def _line(first: str, others: Iterator[str]) -> Iterator[str]:
    """The fragments of a line; those of the next one are not looked at, since reading them may fail."""
    fragment = first
    while fragment:
        yield fragment
        fragment = "" if fragment.endswith("\n") else next(others, "")


def _texts_of_jsonl(path: Path, column: str) -> Iterator[str]:
    return texts_of(str(path), "line", column, _records(path, column))


def _records(path: Path, column: str) -> Iterator[tuple[int, object]]:
    last = 0
    for number, line in read_lines(path, fragment_bytes=MAX_RECORD_BYTES):
        if number == last:
            raise DataError(
                f"{path}: line {number} is longer than {MAX_RECORD_BYTES >> 20} MiB, the most that a json "
                "record may have: split the document, or give it as plain text, where lines have any length."
            )
        last = number
        if not line.isspace():
            yield number, _value(line, f"{path}, line {number}", column)


def _value(line: str, source: str, column: str) -> object:
    try:
        record = json.loads(line.rstrip())  # or json takes the line's end for a character of a string
    except json.JSONDecodeError as error:
        return Unusable(f"malformed json ({error.msg})")
    except (ValueError, RecursionError) as error:
        return Unusable(f"malformed json ({error})")
    if not isinstance(record, dict):
        return Unusable(f"json {type(record).__name__}, not an object")
    require_column(source, column, list(record))
    return record[column]


def _texts_of_parquet(path: Path, column: str) -> Iterator[str]:
    return texts_of(str(path), "row", column, _cells(path, column))


def _cells(path: Path, column: str) -> Iterator[tuple[int, object]]:
    row = 0
    unpacked = Unpacked(path)
    try:
        # With pre_buffer, which is the default, all row groups of the file are kept in memory.
        with pq.ParquetFile(path, buffer_size=_PARQUET_BUFFER_BYTES, pre_buffer=False) as file:
            require_column(str(path), column, file.schema_arrow.names)
            for batch in file.iter_batches(_PARQUET_ROWS, columns=[column]):
                unpacked.add(batch.nbytes)
                for scalar in batch.column(0):
                    row += 1
                    yield row, _cell(scalar, column)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path} cannot be read as parquet ({error}): check that the file is whole."
        ) from error


def _cell(scalar: pa.Scalar, column: str) -> object:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return Unusable(f"{column!r} is not valid UTF-8")
    except (ArithmeticError, LookupError, ValueError):  # such as a date after the year 9999
        return Unusable(f"{column!r} cannot be read")


_READERS = {"text": _texts_of_lines, "jsonl": _texts_of_jsonl, "parquet": _texts_of_parquet}
