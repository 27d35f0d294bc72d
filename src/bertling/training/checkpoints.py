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
    """The newest whole checkpoint in a folder, or None."""
    whole = [path for path in folder.glob("checkpoint-*") if (path / _MARKER).exists()]
    return max(whole, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)


def delete_other_checkpoints(folder: Path, kept: Path | None) -> None:
    """Delete all checkpoints but one, before training goes on from it; one process does it for all.

    Those that are not whole go, and older ones too: a kill while the Trainer deleted one leaves it marked but
    torn, and with a date that makes the Trainer delete the good one next time.
    """
    for other in set(folder.glob("checkpoint-*")) - {kept}:
        # The marker first: this may be killed as well.
        (other / _MARKER).unlink(missing_ok=True)
        shutil.rmtree(other)
