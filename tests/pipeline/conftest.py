from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import tiny
from tests.pipeline import words


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    yield from tiny.one_thread()


@pytest.fixture(scope="package")
def finished(tmp_path_factory: pytest.TempPathFactory) -> words.Run:
    """An undisturbed run of every stage, to be looked at and left as it is."""
    folder = tmp_path_factory.mktemp("finished")
    words.write_task(folder)
    return words.run(words.read(folder))


@pytest.fixture
def run(finished: words.Run, tmp_path: Path) -> Path:
    """The folder of a copy of the finished run, to be changed. Its data stay where they are."""
    shutil.copytree(finished.folder, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A folder of its own with the files of the task and ``recipe.toml``."""
    words.write_task(tmp_path)
    return tmp_path
