"""``bertling recipes``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bertling.recipe.catalog import copy_recipe, list_recipes

recipes = App(name="recipes", help="List the shipped recipes, or copy one to edit it.")


@recipes.command(name="list")
def list_() -> None:
    """List the shipped recipes."""
    table = Table("recipe", "what it does", box=box.SIMPLE_HEAD)
    for name, description in list_recipes():
        table.add_row(name, Text(description))
    Console().print(table)


@recipes.command
def copy(
    name: Annotated[str, Parameter(help="A shipped recipe.")],
    dest: Annotated[
        Path | None, Parameter(help="File to write, or a folder; default: NAME.toml here.")
    ] = None,
    /,
) -> None:
    """Copy a shipped recipe to a file of your own; files that exist are left alone."""
    copied = copy_recipe(name, dest or Path())
    Console().print(Text(f"wrote {copied}; edit it, then: bertling run {copied}"), soft_wrap=True)
