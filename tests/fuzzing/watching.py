"""What an input must not do: raise any error but our own, take long or much memory, leave its folder."""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from bertling.errors import BertlingError

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Event of Python's audit hooks -> which of its arguments are paths that change.
_CHANGING = {
    "os.mkdir": (0,),
    "os.remove": (0,),
    "os.rename": (0, 1),
    "os.rmdir": (0,),
    "os.symlink": (1,),
    "os.link": (1,),
    "os.truncate": (0,),
    "shutil.rmtree": (0,),
}
_WITHOUT_FOLDER = ("os.truncate", "shutil.rmtree")
_RUNNING = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen", "socket.connect")
_LONGEST_MESSAGE = 10_000


class TooLong(BaseException):
    """An input took more processor time than it may."""


class Watch:
    """Calls a target, and keeps each new kind of finding with the input that showed it.

    Args:
        scratch: the one folder that may change.
        findings: where inputs and tracebacks are kept.
        seconds: of processor time that an input may take.
        memory_bytes: that an input may add to the most that the process has ever held.
    """

    def __init__(self, scratch: Path, findings: Path, *, seconds: float, memory_bytes: int) -> None:
        self._scratch, self._findings = str(scratch.resolve()), findings
        self._seconds, self._memory_bytes = seconds, memory_bytes
        self._on = False
        self._done: list[str] = []
        self.outcomes: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        sys.addaudithook(self._audit)
        signal.signal(signal.SIGPROF, _too_long)

    def call(self, target: Callable[[bytes], object], data: bytes) -> None:
        """One input."""
        self._done = []
        before = _peak_bytes()
        outcome = "taken"
        self._on = True
        signal.setitimer(signal.ITIMER_PROF, self._seconds)
        try:
            target(data)
        except BertlingError as error:
            self._on = False
            outcome = "refused"
            if len(str(error)) > _LONGEST_MESSAGE:
                self._keep(f"a message of more than {_LONGEST_MESSAGE} characters", data, error)
        except BaseException as error:
            self._on = False
            outcome = "failed"
            self._keep(_kind(error), data, error)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            self._on = False
        self.outcomes[outcome] += 1
        for event in self._done:
            self._keep(event, data, None)
        if _peak_bytes() - before > self._memory_bytes:
            self._keep(f"more than {self._memory_bytes >> 20} MiB of memory", data, None)

    def _keep(self, kind: str, data: bytes, error: BaseException | None) -> None:
        self.kinds[kind] += 1
        if self.kinds[kind] > 1:
            return
        name = hashlib.sha256(kind.encode("utf-8", "replace")).hexdigest()[:12]
        self._findings.mkdir(parents=True, exist_ok=True)
        (self._findings / f"{name}.input").write_bytes(data)
        shown = "".join(traceback.format_exception(error))[-8000:] if error else ""
        (self._findings / f"{name}.txt").write_bytes(f"{kind}\n\n{shown}".encode("utf-8", "replace"))

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self._on:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & _WRITING:
                self._check(event, path)
        elif event in _CHANGING and (event in _WITHOUT_FOLDER or -1 in arguments):
            # A path in an open folder, as shutil.rmtree names it, is one of the folder that it was given.
            for index in _CHANGING[event]:
                self._check(event, arguments[index])
        elif event in _RUNNING:
            self._done.append(f"{event} {str(arguments)[:200]}")
        elif event == "exec" and str(getattr(arguments[0], "co_filename", "")).startswith(self._scratch):
            self._done.append(f"code ran: {arguments[0].co_filename}")

    def _check(self, event: str, path: object) -> None:
        if not isinstance(path, str | bytes | os.PathLike):
            return
        # Not resolved, which would raise further events; links inside the folder are not followed.
        absolute = os.path.abspath(os.fsdecode(path))  # noqa: PTH100
        if not f"{absolute}/".startswith(f"{self._scratch}/") and absolute != os.devnull:
            self._done.append(f"{event} outside of the folder: {absolute[:200]}")


def _kind(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/bertling/" in frame.filename]
    where = f"{Path(ours[-1].filename).name}:{ours[-1].name}:{ours[-1].lineno}" if ours else "outside"
    return f"{type(error).__name__} at {where}"


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _too_long(number: int, frame: FrameType | None) -> None:
    raise TooLong
