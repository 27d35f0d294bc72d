"""``bertling glue``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich import box
from rich.console import Console
from rich.table import Table

from bertling.cli.options import Overrides
from bertling.errors import RecipeError
from bertling.recipe.glue import GLUE_ROOT, glue_recipes
from bertling.recipe.inputs import check_inputs
from bertling.recipe.schema import Recipe
from bertling.report import numbers
from bertling.results_across_runs import GlueResults
from bertling.tasks import AVERAGED, GLUE

Tasks = Annotated[
    list[str] | None,
    Parameter(
        consume_multiple=True,
        negative="",
        help=f"Some of {', '.join(GLUE)}, in the order in which they run. Default: all.",
    ),
]
Data = Annotated[
    str,
    Parameter(
        help="The folder that holds the tasks' folders (CoLA, SST-2 and so on) in their original layout, or "
        "GLUE's name on the hub, nyu-mll/glue."
    ),
]
Root = Annotated[Path, Parameter(help="Folder for the tasks' run folders and for glue.json.")]


def glue(*, data: Data, tasks: Tasks = None, output: Root = GLUE_ROOT, overrides: Overrides = None) -> None:
    """Run GLUE tasks by their shipped recipes (glue/TASK), with one general student, or go on with them.

    --set changes a key in the recipes of all tasks: that is how they fit another budget or machine.
    """
    recipes = glue_recipes(tasks or list(GLUE), data, root=output, overrides=overrides or ())
    _check(recipes.values())

    # torch, which --help and the errors of a recipe need not wait for
    from bertling.pipeline.glue import RESULTS, run_glue
    from bertling.pipeline.processes import is_first, part

    console = Console(quiet=not is_first())
    results = run_glue(recipes, output, console=console)
    console.print(_table(results))
    console.print(
        f"figures   {output / RESULTS}\nstudents  {output}/TASK/student\n"
        f"test set  bertling submit {output} --data {data} --output submission",
        soft_wrap=True,
    )
    part()


def _check(recipes: Iterable[Recipe]) -> None:
    """As `check_inputs`, over all recipes, what they share named once."""
    problems: dict[str, None] = {}
    for recipe in recipes:
        try:
            check_inputs(recipe)
        except RecipeError as error:
            problems |= dict.fromkeys(error.problems)
    if problems:
        raise RecipeError(list(problems), source="glue")


def _table(results: GlueResults) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        caption=f"scores times 100 on the development sets; {_what_is_averaged(results)}",
        caption_justify="left",
    )
    table.add_column("task", no_wrap=True)
    table.add_column("metric", no_wrap=True)
    for column in ("examples", "teacher", "student", "kept", "speed-up"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in results.rows:
        examples, speedup = f"{row.evaluation_examples:,}", numbers.ratio(row.speedup)
        table.add_row(row.task, row.metric, examples, *_kept(row.teacher.score, row.student.score), speedup)
        for metric, score in row.student.further_metrics.items():
            table.add_row("", metric, "", *_kept(row.teacher.further_metrics[metric], score))
        for name, score in row.student.further_sets.items():
            table.add_row("", name, "", *_kept(row.teacher.further_sets[name], score))
    if results.teacher_average is not None and results.student_average is not None:
        table.add_section()
        averages = _kept(results.teacher_average, results.student_average)
        table.add_row("average", f"of {len(results.averaged)}", "", *averages, style="bold")
    return table


def _kept(teacher: float, student: float) -> tuple[str, str, str]:
    share = student / teacher if teacher > 0 else None
    return numbers.score(teacher), numbers.score(student), numbers.percent(share)


def _what_is_averaged(results: GlueResults) -> str:
    missing = [name for name in AVERAGED if name not in results.averaged]
    if not missing:
        return "average of the paper's nine numbers"
    return f"average without {', '.join(missing)}, which the paper's has as well"
