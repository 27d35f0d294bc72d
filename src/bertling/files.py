"""Files that are never seen half written: they are made beside their place, and then take it."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, text: str) -> None:
    """Write a file; whatever happens, ``path`` holds what it held before, or all of the text."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file to fill beside ``path``, which takes that name when it is done, and vanishes on an error.

    It has a name of its own, so that several processes may write the same file.
    """
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
