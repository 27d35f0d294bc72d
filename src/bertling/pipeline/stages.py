"""Stages that are done once, and go on where they were killed.

A stage works in ``stages/NAME.partial``, and keeps in ``scratch`` there what it needs only until it is done,
such as checkpoints. When it is done its record is written, ``scratch`` deleted and the folder renamed to
``stages/NAME``: so a folder without ``.partial`` is always whole. A stage runs again if its fingerprint
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
_SCRATCH = "scratch"
_STARTED = "started"


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
    """Wall time of a stage over all its attempts, as far as they were noted down in its folder."""

    def __init__(self, folder: Path) -> None:
        self._file = scratch(folder) / "seconds.json"
        self._before = float(json.loads(self._file.read_text())) if self._file.exists() else 0.0
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Since the first attempt began."""
        return self._before + time.perf_counter() - self._start

    def note(self) -> None:
        """Keep the time so far for an attempt that goes on from here."""
        write_atomically(self._file, json.dumps(self.seconds))


Work = Callable[[Path, Clock], None]
"""Fills the folder, again in the same one after a kill; notes the time when it could go on from there."""


def scratch(folder: Path) -> Path:
    """Where a stage that works in ``folder`` keeps what is deleted when it is done, such as checkpoints."""
    return folder / _SCRATCH


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
        record = _record_of_whole(final, wanted)
        if record:
            self._console.print(f"[dim]{name:>12}  unchanged, skipped[/dim]")
        else:
            if final.exists():
                shutil.rmtree(final)
            record = _record_of_whole(partial, wanted) or self._work(name, partial, wanted, work)
            shutil.rmtree(scratch(partial), ignore_errors=True)
            partial.replace(final)
            self._console.print(f"{name:>12}  done in {_duration(record.seconds)}")
        self.done[name] = Done(final, record.digest, record.seconds)
        return self.done[name]

    def _work(self, name: str, partial: Path, wanted: str, work: Work) -> Record:
        """Begin, or go on with an attempt at the very same stage; the record is written last."""
        started = scratch(partial) / _STARTED
        again = started.exists() and started.read_text(encoding="utf-8") == wanted
        if not again:
            if partial.exists():
                shutil.rmtree(partial)
            scratch(partial).mkdir(parents=True)
            write_atomically(started, wanted)
        self._console.print(f"{name:>12}  {'goes on' if again else 'starts'}")
        clock = Clock(partial)
        work(partial, clock)
        record = Record(fingerprint=wanted, digest=_digest(partial), seconds=clock.seconds)
        write_atomically(partial / _RECORD, record.model_dump_json(indent=1))
        return record


def _digest(folder: Path) -> str:
    """Content hash of a stage's folder, its record, its scratch and hidden files aside."""
    hashes = {
        path.name: hash_path(path)
        for path in sorted(folder.iterdir())
        if path.name not in (_RECORD, _SCRATCH) and not path.name.startswith(".")
    }
    return fingerprint("", 0, None, hashes)


def _record_of_whole(folder: Path, wanted: str) -> Record | None:
    """The record of a finished stage, if it is the one that is wanted and its folder is as it was made."""
    record = _read_record(folder)
    return record if record and record.fingerprint == wanted and record.digest == _digest(folder) else None


def _read_record(folder: Path) -> Record | None:
    try:
        return Record.model_validate_json((folder / _RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValidationError, UnicodeDecodeError):
        return None


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
