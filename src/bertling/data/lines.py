"""Text files as numbered lines, plain, gzipped or packed with zstd."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from bertling.data.problems import RowProblems, did_you_mean
from bertling.data.unpacking import Unpacked
from bertling.errors import DataError

_SHOWN_ENTRIES = 10
_BUFFER_BYTES = 1 << 18
_PACKED = (".gz", ".zst")

MAX_LINE_BYTES = 64 << 20
"""longest line that is read as a whole"""

MOST_PROBLEMS = 1000
"""so many lines or rows that cannot be used are listed; then reading stops"""


def read_lines(path: Path, *, fragment_bytes: int | None = None) -> Iterator[tuple[int, str]]:
    r"""Stream (line number from 1, line with its line ending) of a UTF-8 file; .gz and .zst are unpacked.

    Only ``\n`` ends a line, so that other separators inside a text do not tear it apart. A byte-order
    mark at the beginning is dropped.

    Args:
        path: the file.
        fragment_bytes: a longer line comes in fragments of about so many bytes, each with the number of
            the line and the last alone with its ending, so that memory does not depend on the lines.

    Raises:
        DataError: no such file, a folder, a damaged archive, one that unpacks to far more than text does, a
            line above ``MAX_LINE_BYTES`` that is to be read as a whole, or invalid UTF-8 (with the line
            numbers; no line after the first invalid one is yielded).
    """
    check_file(path)
    try:
        unpacked = Unpacked(path) if path.suffix.lower() in _PACKED else None
        with _open(path) as stream:
            yield from decoded_lines(stream, str(path), fragment_bytes=fragment_bytes, unpacked=unpacked)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): check that the file is whole.") from error


def decoded_lines(
    stream: BinaryIO | io.BufferedIOBase,
    source: str,
    *,
    fragment_bytes: int | None = None,
    unpacked: Unpacked | None = None,
) -> Iterator[tuple[int, str]]:
    """The same of an open stream, such as standard input.

    ``source`` is what messages call it, ``unpacked`` counts what is read.
    """
    problems = RowProblems(source, "line")
    invalid: set[int] = set()
    limit = MAX_LINE_BYTES + 1 if fragment_bytes is None else fragment_bytes
    # Keeps the bytes of a character that two fragments share.
    decoder = codecs.getincrementaldecoder("utf-8")()
    number, first = 1, True
    while len(invalid) < MOST_PROBLEMS:
        raw = stream.readline(limit)
        if unpacked:
            unpacked.add(len(raw))
        if fragment_bytes is None and len(raw) > MAX_LINE_BYTES:
            raise DataError(
                f"{source}: line {number} is longer than {MAX_LINE_BYTES >> 20} MiB: check that this is a "
                "text file with a row in each line, or split the line"
            )
        ends = not raw or raw.endswith(b"\n")
        try:
            text = decoder.decode(raw, final=ends)
        except UnicodeDecodeError:
            decoder.reset()
            invalid.add(number)
        else:
            if first and text:
                text = text.removeprefix("\ufeff")
                first = False
            if text and not invalid:
                yield number, text
        if not raw:
            break
        number += ends
    for place in sorted(invalid):
        problems.add("not valid UTF-8", place)
    problems.raise_if_any("Expected text in UTF-8: save the file in that encoding, or repair these lines.")


def check_file(path: Path) -> None:
    """Raise a DataError, with what is there instead, unless ``path`` is a file."""
    if path.is_dir():
        raise DataError(f"{path} is a folder, expected a file. It holds {listed_folder(path)}: name one.")
    if path.exists():
        return
    if not path.parent.is_dir():
        raise DataError(f"There is no file {path}, nor the folder {path.parent.absolute()}. Check the path.")
    near = did_you_mean(path.name, (entry.name for entry in path.parent.iterdir()))
    raise DataError(f"There is no file {path.name} in {path.parent.absolute()}.{near or ' Check the path.'}")


def listed_folder(folder: Path) -> str:
    """The first entries of a folder, sorted, for a message; folders end in a slash."""
    entries = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in folder.iterdir())
    more = f" and {len(entries) - _SHOWN_ENTRIES} more" if len(entries) > _SHOWN_ENTRIES else ""
    return (", ".join(entries[:_SHOWN_ENTRIES]) or "nothing") + more


def _open(path: Path) -> io.BufferedIOBase:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return gzip.open(path, "rb")
    if suffix == ".zst":
        import pyarrow as pa  # which reading exported models does without

        # pyarrow's streams have no readline.
        return io.BufferedReader(pa.CompressedInputStream(str(path), "zstd"), _BUFFER_BYTES)
    return path.open("rb")
