"""Whose the run folder is: one recipe's, one run at a time."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from filelock import FileLock
from tests.pipeline import words

from bertling.errors import RunFolderError
from bertling.pipeline.run_folder import claimed
from bertling.recipe.load import load_recipe

pytestmark = pytest.mark.faults


def refusal(task: Path, *overrides: str) -> str:
    with pytest.raises(RunFolderError) as caught, claimed(words.read(task, *overrides)):
        pass
    return str(caught.value)


def test_the_folder_holds_the_recipe_that_runs_with_every_default(task: Path) -> None:
    recipe = words.read(task, "seed=7")
    with claimed(recipe) as folder:
        assert folder == task / "run"
    assert load_recipe(folder / "recipe.toml") == recipe


def test_changed_settings_belong_to_the_same_recipe(task: Path) -> None:
    for rate in (0.1, 0.2):
        recipe = words.read(task, f"prediction.learning_rate={rate}")
        with claimed(recipe) as folder:
            assert load_recipe(folder / "recipe.toml") == recipe


@pytest.mark.parametrize(("what", "override"), [("name", "name=phrases"), ("task", "task.name=phrases")])
def test_a_folder_of_another_recipe_is_refused(task: Path, what: str, override: str) -> None:
    with claimed(words.read(task)) as folder:
        before = words.contents(folder)
    message = refusal(task, override)
    assert f"{what} 'words', this one has 'phrases'" in message
    assert "choose another output" in message
    assert words.contents(folder) == before


def test_a_folder_with_something_else_in_it_is_refused_and_left_alone(task: Path) -> None:
    folder = task / "run"
    folder.mkdir()
    for name in ("thesis.tex", "a.bib", "b.bib", "c.bib"):
        (folder / name).write_text("years of work")
    message = refusal(task)
    assert re.search(r"holds a\.bib, b\.bib, c\.bib and more but no recipe\.toml", message)
    assert "empty or new folder" in message
    assert {path.name for path in folder.iterdir()} == {"thesis.tex", "a.bib", "b.bib", "c.bib", ".lock"}


def test_an_unreadable_recipe_in_the_folder_is_refused(task: Path) -> None:
    (task / "run").mkdir()
    (task / "run" / "recipe.toml").write_text("name = ")
    message = refusal(task)
    assert "recipe.toml cannot be read" in message
    assert "delete the folder" in message


def test_a_kill_while_the_folder_was_claimed_does_not_lock_it_forever(task: Path) -> None:
    (task / "run").mkdir()
    (task / "run" / ".lock").touch()
    (task / "run" / "recipe.toml.partial").write_text("name = ")
    with claimed(words.read(task)) as folder:
        assert (folder / "recipe.toml").exists()


def test_a_second_run_at_the_same_time_is_refused(task: Path) -> None:
    (task / "run").mkdir()
    with FileLock(task / "run" / ".lock"):
        assert "another run works in" in refusal(task)
    with claimed(words.read(task)):
        pass


@pytest.mark.parametrize("output", ["train.tsv", "train.tsv/run"])
def test_a_file_in_the_place_of_the_folder_is_refused(task: Path, output: str) -> None:
    before = (task / "train.tsv").read_bytes()
    message = refusal(task, f"output={task / output}")
    assert f"cannot write in the run folder {task / output}" in message
    assert "choose another output" in message
    assert (task / "train.tsv").read_bytes() == before


def test_a_folder_that_takes_no_files_is_refused(task: Path) -> None:
    """Root may write anywhere, but not even root in a file system of the kernel's."""
    if not Path("/proc/self").is_dir():
        pytest.skip("no /proc on this system")
    assert "cannot write in the run folder /proc/bertling" in refusal(task, "output=/proc/bertling")


@pytest.mark.parametrize(
    "error", [PermissionError(13, "Permission denied"), FileExistsError(17, "File exists")]
)
def test_errors_of_the_run_itself_are_not_blamed_on_the_folder(task: Path, error: OSError) -> None:
    with pytest.raises(type(error)) as caught, claimed(words.read(task)):
        raise error
    assert caught.value is error


def test_the_folder_is_free_again_after_an_error(task: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), claimed(words.read(task)):
            raise KeyError
