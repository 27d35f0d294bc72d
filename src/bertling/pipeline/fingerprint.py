"""Content hashes: of files and folders, and of everything that a stage's result depends on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def hash_path(path: Path) -> str:
    """SHA-256 of a file's bytes, or of a folder's file names and bytes, hidden files left out."""
    if path.is_file():
        with path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    whole = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts):
            whole.update(f"{file.relative_to(path).as_posix()}\0{hash_path(file)}\n".encode())
    return whole.hexdigest()


def fingerprint(stage: str, version: int, settings: Any, inputs: Mapping[str, str]) -> str:
    """Hash of what decides a stage's result.

    Args:
        stage: its name.
        version: raised when the stage's code changes what it computes.
        settings: its own settings, as JSON values.
        inputs: name -> content hash of what it reads.
    """
    whole = json.dumps([stage, version, settings, dict(inputs)], sort_keys=True, default=str)
    return hashlib.sha256(whole.encode()).hexdigest()
