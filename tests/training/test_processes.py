"""Two processes under torchrun do what one does with twice the batch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.training import toy, two_processes

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def left_behind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of what the two processes saw."""
    folder = tmp_path_factory.mktemp("processes")
    launcher = subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"),
            *("-m", "tests.training.two_processes", str(folder)),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = launcher.communicate(timeout=300)
    except subprocess.TimeoutExpired:
        # The processes wait for each other. Asked to end, and not killed, the launcher ends them with itself.
        launcher.terminate()
        output, _ = launcher.communicate()
    assert launcher.returncode == 0, output
    return folder


def seen(folder: Path, name: str, rank: int) -> dict[str, Any]:
    content: dict[str, Any] = torch.load(folder / f"{name} {rank}.pt")
    return content


@pytest.mark.slow
@pytest.mark.parametrize("name", two_processes.GRADIENT_CASES)
def test_gradients_are_those_of_one_process(left_behind: Path, tmp_path: Path, name: str) -> None:
    case = two_processes.GRADIENT_CASES[name]
    expected = toy.gradients(
        tmp_path,
        toy.texts(case["count"]),
        batch_size=2 * case["batch_size"],
        accumulation_steps=case["accumulation_steps"],
    )
    for rank in (0, 1):
        steps = seen(left_behind, name, rank)["gradients"]
        assert len(steps) == len(expected)
        for got, wanted in zip(steps, expected, strict=True):
            toy.assert_close(got, wanted)


@pytest.mark.slow
@pytest.mark.parametrize("name", two_processes.GRADIENT_CASES)
def test_logged_losses_are_those_of_one_process(left_behind: Path, tmp_path: Path, name: str) -> None:
    case = two_processes.GRADIENT_CASES[name]
    one = toy.trainer(
        tmp_path,
        toy.texts(case["count"]),
        double=True,
        learning_rate=0.0,
        epochs=1.0,
        batch_size=2 * case["batch_size"],
        accumulation_steps=case["accumulation_steps"],
    )
    one.train()
    got = [entry for entry in seen(left_behind, name, 0)["log"] if "loss" in entry]
    expected = [entry for entry in one.state.log_history if "loss" in entry]
    assert len(got) == len(expected) > 1
    for ours, theirs in zip(got, expected, strict=True):
        for key in (key for key in theirs if key == "loss" or key.startswith("term/")):
            assert ours[key] == pytest.approx(theirs[key], rel=1e-5), key


@pytest.mark.slow
@pytest.mark.parametrize("step", [two_processes.RESUME_STEP, two_processes.RESUME_STEP + 4])
def test_a_resumed_run_ends_where_an_undisturbed_one_does(left_behind: Path, step: int) -> None:
    for rank in (0, 1):
        undisturbed, resumed = (
            seen(left_behind, "resume None", rank),
            seen(left_behind, f"resume {step}", rank),
        )
        assert undisturbed["last"] == resumed["last"] == "checkpoint-8"
        toy.assert_equal(resumed["weights"], undisturbed["weights"])


@pytest.mark.slow
def test_all_processes_have_the_same_weights(left_behind: Path) -> None:
    first, second = (seen(left_behind, "resume None", rank)["weights"] for rank in (0, 1))
    toy.assert_equal(first, second)
