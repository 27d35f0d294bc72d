from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

MINIMAL = """
name = "minimal"

[task]
name = "colour"

[data]
builtin = "docstrings"

[teacher]
model = "owner/teacher"

[student]
preset = "tinybert-4l-312"

[prediction]
"""


@pytest.fixture
def minimal() -> str:
    """The least that a recipe has to say."""
    return MINIMAL


@pytest.fixture
def write_recipe(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "recipe.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write
