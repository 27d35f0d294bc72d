"""Stages are done once, run again where they must, and go on where a kill left them."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from bertling.pipeline.processes import Processes
from bertling.pipeline.stages import Clock, Done, Stages, scratch


class Killed(BaseException):
    """Stands for a kill: nothing that is above may clean up after it."""


class Kitchen:
    """Runs one stage named ``soup``, and counts how often its work was done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = 0
        self.console = Console(file=io.StringIO(), width=100)

    def run(
        self,
        *,
        version: int = 1,
        settings: object = "salt",
        inputs: dict[str, str] | None = None,
        work: Callable[[Path, Clock], None] | None = None,
    ) -> Done:
        def cook(folder: Path, clock: Clock) -> None:
            self.calls += 1
            (work or serve)(folder, clock)

        stages = Stages(self.folder, self.console, Processes())
        done = stages.run("soup", version=version, settings=settings, inputs=inputs or {}, work=cook)
        assert stages.done == {"soup": done}
        return done

    @property
    def printed(self) -> str:
        assert isinstance(self.console.file, io.StringIO)
        return self.console.file.getvalue()


def serve(folder: Path, clock: Clock) -> None:
    (folder / "deep").mkdir(exist_ok=True)
    (folder / "soup.txt").write_text("hot")
    (folder / "deep" / "spoon.txt").write_text("silver")
    (scratch(folder) / "pot").mkdir(exist_ok=True)


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    return Kitchen(tmp_path / "stages")


def test_a_stage_is_done_once(kitchen: Kitchen) -> None:
    first = kitchen.run()
    second = kitchen.run()
    assert kitchen.calls == 1
    assert second == first
    assert sorted(path.name for path in first.folder.iterdir()) == ["deep", "soup.txt", "stage.json"]
    assert [path.name for path in kitchen.folder.iterdir()] == ["soup"]
    assert [line.split()[1] for line in kitchen.printed.splitlines()] == ["starts", "done", "unchanged,"]


@pytest.mark.parametrize("change", [{"version": 2}, {"settings": "pepper"}, {"inputs": {"water": "cold"}}])
def test_another_version_setting_or_input_makes_it_run_again(
    kitchen: Kitchen, change: dict[str, object]
) -> None:
    kitchen.run()
    kitchen.run(**change)  # type: ignore[arg-type]
    assert kitchen.calls == 2
    kitchen.run(**change)  # type: ignore[arg-type]
    assert kitchen.calls == 2


def truncate(folder: Path) -> None:
    (folder / "soup.txt").write_text("ho")


def tamper(folder: Path) -> None:
    (folder / "deep" / "spoon.txt").write_text("plated")


def delete(folder: Path) -> None:
    (folder / "soup.txt").unlink()


def add(folder: Path) -> None:
    (folder / "fly.txt").touch()


def delete_record(folder: Path) -> None:
    (folder / "stage.json").unlink()


def halve_record(folder: Path) -> None:
    record = (folder / "stage.json").read_text()
    (folder / "stage.json").write_text(record[: len(record) // 2])


def break_record(folder: Path) -> None:
    (folder / "stage.json").write_bytes(b"\xff\xfe\x00")


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.faults
@pytest.mark.parametrize(
    "damage", [truncate, tamper, delete, add, delete_record, halve_record, break_record, empty]
)
def test_a_damaged_stage_runs_again(kitchen: Kitchen, damage: Callable[[Path], None]) -> None:
    first = kitchen.run()
    damage(first.folder)
    again = kitchen.run()
    assert kitchen.calls == 2
    assert again.digest == first.digest
    assert sorted(path.name for path in again.folder.iterdir()) == ["deep", "soup.txt", "stage.json"]


def test_hidden_files_such_as_a_file_managers_do_no_harm(kitchen: Kitchen) -> None:
    first = kitchen.run()
    (first.folder / ".DS_Store").touch()
    kitchen.run()
    assert kitchen.calls == 1


@pytest.mark.faults
def test_a_killed_stage_goes_on_in_the_same_folder(kitchen: Kitchen) -> None:
    def killed(folder: Path, clock: Clock) -> None:
        (scratch(folder) / "chopped.txt").write_text("carrots")
        raise Killed

    def go_on(folder: Path, clock: Clock) -> None:
        assert (scratch(folder) / "chopped.txt").read_text() == "carrots"
        serve(folder, clock)

    with pytest.raises(Killed):
        kitchen.run(work=killed)
    assert not (kitchen.folder / "soup").exists()
    kitchen.run(work=go_on)
    assert [line.split()[1:3] for line in kitchen.printed.splitlines()[:2]] == [["starts"], ["goes", "on"]]


def test_an_attempt_at_something_else_is_thrown_away(kitchen: Kitchen) -> None:
    def killed(folder: Path, clock: Clock) -> None:
        (folder / "half.txt").touch()
        raise Killed

    with pytest.raises(Killed):
        kitchen.run(settings="pepper", work=killed)
    done = kitchen.run()
    assert not (done.folder / "half.txt").exists()
    assert "goes on" not in kitchen.printed


@pytest.mark.parametrize("left", ["all of the scratch", "half of the scratch", "no scratch"])
def test_a_stage_that_was_killed_when_its_work_was_done_is_not_done_again(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    def die(folder: Path, **options: object) -> None:
        if left == "no scratch":
            remove(folder)
        elif left == "half of the scratch":
            (folder / "started").unlink()
        raise Killed

    remove = shutil.rmtree
    with monkeypatch.context() as patched:
        patched.setattr("bertling.pipeline.stages.shutil.rmtree", die)
        with pytest.raises(Killed):
            kitchen.run()
    assert not (kitchen.folder / "soup").exists()
    done = kitchen.run()
    assert kitchen.calls == 1
    assert [path.name for path in kitchen.folder.iterdir()] == ["soup"]
    assert not scratch(done.folder).exists()


@pytest.mark.faults
def test_a_finished_attempt_that_was_damaged_is_not_taken(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(folder: Path, **options: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr("bertling.pipeline.stages.shutil.rmtree", die)
        with pytest.raises(Killed):
            kitchen.run()
    (kitchen.folder / "soup.partial" / "soup.txt").write_text("cold")
    done = kitchen.run()
    assert kitchen.calls == 2
    assert (done.folder / "soup.txt").read_text() == "hot"


def test_an_error_keeps_what_was_done_for_the_next_attempt(kitchen: Kitchen) -> None:
    def fail(folder: Path, clock: Clock) -> None:
        serve(folder, clock)
        raise ValueError("burnt")

    with pytest.raises(ValueError, match="burnt"):
        kitchen.run(work=fail)
    assert (kitchen.folder / "soup.partial" / "soup.txt").read_text() == "hot"
    assert "done" not in kitchen.printed


def test_seconds_are_those_of_all_attempts_up_to_what_they_noted(
    kitchen: Kitchen, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("bertling.pipeline.stages.time.perf_counter", lambda: now)

    def killed(folder: Path, clock: Clock) -> None:
        nonlocal now
        now += 5
        clock.note()
        now += 3  # lost: nothing was kept of it
        raise Killed

    def last(folder: Path, clock: Clock) -> None:
        nonlocal now
        now += 2
        serve(folder, clock)

    for _ in range(2):
        with pytest.raises(Killed):
            kitchen.run(work=killed)
        now += 1000  # between the attempts nobody waits
    assert kitchen.run(work=last).seconds == pytest.approx(12)
    assert kitchen.run().seconds == pytest.approx(12)
