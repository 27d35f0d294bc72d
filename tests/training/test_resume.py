"""A run that is killed and taken up again ends, to the last bit, where an undisturbed one does."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training import killed_run, toy
from torch import Tensor

from bertling.training.checkpoints import delete_other_checkpoints, last_whole_checkpoint, mark_whole

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a whole run that kept a checkpoint of every step."""
    folder = tmp_path_factory.mktemp("undisturbed")
    trainer = killed_run.run(folder)
    trainer.args.save_steps = 1
    trainer.args.save_total_limit = None
    trainer.train()
    assert trainer.state.global_step == 9
    torch.save(toy.weights_of(trainer.trained), folder / "final.pt")
    return folder


def final(folder: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = torch.load(folder / "final.pt")
    return weights


@pytest.mark.parametrize("step", range(1, 9))
def test_every_checkpoint_leads_to_the_same_weights(undisturbed: Path, tmp_path: Path, step: int) -> None:
    """Steps 3 and 6 end an epoch; the others lie within one."""
    trainer = killed_run.run(tmp_path)
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(step)
    trainer.train(resume_from_checkpoint=str(undisturbed / f"checkpoint-{step}"))
    toy.assert_equal(toy.weights_of(trainer.trained), final(undisturbed))


def test_projections_are_resumed_too(undisturbed: Path) -> None:
    names = [name for name in final(undisturbed) if name.startswith("objective.")]
    assert len(names) == 3


def test_dropout_was_on(undisturbed: Path) -> None:
    """Else equal weights would say little: every step draws random numbers."""
    states = [
        torch.load(undisturbed / f"checkpoint-{step}" / "rng_state.pth", weights_only=False)["cpu"]
        for step in range(1, 10)
    ]
    assert len({tuple(state.tolist()) for state in states}) == 9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "torn", "resumed_from"), [("between steps", None, 6), ("saving", killed_run.TORN_STEP, 3)]
)
def test_a_killed_run_is_taken_up_from_its_last_whole_checkpoint(
    undisturbed: Path, tmp_path: Path, how: str, torn: int | None, resumed_from: int
) -> None:
    killed = subprocess.run(
        [sys.executable, "-m", "tests.training.killed_run", how, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    left = tmp_path / f"checkpoint-{torn}"
    assert left.is_dir() is (torn is not None)
    whole = last_whole_checkpoint(tmp_path)
    assert whole == tmp_path / f"checkpoint-{resumed_from}"
    delete_other_checkpoints(tmp_path, whole)
    assert not left.exists()
    trainer = killed_run.run(tmp_path)
    trainer.train(resume_from_checkpoint=str(whole))
    toy.assert_equal(toy.weights_of(trainer.trained), final(undisturbed))


def test_the_last_two_checkpoints_are_kept_and_whole(tmp_path: Path) -> None:
    killed_run.run(tmp_path).train()
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-6", "checkpoint-9"]
    assert last_whole_checkpoint(tmp_path) == tmp_path / "checkpoint-9"


def test_only_the_newest_whole_checkpoint_stays(tmp_path: Path) -> None:
    assert last_whole_checkpoint(tmp_path) is None
    assert last_whole_checkpoint(tmp_path / "nowhere") is None
    for step in (9, 10, 100):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "model.safetensors").touch()
    (tmp_path / "logs").mkdir()
    for step in (9, 10):
        mark_whole(tmp_path / f"checkpoint-{step}")
    # By number: 10 comes after 9.
    assert last_whole_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    delete_other_checkpoints(tmp_path, tmp_path / "checkpoint-10")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "logs"]


def test_no_checkpoints_unless_they_are_asked_for(tmp_path: Path) -> None:
    toy.trainer(tmp_path, toy.texts(4), max_steps=2).train()
    assert list(tmp_path.glob("checkpoint-*")) == []
