"""``bertling evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators
from rich import box
from rich.console import Console
from rich.table import Table

from bertling.errors import DataError
from bertling.recipe.load import load_recipe
from bertling.report import numbers
from bertling.results import Evaluation
from bertling.tasks import GLUE, Task

Model = Annotated[str, Parameter(help="Folder of a saved sequence classifier, or its hub name.")]
Data = Annotated[
    Path,
    Parameter(help="The task's folder in GLUE's own layout, or a file with the task's columns and labels."),
]
TaskName = Annotated[
    str,
    Parameter(help=f"One of {', '.join(GLUE)}; or a recipe, a file that ends in .toml, whose [task] it is."),
]
Labels = Annotated[
    list[str] | None,
    Parameter(
        consume_multiple=True,
        negative="",
        help="Names of the model's outputs, in its order. Default: as its config.json has them.",
    ),
]
Length = Annotated[
    int | None,
    Parameter(
        validator=validators.Number(gte=4),
        help="Longer texts are cut. Default: the recipe's; 64 for GLUE's single texts, 128 for pairs.",
    ),
]
BatchSize = Annotated[int, Parameter(validator=validators.Number(gte=1), help="Texts at a time.")]


def evaluate(
    model: Model,
    data: Data,
    /,
    *,
    task: TaskName,
    labels: Labels = None,
    max_length_tokens: Length = None,
    batch_size: BatchSize = 64,
) -> None:
    """Score a saved model on a task's labelled data, with all of the task's metrics."""
    named, length = task_named(task)

    # torch, which --help and the errors above need not wait for
    from bertling.pipeline.judging import evaluate_model

    results = evaluate_model(
        model,
        data,
        named,
        labels=labels,
        max_length_tokens=max_length_tokens or length,
        batch_size=batch_size,
    )
    console = Console()
    console.print(_table(results))
    console.print(
        f"scores times 100 of {results.model}, texts cut at {results.max_length_tokens} tokens",
        soft_wrap=True,
        highlight=False,
    )


def task_named(name: str) -> tuple[Task, int | None]:
    """A GLUE task; or the task of the recipe of that name, and its length limit.

    Raises:
        DataError: neither of them.
        RecipeError: a recipe that cannot be read.
    """
    if name in GLUE:
        return GLUE[name], None
    if not name.endswith(".toml"):
        raise DataError(
            f"--task: got {name}; expected one of {', '.join(GLUE)}, or a recipe that ends in .toml"
        )
    recipe = load_recipe(name)

    # torch, which the errors above need not wait for
    from bertling.pipeline.context import task_of

    return task_of(recipe), recipe.data.max_length_tokens


def _table(results: Evaluation) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("set")
    for column in ("examples", *results.sets[0].figures):
        table.add_column(column, justify="right", no_wrap=True)
    for measured in results.sets:
        figures = map(numbers.score, measured.figures.values())
        table.add_row(measured.name, f"{measured.examples:,}", *figures)
    return table
