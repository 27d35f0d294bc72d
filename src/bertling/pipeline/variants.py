"""Several variants of a recipe, each with several seeds, as runs that share what they have in common."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from bertling.pipeline.run import run
from bertling.recipe.schema import Recipe
from bertling.recipe.variants import placed
from bertling.results import Results


@dataclass(frozen=True, slots=True)
class VariantRun:
    """A finished run of a variant with one of the seeds."""

    recipe: Recipe
    results: Results


def run_variants(
    variants: Mapping[str, Recipe],
    root: Path,
    *,
    seeds: range,
    console: Console,
    stages_from: Sequence[Path] = (),
) -> dict[str, list[VariantRun]]:
    """Run every variant with every seed, each in a folder of its own, ``ROOT/NAME-seedN``.

    A stage that is the same as that of a run before is taken from there. Run again after a kill, it goes on.

    Args:
        variants: name -> recipe.
        root: where the run folders lie.
        seeds: that take the place of the recipes' own.
        console: where progress goes.
        stages_from: further run folders whose stages are taken where they are the same.

    Returns:
        name -> its runs, in the order of the seeds.

    Raises:
        BertlingError: as `run` does; what is finished stays.
    """
    caches = root / "teacher-cache"
    finished: dict[str, list[VariantRun]] = {name: [] for name in variants}
    folders = list(stages_from)
    for seed in seeds:
        for name, variant in variants.items():
            console.print(f"[bold]{name}, seed {seed}[/bold]", highlight=False)
            recipe = placed(variant, root, name, seed=seed)
            results = run(recipe, console=console, stages_from=folders, teacher_caches=caches)
            finished[name].append(VariantRun(recipe, results))
            folders.append(recipe.folder)
        # Another seed has another teacher.
        shutil.rmtree(caches, ignore_errors=True)
    return finished
