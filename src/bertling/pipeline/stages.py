"""Stages that are done once, and go on where they were killed.

A stage works in ``stages/NAME.partial``, and keeps in ``scratch`` there what it needs only until it is done,
such as checkpoints. When it is done its record is written, ``scratch`` deleted and the folder renamed to
``stages/NAME``: so a folder without ``.partial`` is always whole. A stage runs again if its fingerprint
(version, settings, inputs by content) or the content of its folder is not what the record says.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console

from bertling.errors import RunFolderError
from bertling.files import write_whole
from bertling.pipeline.fingerprint import fingerprint, hash_path
from bertling.pipeline.processes import Processes

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
        write_whole(self._file, json.dumps(self.seconds))


Work = Callable[[Path, Clock], None]
"""Fills the folder, again in the same one after a kill; notes the time when it could go on from there."""


def scratch(folder: Path) -> Path:
    """Where a stage that works in ``folder`` keeps what is deleted when it is done, such as checkpoints."""
    return folder / _SCRATCH


def folder_size(folder: Path) -> int:
    """Bytes of all files in a folder, or 0 where there is none."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Stages:
    """The stages of one run folder.

    Args:
        folder: ``RUN/stages``.
        console: says what runs and what is skipped.
        processes: those of the run; the first decides what runs, and writes the records.
    """

    def __init__(self, folder: Path, console: Console, processes: Processes) -> None:
        self._folder = folder
        self._console = console
        self._processes = processes
        self._others: list[Path] = []
        self.done: dict[str, Done] = {}

    def begun(self, name: str) -> int | None:
        """Bytes that lie in a stage's folder: 0 for one that was not begun, None for one that was finished.

        Finished is what has been, maybe with other settings: what they come to is not looked at.
        """
        if any((folder / name).exists() for folder in (self._folder, *self._others)):
            return None
        return folder_size(self._partial(name))

    def take_from(self, others: Sequence[Path]) -> None:
        """Take finished stages that are the same from other runs, instead of running them again.

        Args:
            others: their ``RUN/stages``; the first that has a stage is asked for it.
        """
        self._others = list(others)

    def run(
        self,
        name: str,
        *,
        version: int,
        settings: Any,
        inputs: Mapping[str, str],
        work: Work,
        together: bool = False,
    ) -> Done:
        """Make sure that a stage is done, and return it.

        Args:
            name: of the stage and its folder.
            version: raised when the stage's code changes what it computes.
            settings: its own settings, as JSON values.
            inputs: name -> content hash.
            work: does it.
            together: all processes of the run do it together; otherwise the first does it for all.
        """
        wanted = fingerprint(name, version, settings, inputs)
        partial = self._partial(name)
        record = self._processes.from_first(lambda: self._finished_or_started(name, wanted, together))
        if record is None:
            clock = Clock(partial)
            if together or self._processes.first:
                work(partial, clock)
            self._processes.wait()
            record = self._processes.from_first(lambda: self._finish(name, wanted, clock))
        self.done[name] = Done(self._folder / name, record.digest, record.seconds)
        return self.done[name]

    def _partial(self, name: str) -> Path:
        return self._folder / f"{name}.partial"

    def _finished_or_started(self, name: str, wanted: str, together: bool) -> Record | None:
        """The record of a stage that is done; for another None, and its folder is ready for the work."""
        final, partial = self._folder / name, self._partial(name)
        if record := _record_of_whole(final, wanted):
            self._console.print(f"[dim]{name:>12}  unchanged, skipped[/dim]")
            return record
        if final.exists():
            shutil.rmtree(final)
        if record := _record_of_whole(partial, wanted):
            return self._publish(name, record)
        if record := self._taken(name, wanted):
            return self._publish(name, record, how="taken from another run")
        started = scratch(partial) / _STARTED
        before, processes = started.read_text(encoding="utf-8").split() if started.exists() else ("", "")
        again = before == wanted
        if again and together and int(processes) != self._processes.count:
            raise RunFolderError(
                f"stage {name} was begun with {processes} processes, and this run has "
                f"{self._processes.count}: start as many to go on, or delete {partial} to begin it anew"
            )
        if not again:
            if partial.exists():
                shutil.rmtree(partial)
            scratch(partial).mkdir(parents=True)
            write_whole(started, f"{wanted} {self._processes.count}")
        self._console.print(f"{name:>12}  {'goes on' if again else 'starts'}")
        return None

    def _taken(self, name: str, wanted: str) -> Record | None:
        """The record of a stage that another run has finished, and its files here."""
        partial = self._partial(name)
        for other in self._others:
            if record := _record_of_whole(other / name, wanted):
                shutil.rmtree(partial, ignore_errors=True)
                # A finished stage's files are never written to, so that several runs can share them: links,
                # where possible, cost no disk.
                shutil.copytree(other / name, partial, copy_function=_link_or_copy)
                return record
        return None

    def _finish(self, name: str, wanted: str, clock: Clock) -> Record:
        """Write the record, which says that all is done."""
        partial = self._partial(name)
        record = Record(fingerprint=wanted, digest=_digest(partial), seconds=clock.seconds)
        write_whole(partial / _RECORD, record.model_dump_json(indent=1))
        return self._publish(name, record)

    def _publish(self, name: str, record: Record, *, how: str = "") -> Record:
        partial = self._partial(name)
        shutil.rmtree(scratch(partial), ignore_errors=True)
        partial.replace(self._folder / name)
        self._console.print(f"{name:>12}  {how or f'done in {_duration(record.seconds)}'}")
        return record


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another disk, or one that knows no links
        shutil.copy2(source, target)


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
