"""Runs a recipe in processes that may write only files of so many bytes, as on a full disk; the last any.

    python limited.py recipe.toml 3000 40000

All are forked from this one, so that torch is imported only once. Prints what each said, a JSON list of exit
code and message.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import sys

import torch
import transformers.models.auto.modeling_auto
import transformers.trainer  # noqa: F401  (whatever a run imports, for the children)

import bertling.pipeline.run  # noqa: F401  (the same)
from bertling.cli import main


def attempt(recipe: str, most_bytes: int | None) -> tuple[int, str]:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        if most_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            code = main(["run", recipe])
        os.write(writing, said.getvalue().encode()[-4000:])
        os._exit(code)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        message = pipe.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), message


if __name__ == "__main__":
    recipe, *limits = sys.argv[1:]
    attempts = [attempt(recipe, limit) for limit in [*map(int, limits), None]]
    print("\n" + json.dumps(attempts))
