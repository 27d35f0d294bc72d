"""The step for datatrove's executors, on two machines: processes that share nothing but folders."""

from __future__ import annotations

import importlib.util
import os
import pickle
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from tests.augmentation.stub_finder import StubSettings, asked

from bertling.augmentation import datatrove_step
from bertling.augmentation.augmented import load_augmented, shard_path
from bertling.augmentation.datatrove_step import AugmentationStep
from bertling.augmentation.job import augment, missing_shards, prepare
from bertling.data.examples import Examples
from bertling.errors import DataError, MissingExtraError

ROOT = Path(__file__).parents[2]
EXAMPLES = Examples([f"row {number} of some text" for number in range(10)], None, [0, 1] * 5, ["no", "yes"])
ROWS_OF_SHARD_2 = 4


def prepared(folder: Path) -> Path:
    prepare(EXAMPLES, folder, seed=3, shard_rows=2)
    return folder


def expected(folder: Path) -> Examples:
    augment(EXAMPLES, StubSettings().build, folder, seed=3, shard_rows=2)
    return load_augmented(folder)


def start(folder: Path, notes: Path, rank: int, machines: int, dies_at: str = "") -> subprocess.Popen[str]:
    """A machine; its process has children of its own, hence the session."""
    notes.mkdir(exist_ok=True)
    arguments = [folder, notes, folder / "logs", rank, machines, dies_at]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.augmentation.machine", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> int:
    """How it ended; what is left of its session ends with it."""
    code = process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    output, _ = process.communicate()
    assert code in (0, -signal.SIGKILL), output
    return code


@pytest.mark.parametrize("tasks", [1, 2, 4, 7])
def test_the_ranks_share_out_the_shards_and_the_last_one_finishes(tmp_path: Path, tasks: int) -> None:
    folder = prepared(tmp_path / "out")
    for rank in range(tasks):
        with pytest.raises(DataError, match="no finished augmentation"):
            load_augmented(folder)
        step = AugmentationStep(folder, StubSettings().build)
        assert list(step.run(None, rank, tasks)) == []
        assert not set(missing_shards(folder)) & set(range(rank, 5, tasks))
        if not missing_shards(folder):
            break
    assert load_augmented(folder) == expected(tmp_path / "one")


def test_documents_of_other_steps_pass_through(tmp_path: Path) -> None:
    documents = iter(["one", "two"])
    step = AugmentationStep(prepared(tmp_path), StubSettings().build)
    assert list(step.run(documents)) == ["one", "two"]


def test_the_step_can_be_sent_to_another_machine(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "out")
    step = AugmentationStep(folder, StubSettings().build)
    sent = pickle.loads(pickle.dumps(step))
    list(sent.run(None, 0, 1))
    assert load_augmented(folder) == expected(tmp_path / "one")


def test_without_datatrove_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datatrove.data", None)
    spec = importlib.util.spec_from_file_location("imported_anew", datatrove_step.__file__)
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(MissingExtraError, match=r"pip install 'bertling\[jobs\]'"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.mark.slow
@pytest.mark.faults
def test_two_machines_of_which_one_is_killed(tmp_path: Path) -> None:
    """Rank 0 of 2 makes the shards 0, 2 and 4, and is killed in the middle; rank 1 makes 1 and 3."""
    folder = prepared(tmp_path / "out")
    dies_at = EXAMPLES.texts[ROWS_OF_SHARD_2]
    machines = [start(folder, tmp_path / "first", rank, 2, dies_at) for rank in (0, 1)]
    assert [ended(machine) for machine in machines] == [-signal.SIGKILL, 0]
    assert missing_shards(folder) == [2, 4]
    with pytest.raises(DataError, match="no finished augmentation"):
        load_augmented(folder)
    kept = {number: shard_path(folder, number).stat() for number in (0, 1, 3)}

    machines = [start(folder, tmp_path / "again", rank, 2) for rank in (0, 1)]
    assert [ended(machine) for machine in machines] == [0, 0]
    assert asked(tmp_path / "again") == [EXAMPLES.texts[4:6], EXAMPLES.texts[8:10]]
    for number, before in kept.items():
        now = shard_path(folder, number).stat()
        assert (now.st_ino, now.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert load_augmented(folder) == expected(tmp_path / "one")
