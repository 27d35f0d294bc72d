"""What can go wrong. Every message says what was got, what was expected, and what to do."""

from __future__ import annotations


class BertlingError(Exception):
    """Base of every error that bertling raises on purpose: the user can act on its message."""


_SHOWN_PROBLEMS, _SHOWN_CHARACTERS = 50, 1000


class RecipeError(BertlingError):
    """A recipe that cannot be run: every problem found in it, one a line.

    Attributes:
        problems: all of them; the message cuts what is very long, and says how many there are beyond fifty.
    """

    def __init__(self, problems: list[str], *, source: str = "recipe") -> None:
        self.problems = problems
        self.source = source
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = [f"  - {_cut(problem)}" for problem in problems[:_SHOWN_PROBLEMS]]
        if len(problems) > _SHOWN_PROBLEMS:
            lines.append(f"  - and {len(problems) - _SHOWN_PROBLEMS} more")
        super().__init__("\n".join([f"{_cut(source)}: {count}", *lines]))


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


class DataError(BertlingError):
    """Data that cannot be read or does not fit the task."""


class ModelError(BertlingError):
    """A model that cannot be loaded, does not fit its weights, or cannot show what a loss needs."""


class ExportError(BertlingError):
    """An export that cannot be made, does not answer as its model does, or has nowhere to go."""


class ServingError(BertlingError):
    """A service that cannot start: an address it cannot have, or limits that let nothing in."""


class ShapeError(BertlingError, ValueError):
    """Tensors or numbers that do not fit together."""


class NonFiniteLossError(BertlingError):
    """A loss or a gradient that is NaN or infinite; training stops before the weights take it in."""


class BatchMemoryError(BertlingError):
    """A batch for which there is not enough memory."""


class RunFolderError(BertlingError):
    """A run folder that belongs to another recipe, is in use, has no room, or holds what is not ours."""


class WorkerError(BertlingError):
    """A process that shared the work died; what it had finished is kept."""


class MissingExtraError(BertlingError):
    """An optional dependency that is not installed."""

    def __init__(self, package: str, *, extra: str, needed_for: str) -> None:
        super().__init__(
            f"{needed_for} needs the package {package!r}, which is not installed. "
            f"Install it with: pip install 'bertling[{extra}]'"
        )


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM ended a run, which goes on from its last checkpoint when it is started again.

    Attributes:
        signal: its number.
    """

    def __init__(self, signal: int) -> None:
        self.signal = signal
        super().__init__(f"ended by signal {signal}")
