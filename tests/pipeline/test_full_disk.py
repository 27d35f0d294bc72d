"""A disk that takes no more: an error in words, and the same command goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.pipeline import words
from tests.pipeline.killing import EVERY_OTHER_STEP, LEAN, assert_same_models

from bertling.errors import RunFolderError
from bertling.pipeline.run_folder import clear_disk_errors
from bertling.recipe.load import dump_recipe

pytestmark = pytest.mark.faults


@pytest.mark.slow
def test_a_disk_that_takes_no_more_is_an_error_in_words_and_the_run_goes_on_afterwards(task: Path) -> None:
    """The limits meet the recipe, a tokenizer, a model and a checkpoint, written by different libraries."""
    recipe = task / "small.toml"
    always = [f"{stage}.teacher_cache=always" for stage in ("intermediate", "prediction")]
    settings = [*LEAN, *EVERY_OTHER_STEP, "general=none", *always]
    settings = [setting for setting in settings if not setting.startswith(("general.", "baseline."))]
    recipe.write_text(dump_recipe(words.read(task, *settings)))
    limits = ("1000", "30000", "100000", "200000")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("limited.py")), str(recipe), *limits],
        env=words.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    *limited, last = json.loads(done.stdout.splitlines()[-1])
    for code, message in limited:
        assert code == 2, message
        assert "File too large" in message or "could not be written" in message
        assert "choose another output" in message
        assert "Traceback" not in message
    assert last[0] == 0, last[1]
    undisturbed = words.run(words.read(task, *settings, f"output={task / 'undisturbed'}"))
    assert_same_models(words.read(task, *settings).folder, undisturbed.folder)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError(30, "Read-only file system"), "Read-only file system"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "No space left on device"),
        (
            RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/0"),
            "could not be writ",
        ),
        (
            RuntimeError("[enforce fail at inline_container.cc:6] . unexpected pos 3 vs 2"),
            "could not be writ",
        ),
    ],
)
def test_what_the_disk_refused_is_told_however_it_is_said(error: Exception, said: str) -> None:
    with pytest.raises(RunFolderError, match=said), clear_disk_errors(Path("run")):
        raise error


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), RuntimeError("shape 28")])
def test_other_errors_are_not_blamed_on_the_disk(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, clear_disk_errors(Path("run")):
        raise error
    assert caught.value is error
