"""``bertling ablate``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter, validators
from rich import box
from rich.console import Console
from rich.table import Table

from bertling.cli.options import Overrides, Source
from bertling.recipe.ablation import ABLATION
from bertling.recipe.inputs import check_inputs
from bertling.recipe.load import load_recipe
from bertling.recipe.variants import variants_folder
from bertling.report import numbers
from bertling.results_across_runs import AblationResults

Seeds = Annotated[
    int,
    Parameter(
        validator=validators.Number(gte=1),
        help="Run everything with so many seeds, counted from the recipe's own.",
    ),
]


def ablate(recipe: Source, /, *, seeds: Seeds = 1, overrides: Overrides = None) -> None:
    """Run a recipe whole, and with each stage and each loss term left out in turn, and compare the scores."""
    loaded = load_recipe(recipe, overrides or ())
    check_inputs(loaded)

    # torch, which --help and the errors of a recipe need not wait for
    from bertling import pipeline
    from bertling.pipeline.processes import is_first, part

    console = Console(quiet=not is_first())
    results = pipeline.ablate(loaded, seeds=seeds, console=console)
    console.print(_table(results))
    console.print(f"figures  {variants_folder(loaded, ABLATION) / 'ablation.json'}", soft_wrap=True)
    part()


def _table(results: AblationResults) -> Table:
    count = len(results.seeds)
    caption = f"scores times 100 on {results.evaluation_examples:,} examples; " + (
        f"means of {count} seeds, change ± its standard error" if count > 1 else "one seed"
    )
    teacher = sum(results.teacher_scores) / count if results.teacher_scores else None
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{results.name}: teacher {numbers.score(teacher)}",
        caption=caption,
        caption_justify="left",
    )
    table.add_column("student")
    for column in (results.metric, "kept", "change"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in results.rows:
        kept = numbers.percent(row.mean / teacher) if teacher and teacher > 0 else ""
        change = "" if row is results.rows[0] else f"{100 * row.change:+.1f}"
        if change and row.change_standard_error is not None:
            change += f" ± {100 * row.change_standard_error:.1f}"
        table.add_row(row.name, numbers.score(row.mean), kept, change)
    return table
