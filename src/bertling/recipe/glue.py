"""What a run of several GLUE tasks is made of: a shipped recipe for each. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from bertling.errors import RecipeError
from bertling.recipe.load import load_recipe
from bertling.recipe.overrides import quoted
from bertling.recipe.problems import nearest
from bertling.recipe.schema import Recipe
from bertling.tasks import GLUE, GLUE_LAYOUTS

GLUE_ROOT = Path("runs") / "glue"
_SET_HERE = ("name", "output", "task", "data.folder", "data.hub", "data.train", "data.test", "data.builtin")


def glue_recipes(
    tasks: Sequence[str], data: str, *, root: Path = GLUE_ROOT, overrides: Sequence[str] = ()
) -> dict[str, Recipe]:
    """Task -> its recipe ``glue/TASK``, on the data that are given, with a run folder ``ROOT/TASK``.

    Args:
        tasks: some of GLUE's, ``cola`` for instance, in the order in which they run.
        data: the folder that holds the tasks' folders (``CoLA``, ``SST-2`` and so on), or the name of GLUE on
            a hub, whose configs are called as the tasks.
        root: where the run folders lie.
        overrides: as for `load_recipe`, for all tasks.

    Raises:
        RecipeError: a task that there is not, or that comes twice; an override of what is given here; no such
            data; or recipes that do not fit the schema.
    """
    problems = [
        f"tasks: got {name}; expected some of {', '.join(GLUE)}"
        + (f"; did you mean {near}?" if (near := nearest(name, list(GLUE))) else "")
        for name in tasks
        if name not in GLUE
    ]
    if not tasks or len(set(tasks)) < len(tasks):
        problems.append(f"tasks: got {', '.join(tasks) or 'none'}; expected different ones")
    for override in overrides:
        key = override.partition("=")[0].strip()
        if key in _SET_HERE or key.startswith("task."):
            problems.append(
                f"override {quoted(override)}: data, task and output are arguments of their own here"
            )
    folder = Path(data).expanduser()
    # owner/name may be on a hub; what is a path cannot be
    on_a_hub = not folder.exists() and not folder.is_absolute() and data.count("/") == 1
    if not folder.is_dir() and (not on_a_hub or data.startswith((".", "~"))):
        problems.append(
            f"data: no folder {folder.absolute()}; expected the one that holds the tasks' folders "
            f"({', '.join(layout.folder for layout in GLUE_LAYOUTS.values())}), or a hub name, owner/name"
        )
    if problems:
        raise RecipeError(problems, source="glue")
    recipes = {}
    for task in tasks:
        place = {"data.folder": "none", "data.hub": json.dumps(f"{data}:{task}")}
        if folder.is_dir():
            place = {"data.folder": json.dumps(str(folder / GLUE_LAYOUTS[task].folder))}
        place["output"] = json.dumps(str(root / task))
        settings = [f"{key}={value}" for key, value in place.items()]
        recipes[task] = load_recipe(f"glue/{task}", [*overrides, *settings])
    return recipes
