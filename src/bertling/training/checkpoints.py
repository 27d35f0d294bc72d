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
    """The newest whole checkpoint in a folder, or None; all others are deleted.

    Older ones go too, even if they are marked: a kill while the Trainer deleted one leaves it marked but
    torn, and with a date that makes the Trainer delete the good one next time.
    """
    whole = [path for path in folder.glob("checkpoint-*") if (path / _MARKER).exists()]
    newest = max(whole, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)
    for other in set(folder.glob("checkpoint-*")) - {newest}:
        # The marker first: this may be killed as well.
        (other / _MARKER).unlink(missing_ok=True)
        shutil.rmtree(other)
    return newest
