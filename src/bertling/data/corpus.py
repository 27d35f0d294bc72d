"""Unlabelled text for general distillation, streamed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from bertling.data.lines import read_lines
from bertling.errors import DataError

MAX_TEXT_CHARACTERS = 100_000
"""longer lines are split, at whitespace where there is some"""

# Cc of Unicode, without those that separate words.
_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if not chr(code).isspace()}


def read_texts(path: Path) -> Iterator[str]:
    """Stream the texts of a UTF-8 file, one a line; ``.gz`` is unpacked.

    Blank lines are skipped, runs of whitespace become one space, and other control characters are
    removed. Lines above ``MAX_TEXT_CHARACTERS`` are split into pieces of at most that.

    Raises:
        DataError: no such file, a folder, a damaged gzip file or invalid UTF-8 (with line numbers); and at
            the end, if there was no text at all.
    """
    empty = True
    for _, line in read_lines(path):
        for text in _pieces(" ".join(line.translate(_CONTROLS).split())):
            empty = False
            yield text
    if empty:
        raise DataError(f"{path} holds no text. Expected one text a line.")


def _pieces(text: str) -> Iterator[str]:
    start = 0
    while len(text) - start > MAX_TEXT_CHARACTERS:
        end = text.rfind(" ", start, start + MAX_TEXT_CHARACTERS + 1)
        if end > start:
            yield text[start:end]
            start = end + 1
        else:
            yield text[start : start + MAX_TEXT_CHARACTERS]
            start += MAX_TEXT_CHARACTERS
            start += text.startswith(" ", start)
    if start < len(text):
        yield text[start:]
