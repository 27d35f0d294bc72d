"""Students that know their run: its task, its settings, and the data that it kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bertling.data.examples import Examples
from bertling.errors import DataError, ModelError
from bertling.pipeline.context import task_of
from bertling.recipe.load import load_recipe
from bertling.recipe.schema import Recipe
from bertling.results_of_exports import TRIMMING
from bertling.tasks import Task

_RECIPE = "recipe.toml"


@dataclass(frozen=True, slots=True)
class RunStudent:
    """The student of a finished run, or what was made of it.

    Attributes:
        model: its folder.
        run: the run folder.
        recipe: what ran.
        task: the recipe's.
    """

    model: Path
    run: Path
    recipe: Recipe
    task: Task

    def kept(self, part: str, *, instead: str) -> Examples:
        """The run's ``train`` or ``test`` set; raises a DataError, with what to do, where it is gone."""
        file = self.run / "stages" / "data" / f"{part}.parquet"
        if not file.is_file():
            used = "reported" if part == "test" else "trained on"
            raise DataError(
                f"{self.run} no longer holds the set that it {used} (there is no "
                f"{file.relative_to(self.run)}): {instead}"
            )
        return Examples.load(file)


def student_of_run(source: str | Path) -> RunStudent | None:
    """The student of a run folder, or a trimmed one that lies in a run folder; None for other models.

    Raises:
        ModelError: a run without a student.
    """
    folder = Path(source)
    if (folder / _RECIPE).is_file():
        run, model = folder, folder / "student"
    elif (folder / TRIMMING).is_file() and (folder.parent / _RECIPE).is_file():
        run, model = folder.parent, folder
    else:
        return None
    if not model.is_dir():
        raise ModelError(f"{run} has no student yet: let the run come to its end, the same command goes on")
    recipe = load_recipe(run / _RECIPE)
    return RunStudent(model, run, recipe, task_of(recipe))
