"""``bertling run``."""

from __future__ import annotations

from rich.console import Console

from bertling.cli.options import Overrides, Source
from bertling.recipe.inputs import check_inputs
from bertling.recipe.load import load_recipe


def run(recipe: Source, /, *, overrides: Overrides = None) -> None:
    """Run a recipe, or go on with a run that was stopped."""
    loaded = load_recipe(recipe, overrides or ())
    check_inputs(loaded)

    # torch, which --help and the errors of a recipe need not wait for
    from bertling import pipeline
    from bertling.cli.summary import print_results
    from bertling.pipeline.processes import is_first, part

    console = Console(quiet=not is_first())
    results = pipeline.run(loaded, console=console)
    print_results(results, console, recipe=loaded, source=recipe, overrides=overrides or ())
    part()
