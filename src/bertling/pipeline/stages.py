"""Stages that are done once, and go on where they were killed.

A stage works in ``stages/NAME.partial``. When it is done its record is written there and the folder renamed
to ``stages/NAME``: so a folder without ``.partial`` is always whole. A stage runs again if its fingerprint
(version, settings, inputs by content) or the content of its folder is not what the record says.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console

from bertling.pipeline.fingerprint import fingerprint, hash_path

_RECORD = "stage.json"
_STARTED = "started.json"


class Record(BaseModel):
    """``stage.json``: what a finished stage was made from, and what it made.

    Attributes:
        fingerprint: of version, settings and inputs.
        digest: content hash of what the stage made.
        seconds: wall time, of all attempts up to their last checkpoint.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fingerprint: str
    digest: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Done:
    """A finished stage."""

    folder: Path
    digest: str
    seconds: float


class Clock:
    """Wall time of a stage over all its attempts, as far as they were noted down."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "seconds.json"
        self._before = float(json.loads(self._file.read_text())) if self._file.exists() else 0.0
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the first attempt began."""
        return self._before + time.perf_counter() - self._start

    def note(self) -> None:
        """Keep the time so far for an attempt that goes on from here."""
        write_atomically(self._file, json.dumps(self.seconds))

    def close(self) -> float:
        """The time in all; forgets the notes."""
        self._file.unlink(missing_ok=True)
        return self.seconds


Work = Callable[[Path, Clock], None]
"""Fills the folder; called again in the same folder after a kill. Notes the time when it can go on from there."""


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that it is never seen half written."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


class Stages:
    """The stages of one run folder.

    Args:
        folder: ``RUN/stages``.
        console: says what runs and what is skipped.
    """

    def __init__(self, folder: Path, console: Console) -> None:
        self._folder = folder
        self._console = console
        self.done: dict[str, Done] = {}

    def run(self, name: str, *, version: int, settings: Any, inputs: Mapping[str, str], work: Work) -> Done:
        """Make sure that a stage is done, and return it.

        Args:
            name: of the stage and its folder.
            version: raised when the stage's code changes what it computes.
            settings: its own settings, as JSON values.
            inputs: name -> content hash.
            work: does it.
        """
        wanted = fingerprint(name, version, settings, inputs)
        final, partial = self._folder / name, self._folder / f"{name}.partial"
        record = _read_record(final)
        if record and record.fingerprint == wanted and record.digest == _digest(final):
            self._console.print(f"[dim]{name:>12}  unchanged, skipped[/dim]")
        else:
            if final.exists():
                shutil.rmtree(final)
            again = self._resumable(partial, wanted)
            self._console.print(f"{name:>12}  {'goes on' if again else 'starts'}")
            clock = Clock(partial)
            work(partial, clock)
            seconds = clock.close()
            (partial / _STARTED).unlink()
            record = Record(fingerprint=wanted, digest=_digest(partial), seconds=seconds)
            write_atomically(partial / _RECORD, record.model_dump_json(indent=1))
            partial.replace(final)
            self._console.print(f"{name:>12}  done in {_duration(seconds)}")
        self.done[name] = Done(final, record.digest, record.seconds)
        return self.done[name]

    def _resumable(self, partial: Path, wanted: str) -> bool:
        """Whether there is an attempt at the very same stage to go on from; makes the folder if not."""
        started = partial / _STARTED
        if started.exists() and started.read_text(encoding="utf-8") == wanted:
            return True
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
        write_atomically(started, wanted)
        return False


def _digest(folder: Path) -> str:
    """Content hash of a stage's folder, its record aside."""
    hashes = {
        path.name: hash_path(path)
        for path in sorted(folder.iterdir())
        if path.name not in (_RECORD, _STARTED)
    }
    return fingerprint("", 0, None, hashes)


def _read_record(folder: Path) -> Record | None:
    try:
        return Record.model_validate_json((folder / _RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValidationError, UnicodeDecodeError):
        return None


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
