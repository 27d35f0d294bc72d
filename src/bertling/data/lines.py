"""Text files as numbered lines, plain or gzipped."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

from bertling.data.problems import RowProblems, did_you_mean
from bertling.errors import DataError

_SHOWN_ENTRIES = 10


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Stream (line number from 1, line with its line ending) of a UTF-8 file; ``.gz`` is unpacked.

    Only ``\n`` ends a line, so that other separators inside a text do not tear it apart. A byte-order
    mark at the beginning is dropped.

    Raises:
        DataError: no such file, a folder, a damaged gzip file, or invalid UTF-8 (with the line numbers;
            no line after the first invalid one is yielded).
    """
    check_file(path)
    problems = RowProblems(str(path), "line")
    sound = True
    try:
        with _open(path) as stream:
            for number, raw in enumerate(stream, start=1):
                try:
                    line = (raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw).decode("utf-8")
                except UnicodeDecodeError:
                    problems.add("not valid UTF-8", number)
                    sound = False
                    continue
                if sound:
                    yield number, line
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}): check that the file is whole.") from error
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
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")
