"""Processes of one machine that share out the shards, and what happens when one of them dies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import torch
from tests.augmentation.stub_finder import StubFinder, StubSettings, asked, processes

from bertling.augmentation.augmented import load_augmented, read_sizes
from bertling.augmentation.job import augment, missing_shards
from bertling.augmentation.workers import augment_with_workers
from bertling.data.examples import Examples
from bertling.errors import DataError, RunFolderError, WorkerError

ROOT = Path(__file__).parents[2]
EXAMPLES = Examples([f"row {number} of some text" for number in range(24)], None, [0, 1] * 12, ["no", "yes"])


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """For the processes, which import the stub by its name."""
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    return folder


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("shard-*"))}


def states(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("shard-*")}


def by_one(folder: Path) -> dict[str, bytes]:
    augment(EXAMPLES, StubSettings().build, folder, seed=3, shard_rows=2)
    return shards(folder)


def alive(process: int) -> bool:
    """One that nobody has waited for yet is none."""
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@dataclass(frozen=True)
class NotesThreads(StubSettings):
    """Settings that note how many threads torch has where they are used."""

    def build(self) -> StubFinder:
        assert self.notes
        (self.notes / f"{os.getpid()}.threads").write_text(str(torch.get_num_threads()))
        return super().build()


class FailsToBuild:
    """Stands for settings that name a model which is not there."""

    def build(self) -> StubFinder:
        raise DataError("there is no model: download it")


@pytest.mark.slow
def test_three_workers_write_the_same_bytes_as_one(
    tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    seen: list[tuple[int, int]] = []
    folder = tmp_path / "out"
    sizes = augment_with_workers(
        EXAMPLES,
        # slow enough that every process gets a share
        NotesThreads(notes, seconds=0.5).build,
        folder,
        workers=3,
        seed=3,
        shard_rows=2,
        progress=lambda *count: seen.append(count),
    )
    assert shards(folder) == by_one(tmp_path / "one")
    assert sizes == read_sizes(folder)
    assert seen == [(done, 24) for done in range(0, 25, 2)]
    assert len(asked(notes)) == 12
    assert 1 < len(processes(notes)) <= 3
    assert os.getpid() not in processes(notes)
    assert {note.read_text() for note in notes.glob("*.threads")} == {"2"}


def test_one_worker_is_this_process(tmp_path: Path, notes: Path) -> None:
    augment_with_workers(
        EXAMPLES, StubSettings(notes).build, tmp_path / "out", workers=1, seed=3, shard_rows=2
    )
    assert processes(notes) == {os.getpid()}
    assert shards(tmp_path / "out") == by_one(tmp_path / "one")


def test_nothing_left_to_do_starts_no_process(tmp_path: Path) -> None:
    by_one(tmp_path)
    sizes = augment_with_workers(EXAMPLES, FailsToBuild().build, tmp_path, workers=2, seed=3, shard_rows=2)
    assert sizes == read_sizes(tmp_path)
    with pytest.raises(RunFolderError, match="seed 3, now 4"):
        augment_with_workers(EXAMPLES, FailsToBuild().build, tmp_path, workers=2, seed=4, shard_rows=2)


@pytest.mark.slow
def test_an_error_in_a_worker_is_the_error_of_the_job(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no model: download it"):
        augment_with_workers(EXAMPLES, FailsToBuild().build, tmp_path, workers=2, seed=3, shard_rows=2)


@pytest.mark.slow
@pytest.mark.faults
def test_a_worker_that_is_killed_ends_the_job_and_the_next_run_makes_what_is_missing(
    tmp_path: Path, notes: Path
) -> None:
    folder = tmp_path / "out"
    finder = StubSettings(notes, dies_at=EXAMPLES.texts[12], seconds=0.1).build
    with pytest.raises(WorkerError, match=r"of 12 shards are finished\. Run it again"):
        augment_with_workers(EXAMPLES, finder, folder, workers=2, seed=3, shard_rows=2)
    assert (notes / "died").exists()
    assert not any(map(alive, processes(notes)))
    before, missing = states(folder), missing_shards(folder)
    assert 6 in missing
    assert len(before) >= 4
    for note in notes.glob("*.txt"):
        note.unlink()

    augment_with_workers(EXAMPLES, finder, folder, workers=2, seed=3, shard_rows=2)
    assert sorted(asked(notes)) == sorted(EXAMPLES.texts[2 * shard : 2 * shard + 2] for shard in missing)
    assert {name: states(folder)[name] for name in before} == before
    assert shards(folder) == by_one(tmp_path / "one")
    assert not list(folder.glob("*.partial"))


@pytest.mark.slow
@pytest.mark.faults
def test_a_job_that_is_killed_takes_its_workers_along(tmp_path: Path, notes: Path) -> None:
    folder = tmp_path / "out"
    job = subprocess.Popen([sys.executable, "-m", "tests.augmentation.two_workers", folder, notes], cwd=ROOT)
    while len(processes(notes)) < 2:
        assert job.poll() is None
        time.sleep(0.01)
    job.kill()
    job.wait()
    while any(map(alive, processes(notes))):
        time.sleep(0.01)
    before = states(folder)
    augment_with_workers(EXAMPLES, StubSettings().build, folder, workers=1, seed=3, shard_rows=2)
    assert {name: states(folder)[name] for name in before} == before
    assert shards(folder) == by_one(tmp_path / "one")
    assert load_augmented(folder).label_names == ["no", "yes"]
