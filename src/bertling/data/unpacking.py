"""How much a packed file may unpack to: a few kilobytes can stand for gigabytes."""

from __future__ import annotations

from pathlib import Path

from bertling.errors import DataError

MOST_UNPACKED_BYTES = 256 << 20
MOST_UNPACKED_TIMES = 100
"""a file unpacks to so many bytes or so many times its own, whichever is more; text packs to a third or so"""


class Unpacked:
    """Counts the bytes that come out of a packed file.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._most = max(MOST_UNPACKED_BYTES, MOST_UNPACKED_TIMES * path.stat().st_size)
        self._bytes = 0

    def add(self, count: int) -> None:
        """Count further bytes; raise a DataError where they are too many."""
        self._bytes += count
        if self._bytes > self._most:
            raise DataError(
                f"{self._path} unpacks to more than {self._most:,} bytes, {MOST_UNPACKED_TIMES} times its "
                f"own size or {MOST_UNPACKED_BYTES >> 20} MiB, whichever is more: text packs less. "
                "If it is what it should be, unpack it, or split it"
            )
