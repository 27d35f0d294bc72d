"""Whole runs with every stage, killed by kill -9 wherever they happen to be."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

import pytest
from tests.pipeline import words
from tests.pipeline.killing import EVERY_OTHER_STEP, assert_same_models, run_to_the_end

from bertling.recipe.load import dump_recipe

KILLS = 20
SETTINGS = ("augment.variants=2", "augment.head_steps=4", "augment.stop_words=none", *EVERY_OTHER_STEP)


@pytest.mark.slow
@pytest.mark.faults
def test_kill_9_at_twenty_random_moments_and_the_same_command_again(task: Path) -> None:
    """Moments are drawn as shares of an undisturbed run, so that kills fall into every stage of it."""
    words.in_letters(task)
    started = time.perf_counter()
    undisturbed = words.run(words.read(task, *SETTINGS, f"output={task / 'undisturbed'}"))
    longest = (time.perf_counter() - started) / 4
    recipe = task / "killed.toml"
    recipe.write_text(dump_recipe(words.read(task, *SETTINGS)))
    chance = random.Random(0)
    kills = 0
    while kills < KILLS:
        moments = [f"{chance.uniform(0, longest):.3f}s" for _ in range(KILLS - kills)]
        done = run_to_the_end(recipe, task / "run", moments)
        attempts = done.stderr.splitlines()
        assert all(line.startswith("attempt that dies at") for line in attempts), done.stderr
        assert attempts[-1].endswith(": 0"), done.stderr
        kills += len(attempts) - 1
        assert_same_models(task / "run", undisturbed.folder)
        rows = Path("stages", "augment", "rows")
        assert words.contents(task / "run" / rows) == words.contents(undisturbed.folder / rows)
        assert not list((task / "run").rglob("*.partial"))
        shutil.rmtree(task / "run")
