"""A finder without models, which notes what it was asked and dies when told to; for worker processes, too."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bertling.augmentation.candidates import Replaceable
else:

    class Replaceable(NamedTuple):
        """The same, without the seconds that each process would need to import all that finds real ones."""

        start: int
        end: int
        candidates: tuple[str, ...]


@dataclass(frozen=True)
class StubSettings:
    """The first process that gets the text ``dies_at`` kills itself; a call takes ``seconds``."""

    notes: Path | None = None
    dies_at: str = ""
    seconds: float = 0.0

    def build(self) -> StubFinder:
        return StubFinder(self)


class StubFinder:
    """Every word of three or more letters has three candidates, made from the word."""

    def __init__(self, settings: StubSettings) -> None:
        self._settings = settings

    def find(self, texts: Sequence[str]) -> list[list[Replaceable]]:
        if notes := self._settings.notes:
            (notes / f"{os.getpid()} {time.monotonic_ns()}.txt").write_text("\n".join(texts))
            died = notes / "died"
            if self._settings.dies_at in texts and self._settings.dies_at and not died.exists():
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self._settings.seconds)
        return [[*map(_replaceable, re.finditer(r"[^\W\d_]{3,}", text))] for text in texts]


def asked(notes: Path) -> list[list[str]]:
    """The texts of every call that a finder got."""
    return [note.read_text().splitlines() for note in sorted(notes.glob("*.txt"))]


def processes(notes: Path) -> set[int]:
    """Who was asked."""
    return {int(note.name.split()[0]) for note in notes.glob("*.txt")}


def _replaceable(word: re.Match[str]) -> Replaceable:
    return Replaceable(word.start(), word.end(), tuple(f"{word[0].lower()}{ending}" for ending in "xyz"))
