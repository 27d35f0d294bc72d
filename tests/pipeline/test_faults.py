"""Runs that are killed, by kill -9 and at the worst moments, end where an undisturbed one does."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.pipeline import words
from tests.pipeline.killing import EVERY_OTHER_STEP, LEAN, assert_same_models, run_to_the_end

from bertling.cli import main
from bertling.errors import BatchMemoryError
from bertling.recipe.load import dump_recipe
from bertling.training.progress import ProgressLine
from bertling.training.trainer import DistillationTrainer

pytestmark = pytest.mark.faults


class Killed(BaseException):
    """Stands for a kill inside this process."""


def interrupt(
    monkeypatch: pytest.MonkeyPatch, stage: str, step: int, how: type[BaseException] = Killed
) -> None:
    """The next run dies at the end of this step of this stage."""
    original = ProgressLine.on_step_end

    def on_step_end(self: ProgressLine, args: Any, state: Any, control: Any, **more: Any) -> None:
        original(self, args, state, control, **more)
        if f"{stage}.partial" in args.output_dir and state.global_step == step:
            raise how

    monkeypatch.setattr(ProgressLine, "on_step_end", on_step_end)


def killed(task: Path, stage: str, step: int, *overrides: str) -> Path:
    """The folder of the checkpoints that a run leaves which was killed there."""
    recipe = words.read(task, *LEAN, *overrides, f"{stage}.checkpoint_steps=2")
    with pytest.MonkeyPatch.context() as patched:
        interrupt(patched, stage, step)
        with pytest.raises(Killed):
            words.run(recipe)
    return task / "run" / "stages" / f"{stage}.partial" / "scratch" / "checkpoints"


@pytest.mark.parametrize("stage", ["general", "intermediate", "prediction"])
def test_a_run_goes_on_in_the_second_epoch(task: Path, finished: words.Run, stage: str) -> None:
    steps = {"general": 3, "intermediate": 4, "prediction": 4}[stage]
    checkpoints = killed(task, stage, step=steps + 3)
    assert list(checkpoints.glob("*/whole"))
    run = words.run(words.read(task, *LEAN))
    assert f"{stage:>12}  goes on\n" in run.printed
    assert run.printed.count("goes on") == 1
    assert_same_models(run.folder, finished.folder)


def test_half_written_checkpoints_do_not_count(task: Path, finished: words.Run) -> None:
    checkpoints = killed(task, "prediction", step=7)
    assert sorted(path.name for path in checkpoints.iterdir()) == ["checkpoint-4", "checkpoint-6"]
    newest = checkpoints / "checkpoint-6"
    (newest / "whole").unlink()
    (newest / "model.safetensors").write_bytes((newest / "model.safetensors").read_bytes()[:100])
    (newest / "trainer_state.json").unlink()
    (checkpoints / "checkpoint-8").mkdir()
    run = words.run(words.read(task, *LEAN))
    assert_same_models(run.folder, finished.folder)


def test_a_kill_while_old_checkpoints_are_deleted(task: Path, finished: words.Run) -> None:
    """Deleting makes a folder look younger than it is, and the Trainer deletes the oldest."""
    checkpoints = killed(task, "prediction", step=7)
    old, newest = checkpoints / "checkpoint-4", checkpoints / "checkpoint-6"
    tear(old)
    os.utime(old, (time.time() + 10,) * 2)
    remove = shutil.rmtree

    def die(folder: str | Path, **options: Any) -> None:
        if Path(folder) == newest:
            tear(newest)
            raise Killed
        remove(folder, **options)

    with pytest.MonkeyPatch.context() as patched, suppress(Killed):
        patched.setattr(shutil, "rmtree", die)
        words.run(words.read(task, *LEAN, "prediction.checkpoint_steps=2"))
    run = words.run(words.read(task, *LEAN))
    assert_same_models(run.folder, finished.folder)


def tear(checkpoint: Path) -> None:
    """As a kill leaves it that came while the checkpoint was deleted, before the turn of its marker."""
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        (checkpoint / name).unlink()


def test_without_any_whole_checkpoint_the_stage_begins_again(task: Path, finished: words.Run) -> None:
    for marker in killed(task, "intermediate", step=5).glob("*/whole"):
        marker.unlink()
    run = words.run(words.read(task, *LEAN))
    assert_same_models(run.folder, finished.folder)


def test_an_attempt_with_other_settings_is_not_gone_on_with(task: Path) -> None:
    checkpoints = killed(task, "prediction", 3, *words.SMALL)
    run = words.run(words.read(task, *words.SMALL, "prediction.learning_rate=1e-3"))
    assert "goes on" not in run.printed
    assert not checkpoints.exists()
    assert run.results.histories["prediction"][-1].step == 4


def test_other_intervals_of_logs_and_checkpoints_go_on(
    task: Path, finished: words.Run, capfd: pytest.CaptureFixture[str]
) -> None:
    killed(task, "prediction", step=5)
    capfd.readouterr()
    run = words.run(words.read(task, *LEAN, "prediction.checkpoint_steps=3", "prediction.log_steps=4"))
    assert "prediction  goes on" in run.printed
    model = Path("student", "model.safetensors")
    assert (run.folder / model).read_bytes() == (finished.folder / model).read_bytes()
    assert capfd.readouterr().err == ""


def test_the_time_of_a_killed_attempt_counts_up_to_its_last_checkpoint(task: Path) -> None:
    scratch = killed(task, "prediction", 3, *words.SMALL).parent
    noted = float((scratch / "seconds.json").read_text())
    run = words.run(words.read(task, *words.SMALL))
    assert run.results.wall_seconds["prediction"] > noted > 0


def test_a_run_that_is_interrupted_at_the_keyboard_says_how_to_go_on(
    task: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = task / "small.toml"
    recipe.write_text(dump_recipe(words.read(task, *words.SMALL, "prediction.checkpoint_steps=2")))
    with pytest.MonkeyPatch.context() as patched:
        interrupt(patched, "prediction", 3, KeyboardInterrupt)
        assert main(["run", str(recipe)]) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert main(["run", str(recipe)]) == 0
    assert "prediction  goes on" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["cut off", "lost"])
def test_a_damaged_checkpoint_does_not_count(task: Path, finished: words.Run, how: str) -> None:
    checkpoints = killed(task, "prediction", 7)
    newest = checkpoints / "checkpoint-6" / "model.safetensors"
    if how == "cut off":
        with newest.open("r+b") as file:
            file.truncate(newest.stat().st_size // 2)
    else:
        newest.unlink()
    run = words.run(words.read(task, *LEAN))
    assert "prediction" in run.ran
    assert_same_models(run.folder, finished.folder)


@pytest.mark.parametrize("where", ["device", "processor"])
def test_a_batch_too_large_says_which_setting_to_lower(
    task: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def too_large(*_: Any, **__: Any) -> None:
        if where == "device":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        torch.empty(1 << 58)

    monkeypatch.setattr(DistillationTrainer, "compute_loss", too_large)
    with pytest.raises(BatchMemoryError, match=r"stage teacher: .* batch of 16 examples of up to 8 tokens"):
        words.run(words.read(task, *words.SMALL))


def test_sigterm_leaves_a_checkpoint_and_the_same_command_goes_on_from_it(
    task: Path, finished: words.Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = ProgressLine.on_step_end

    def on_step_end(self: ProgressLine, args: Any, state: Any, control: Any, **more: Any) -> None:
        original(self, args, state, control, **more)
        if "prediction.partial" in args.output_dir and state.global_step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(ProgressLine, "on_step_end", on_step_end)
    recipe = task / "lean.toml"
    loaded = words.read(task, *LEAN)
    recipe.write_text(dump_recipe(loaded))
    assert main(["run", str(recipe)]) == 143
    assert "the same command goes on" in capsys.readouterr().err
    checkpoints = loaded.folder / "stages" / "prediction.partial" / "scratch" / "checkpoints"
    assert [path.name for path in checkpoints.glob("checkpoint-*")] == ["checkpoint-3"]
    monkeypatch.undo()
    assert main(["run", str(recipe)]) == 0
    # Not the loss curve: its next point is the mean of the steps since the checkpoint alone.
    student = Path("student", "model.safetensors")
    assert (loaded.folder / student).read_bytes() == (finished.folder / student).read_bytes()


@pytest.mark.slow
def test_kill_9_in_each_stage_and_the_same_command_again(task: Path) -> None:
    """Each stage is killed as soon as a checkpoint of its second epoch or a later one is whole."""
    epochs = {"general": 8, "intermediate": 6, "prediction": 6}
    longer = [f"{stage}.epochs={count}" for stage, count in epochs.items()]
    steps = [f"{stage}.checkpoint_steps=2" for stage in epochs]
    recipe = task / "long.toml"
    recipe.write_text(dump_recipe(words.read(task, *longer, *steps, "baseline=none", "report=none")))
    for stage in epochs:
        process = subprocess.Popen(
            [sys.executable, "-m", "bertling", "run", str(recipe)],
            env=words.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        checkpoints = task / "run" / "stages" / f"{stage}.partial" / "scratch" / "checkpoints"
        while process.poll() is None and not any(
            int(marker.parent.name.removeprefix("checkpoint-")) > 4 for marker in checkpoints.glob("*/whole")
        ):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
        assert process.returncode == -signal.SIGKILL, output.decode()
        assert checkpoints.is_dir()
    last = subprocess.run(
        [sys.executable, "-m", "bertling", "run", str(recipe)],
        env=words.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (last.returncode, last.stderr) == (0, "")
    assert "prediction  goes on" in last.stdout
    undisturbed = words.run(
        words.read(task, *longer, "baseline=none", "report=none", f"output={task / 'undisturbed'}")
    )
    assert_same_models(task / "run", undisturbed.folder)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_kill_9_at_file_operations_and_the_same_command_again(
    task: Path, finished: words.Run, seed: int
) -> None:
    """Over and over, between any two changes in the run folder, from reading the data to publishing."""
    recipe = task / "often.toml"
    recipe.write_text(dump_recipe(words.read(task, *EVERY_OTHER_STEP)))
    chance = random.Random(seed)
    operations = [*range(1, 9), *(chance.randrange(1, 50) for _ in range(20))]
    done = run_to_the_end(recipe, task / "run", operations)
    attempts = done.stderr.splitlines()
    assert len(attempts) > 12, done.stderr
    assert all(line.startswith("attempt that dies at") for line in attempts), done.stderr
    assert_same_models(task / "run", finished.folder)
    assert not list((task / "run").rglob("*.partial"))
