"""Starts mortal.py, whose runs die one after the other, and compares what they leave."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.pipeline import words

MORTAL = Path(__file__).with_name("mortal.py")
TRAINED = ("teacher", "general", "intermediate", "prediction", "baseline")
EVERY_OTHER_STEP = tuple(f"{stage}.checkpoint_steps=2" for stage in TRAINED)
LEAN = ("baseline=none", "evaluate.yardsticks=none", "report=none")


def run_to_the_end(
    recipe: Path, folder: Path, deaths: Sequence[int | str]
) -> subprocess.CompletedProcess[str]:
    """Run a recipe in processes that die at these file operations or seconds, and once more to its end."""
    done = subprocess.run(
        [sys.executable, str(MORTAL), str(recipe), str(folder), *map(str, deaths)],
        env=words.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def models(run: Path) -> dict[str, bytes]:
    """What training made: every stage's model, tokenizer and loss curve, and the student as published."""
    folders = [run / "stages" / stage for stage in (*TRAINED, "initialize", "data")]
    made = {
        f"{folder.name}/{name}": content
        for folder in (*folders, run / "student")
        if folder.exists()
        for name, content in words.contents(folder).items()
    }
    return {
        name: content for name, content in made.items() if Path(name).name not in ("stage.json", "README.md")
    }


def assert_same_models(run: Path, other: Path) -> None:
    """Whatever ``run`` made is in ``other`` to the last bit."""
    made, expected = models(run), models(other)
    assert "student/model.safetensors" in made
    assert made == {name: expected[name] for name in made}
