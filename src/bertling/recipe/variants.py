"""Where the variants of a recipe run. Imports no torch."""

from __future__ import annotations

from pathlib import Path

from bertling.recipe.schema import Recipe


def variants_folder(recipe: Recipe, kind: str) -> Path:
    """``FOLDER-KIND``, beside the recipe's own run folder."""
    return recipe.folder.with_name(f"{recipe.folder.name}-{kind}")


def placed(recipe: Recipe, root: Path, name: str, *, seed: int) -> Recipe:
    """The recipe with this seed, in a run folder of its own under ``root``."""
    folder = root / f"{name.replace(' ', '-')}-seed{seed}"
    return recipe.model_copy(update={"seed": seed, "output": folder})
