"""Checkpoints that count only when they are whole.

The Trainer writes into ``checkpoint-N`` file by file. A marker, written last, says that it got to the end.
"""

from __future__ import annotations

import shutil
from pathlib import Path

_MARKER = "whole"


def mark_whole(checkpoint: Path) -> None:
    """Say that every file of this checkpoint is written."""
    (checkpoint / _MARKER).touch()


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint in a folder, or None; what is not whole is deleted."""
    found: dict[int, Path] = {}
    for path in folder.glob("checkpoint-*"):
        if (path / _MARKER).exists():
            found[int(path.name.removeprefix("checkpoint-"))] = path
        else:
            shutil.rmtree(path)
    return found[max(found)] if found else None
