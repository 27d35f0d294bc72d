"""Runs a recipe in processes that die: each at a moment of its own, the last never.

    python mortal.py recipe.toml FOLDER 5 17 0.3s

The first process kills itself (as kill -9 does) just before its 5th operation that changes something in
FOLDER, the second before its 17th, the third is killed 0.3 seconds after its start, wherever it is; then the
command runs until it ends. Prints what became of each process, a line each. All are forked from this one, so
that torch is imported only once.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Any

import torch
import transformers.models.auto.modeling_auto
import transformers.trainer  # noqa: F401  (whatever a run imports, for the children)

import bertling.pipeline.run  # noqa: F401  (the same)
from bertling.cli import main

_MADE = {"os.rename", "os.mkdir", "shutil.copyfile"}
_TAKEN_AWAY = {"os.remove", "os.rmdir"}
_WRITES = os.O_WRONLY | os.O_RDWR


def die_before(operation: int, folder: str) -> None:
    """Kill this process before its ``operation``-th change in ``folder``, counted from 1."""
    left = operation

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in _TAKEN_AWAY:
            # shutil.rmtree names files by what they are called in a folder that it has opened
            counts = arguments[1] != -1 or folder in str(arguments[0])
        elif event in _MADE or (event == "open" and arguments[2] & _WRITES):
            counts = any(folder in str(argument) for argument in arguments)
        else:
            return
        left -= counts
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def attempt(recipe: str, folder: str, death: str) -> int:
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        if death.isdigit():
            die_before(int(death), folder)
        os._exit(main(["run", recipe]))
    if death.endswith("s"):
        time.sleep(float(death.removesuffix("s")))
        os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


if __name__ == "__main__":
    recipe, folder, *deaths = sys.argv[1:]
    for death in [*deaths, "never"]:
        status = os.waitstatus_to_exitcode(attempt(recipe, folder, death))
        print(f"attempt that dies at {death}: {status}", file=sys.stderr, flush=True)
        if status != -signal.SIGKILL:
            sys.exit(status)
