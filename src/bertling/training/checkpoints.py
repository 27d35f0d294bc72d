"""Checkpoints that count only when they are whole.

The Trainer writes into ``checkpoint-N`` file by file. A marker, written last, says that it got to the end,
and how large each file is: one that was lost or cut off since makes the checkpoint count for nothing.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from bertling.files import write_whole

_MARKER = "whole"


def mark_whole(checkpoint: Path) -> None:
    """Say that every file of this checkpoint is written."""
    write_whole(checkpoint / _MARKER, json.dumps(_sizes(checkpoint)))


def last_whole_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint in a folder, or None."""
    whole = [path for path in folder.glob("checkpoint-*") if _is_whole(path)]
    return max(whole, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)


def _is_whole(checkpoint: Path) -> bool:
    try:
        return bool(json.loads((checkpoint / _MARKER).read_text(encoding="utf-8")) == _sizes(checkpoint))
    except (OSError, ValueError):
        return False


def _sizes(checkpoint: Path) -> dict[str, int]:
    """Bytes of each file but the marker."""
    return {
        path.relative_to(checkpoint).as_posix(): path.stat().st_size
        for path in sorted(checkpoint.rglob("*"))
        if path.is_file() and not path.name.startswith(_MARKER)
    }


def delete_other_checkpoints(folder: Path, kept: Path | None) -> None:
    """Delete all checkpoints but one, before training goes on from it; one process does it for all.

    Those that are not whole go, and older ones too: a kill while the Trainer deleted one leaves it marked but
    torn, and with a date that makes the Trainer delete the good one next time.
    """
    for other in set(folder.glob("checkpoint-*")) - {kept}:
        # The marker first: this may be killed as well.
        (other / _MARKER).unlink(missing_ok=True)
        shutil.rmtree(other)
