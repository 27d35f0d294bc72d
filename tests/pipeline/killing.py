"""Starts mortal.py, whose runs die one after the other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.pipeline import words

MORTAL = Path(__file__).with_name("mortal.py")


def run_to_the_end(recipe: Path, folder: Path, operations: Sequence[int]) -> subprocess.CompletedProcess[str]:
    """Run a recipe in processes that die at these file operations, and once more to its end."""
    done = subprocess.run(
        [sys.executable, str(MORTAL), str(recipe), str(folder), *map(str, operations)],
        env=words.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done
