"""The commands put together, and how their errors look."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

from cyclopts import App, CycloptsError
from rich.console import Console
from rich.text import Text

from bertling.cli.ablate import ablate
from bertling.cli.attention import attention
from bertling.cli.compare import compare
from bertling.cli.env import env
from bertling.cli.evaluate import evaluate
from bertling.cli.export import export
from bertling.cli.glue import glue
from bertling.cli.import_ import import_
from bertling.cli.predict import predict
from bertling.cli.recipes import recipes
from bertling.cli.report import report
from bertling.cli.run import run
from bertling.cli.serve import serve
from bertling.cli.submit import submit
from bertling.cli.trim import trim
from bertling.cli.validate import validate
from bertling.errors import BertlingError, Interrupted

FAILED = 2
_SIGNALLED = 128  # as shells have it


def _version() -> str:
    try:
        return installed_version("bertling")
    except PackageNotFoundError:
        return "unknown: bertling is not installed, only its source is on the path"


app = App(
    name="bertling",
    help="Hatch a small, fast encoder from a big one: the TinyBERT method on Hugging Face models.",
    help_format="plaintext",
    version=_version,
    suppress_keyboard_interrupt=False,
)
for command in (
    *(run, validate, compare, ablate, glue, evaluate, submit, trim, export, predict, serve),
    *(import_, recipes, report, attention, env),
):
    app.command(command)


def _visible(message: str) -> str:
    """A message that quotes data, without characters that would make the terminal do something."""
    return "".join(
        character if character.isprintable() or character in "\n\t" else ascii(character)[1:-1]
        for character in message
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: those behind the program's name; default: the process's own.

    Returns:
        exit code: 0, 2 for an error the user can act on (one message on stderr), 128 and the
        signal's number when interrupted: 130 for Ctrl-C, 143 for SIGTERM.
    """
    errors = Console(stderr=True)
    try:
        app(arguments, exit_on_error=False, error_console=errors, result_action="return_value")
    except CycloptsError:  # which cyclopts has printed
        return FAILED
    except BertlingError as error:
        errors.print(Text(_visible(str(error)), style="red"), soft_wrap=True)
        return FAILED
    except KeyboardInterrupt as interrupt:
        errors.print("stopped; the same command goes on from the last checkpoint", soft_wrap=True)
        return _SIGNALLED + (interrupt.signal if isinstance(interrupt, Interrupted) else signal.SIGINT)
    return 0
