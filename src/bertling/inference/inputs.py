"""Texts out of a file or a stream, one after the other, with the place of each for messages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

from bertling.data.lines import decoded_lines, read_lines
from bertling.data.problems import did_you_mean, listed_names
from bertling.data.records import Lines, csv_records, tsv_records
from bertling.errors import DataError
from bertling.inference.manifest import Manifest
from bertling.inference.texts import Text, problem_of

Format = Literal["txt", "tsv", "csv", "jsonl", "conll"]
"""a text a line; columns with a header line; objects; or a word a line and an empty line between texts"""
STANDARD_INPUT = "standard input"
_DOCUMENT = "-DOCSTART-"


def format_of(path: Path, manifest: Manifest) -> Format:
    """The format that a file's name says (``.gz`` behind it is unpacked); ``.txt`` of words is CoNLL's.

    Raises:
        DataError: another suffix.
    """
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix.removeprefix(".")
    if suffix == "txt" and manifest.kind == "words":
        return "conll"
    for known in get_args(Format):
        if suffix == known:
            return known  # type: ignore[no-any-return]
    raise DataError(
        f"{path}: the suffix {path.suffix or '(none)'} is not known. Expected one of "
        f"{', '.join(get_args(Format))}, each also with .gz: rename the file, or say its --format"
    )


def read_texts(
    source: Path | BinaryIO,
    manifest: Manifest,
    *,
    format: Format | None = None,
    text: str | None = None,
    text_pair: str | None = None,
) -> Iterator[Text]:
    """Stream the texts that a model is to be asked; every row gives one.

    Args:
        source: a file, or an open stream of bytes, such as standard input.
        manifest: of the model.
        format: default: as the file's name says; of a stream ``txt``, or ``conll`` for words.
        text: column or key of the (first) text, or of the list of words; in CoNLL's layout the column's
            number, from 1. Default: as in the files of the model's task.
        text_pair: that of the second text.

    Raises:
        DataError: no such file, a format that does not fit the model, a missing column, or a row that holds
            no text for the model, with its line.
    """
    if format is None:
        streamed: Format = "conll" if manifest.kind == "words" else "txt"
        format = format_of(source, manifest) if isinstance(source, Path) else streamed
    _check_format(format, manifest)
    name = str(source) if isinstance(source, Path) else STANDARD_INPUT
    lines = read_lines(source) if isinstance(source, Path) else decoded_lines(source, name)
    columns = [text or manifest.text]
    if manifest.pairs:
        columns.append(text_pair or manifest.text_pair or "text_pair")
    for number, value in _values(lines, format, name, columns):
        if problem := problem_of(value, manifest):
            raise DataError(f"{name}: line {number} {problem}: repair or remove this line")
        yield value


def _check_format(format: Format, manifest: Manifest) -> None:
    if manifest.kind == "words":
        fitting = ["conll", "jsonl"]
    else:
        fitting = ["tsv", "csv", "jsonl"] + ([] if manifest.pairs else ["txt"])
    if format not in fitting:
        what = "labels words" if manifest.kind == "words" else "reads pairs of texts"
        if not manifest.pairs and manifest.kind != "words":
            what = "reads texts"
        raise DataError(
            f"the format {format} does not fit: this model {what}. Expected {' or '.join(fitting)}: give "
            "such a file, or say which it is with --format"
        )


def _values(lines: Lines, format: Format, name: str, columns: list[str]) -> Iterator[tuple[int, Any]]:
    if format == "txt":
        return ((number, line.rstrip("\r\n")) for number, line in lines)
    if format == "conll":
        return _sentences(lines, name, columns[0])
    if format == "jsonl":
        return _objects(lines, name, columns)
    records = tsv_records(lines) if format == "tsv" else csv_records(lines, name)
    return _fields(records, name, columns)


def _fields(
    records: Iterator[tuple[int, list[str]]], name: str, columns: list[str]
) -> Iterator[tuple[int, Any]]:
    header = next((fields for _, fields in records), [])
    for column in columns:
        if column not in header:
            raise DataError(
                f"{name}: no column {column!r}; the columns are {listed_names(header)}."
                f"{did_you_mean(column, header)} Name the column with --text or --text-pair, or add a header"
            )
    places = [header.index(column) for column in columns]
    for number, fields in records:
        if len(fields) != len(header):
            raise DataError(
                f"{name}: line {number} has {len(fields)} fields, expected {len(header)} as in the header: "
                "repair or remove this line"
            )
        yield number, _asked([fields[place] for place in places])


def _objects(lines: Lines, name: str, columns: list[str]) -> Iterator[tuple[int, Any]]:
    for number, line in lines:
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{name}: line {number} is malformed json ({error}): expected one object a line"
            ) from error
        if not isinstance(value, dict):
            raise DataError(f"{name}: line {number} is a json {type(value).__name__}, expected an object")
        for column in columns:
            if column not in value:
                raise DataError(
                    f"{name}: line {number} has no key {column!r}.{did_you_mean(column, value)} Name the key "
                    "with --text or --text-pair"
                )
        yield number, _asked([value[column] for column in columns])


def _sentences(lines: Lines, name: str, column: str) -> Iterator[tuple[int, Any]]:
    # Only a file's own columns have numbers; "words", as its task calls them, is the first.
    place = int(column) - 1 if column.isdigit() else 0
    words: list[str] = []
    first = 0
    for number, line in lines:
        fields = line.split()
        if not fields or fields[0] == _DOCUMENT:
            if words:
                yield first, words
            words = []
            continue
        if not 0 <= place < len(fields):
            raise DataError(
                f"{name}: line {number} has {len(fields)} columns, and the words are to be in column {column}"
            )
        first = first if words else number
        words.append(fields[place])
    if words:
        yield first, words


def _asked(values: list[Any]) -> Any:
    return values[0] if len(values) == 1 else tuple(values)
