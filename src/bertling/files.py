"""Files that are never seen half written: they are made beside their place, and then take it.

And weights that are told apart by their bytes.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
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


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill beside ``path``, which takes that name when it is done, and vanishes on an error.

    It replaces a folder of that name. A kill leaves the folder as it was before, or whole, or for the moment
    between two renames none; what it leaves beside it is hidden, and gone the next time.
    """
    partial, before = (path.with_name(f".{path.name}.{what}") for what in ("partial", "before"))
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        shutil.rmtree(before, ignore_errors=True)
        if path.exists():
            path.replace(before)
        partial.replace(path)
        shutil.rmtree(before, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def digest_of_weights(folder: Path) -> str:
    """SHA-256 of the safetensors of a model's folder."""
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()
