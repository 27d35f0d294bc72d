"""A run by two processes under torchrun is the run of one with twice the batch."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file
from tests import tiny
from tests.pipeline import words

from bertling.errors import RunFolderError
from bertling.recipe.load import dump_recipe
from bertling.results import read_results

STAGES = ("teacher", "general", "intermediate", "prediction", "baseline")


@pytest.fixture
def calm(task: Path) -> Path:
    """The task with a teacher, and so a student, without dropout, whose draws depend on the process."""
    tiny.encoder(layers=4, dropout=0.0).save_pretrained(task / "teacher")
    return task


def torchrun(recipe: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"),
            *("-m", "bertling", "run", str(recipe)),
        ],
        env=words.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(launcher: subprocess.Popen[str]) -> str:
    """What it printed; processes that wait for each other are ended."""
    try:
        output, _ = launcher.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        launcher.terminate()
        output, _ = launcher.communicate()
    return output


def halved(stages: tuple[str, ...] = STAGES) -> Iterator[str]:
    return (f"{stage}.batch_size=8" for stage in stages)


@pytest.mark.slow
def test_two_processes_end_where_one_does(calm: Path) -> None:
    one = words.run(words.read(calm, f"output={calm / 'one'}"))
    recipe = calm / "two.toml"
    recipe.write_text(dump_recipe(words.read(calm, *halved())))
    launcher = torchrun(recipe)
    output = finish(launcher)
    assert launcher.returncode == 0, output
    two = calm / "run"
    for stage in STAGES:
        expected = load_file(one.folder / "stages" / stage / "model" / "model.safetensors")
        got = load_file(two / "stages" / stage / "model" / "model.safetensors")
        assert got.keys() == expected.keys()
        for name, value in got.items():
            # Logits do not depend on it: its gradient is rounding alone, which Adam makes a whole step of.
            if name.endswith("attention.self.key.bias"):
                continue
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-4, msg=f"{stage} {name}")
    results = read_results(two / "results.json")
    assert results.student.score == one.results.student.score
    for stage, points in results.histories.items():
        for ours, theirs in zip(points, one.results.histories[stage], strict=True):
            assert (ours.step, ours.tokens) == (theirs.step, theirs.tokens)
            assert ours.loss == pytest.approx(theirs.loss, rel=1e-4)
    # One voice, and the pages that a run of one writes.
    assert output.count("prediction  done") == 1
    assert (two / "report.html").is_file()
    # Alone, what is done stays done.
    again = words.run(words.read(calm, *halved()))
    assert again.ran == []


@pytest.mark.slow
@pytest.mark.faults
def test_a_process_that_dies_takes_the_run_down_and_the_same_command_goes_on(calm: Path) -> None:
    recipe = calm / "two.toml"
    settings = [*halved(("teacher", "general", "prediction")), *words.SMALL[1:]]
    settings += ["general.epochs=20", "general.checkpoint_steps=2"]
    recipe.write_text(dump_recipe(words.read(calm, *settings)))
    launcher = torchrun(recipe)
    checkpoints = calm / "run" / "stages" / "general.partial" / "scratch" / "checkpoints"
    while launcher.poll() is None and not list(checkpoints.glob("*/whole")):
        time.sleep(0.01)
    second = [
        process for process in psutil.Process(launcher.pid).children() if process.environ().get("RANK") == "1"
    ]
    second[0].send_signal(signal.SIGKILL)
    output = finish(launcher)
    assert launcher.returncode != 0, output
    # Another number of processes would make other batches.
    recipe_alone = words.read(calm, *settings)
    with pytest.raises(RunFolderError, match="begun with 2 processes, and this run has 1"):
        words.run(recipe_alone)
    launcher = torchrun(recipe)
    output = finish(launcher)
    assert launcher.returncode == 0, output
    assert "general  goes on" in output
    undisturbed = calm / "undisturbed.toml"
    undisturbed.write_text(dump_recipe(words.read(calm, *settings, f"output={calm / 'undisturbed'}")))
    launcher = torchrun(undisturbed)
    output = finish(launcher)
    assert launcher.returncode == 0, output
    model = Path("student", "model.safetensors")
    assert (calm / "run" / model).read_bytes() == (calm / "undisturbed" / model).read_bytes()
