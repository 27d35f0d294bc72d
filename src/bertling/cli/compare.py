"""``bertling compare``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter
from rich import box
from rich.console import Console
from rich.table import Table

from bertling.cli.ablate import Seeds
from bertling.cli.options import Overrides, Source
from bertling.recipe.comparison import AS_IT_STANDS, COMPARISON, comparison
from bertling.recipe.inputs import check_inputs
from bertling.recipe.load import load_recipe
from bertling.recipe.methods import METHODS
from bertling.recipe.variants import variants_folder
from bertling.report import numbers
from bertling.results_across_runs import ComparisonResults

Methods = Annotated[
    list[str] | None,
    Parameter(
        consume_multiple=True,
        negative="",
        help=f"Some of {', '.join(METHODS)}; or {AS_IT_STANDS}, for the recipe with its own terms. The first "
        "is what the others are compared with. Default: all methods.",
    ),
]


def compare(
    recipe: Source, /, *, methods: Methods = None, seeds: Seeds = 1, overrides: Overrides = None
) -> None:
    """Run a recipe under several methods, with the same student, data and budget, and compare the scores."""
    loaded = load_recipe(recipe, overrides or ())
    chosen = methods or list(METHODS)
    for variant in comparison(loaded, chosen).values():
        check_inputs(variant)

    # torch, which --help and the errors of a recipe need not wait for
    from bertling import pipeline
    from bertling.pipeline.processes import is_first, part

    console = Console(quiet=not is_first())
    results = pipeline.compare(loaded, chosen, seeds=seeds, console=console)
    console.print(_table(results))
    root = variants_folder(loaded, COMPARISON)
    console.print(f"figures  {root / 'comparison.json'}\nplot     {root / 'comparison.html'}", soft_wrap=True)
    part()


def _table(results: ComparisonResults) -> Table:
    count = len(results.seeds)
    caption = f"scores times 100 on {results.evaluation_examples:,} examples; " + (
        f"means of {count} seeds ± their standard deviation" if count > 1 else "one seed"
    )
    teacher = sum(results.teacher_scores) / count if results.teacher_scores else None
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"{results.name}: teacher {numbers.score(teacher)}",
        caption=f"{caption}; difference to {results.rows[0].method} with its 95% interval (paired bootstrap)",
        caption_justify="left",
    )
    table.add_column("method")
    for column in (results.metric, "kept", "difference", "params", "ms"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in results.rows:
        spread = "" if row.spread is None else f" ± {100 * row.spread:.1f}"
        table.add_row(
            row.method,
            numbers.score(row.mean) + spread,
            numbers.percent(row.retention),
            numbers.interval(row.difference, row.difference_low, row.difference_high),
            numbers.parameters(row.parameters),
            numbers.significant(row.latency_ms_p50),
        )
    return table
