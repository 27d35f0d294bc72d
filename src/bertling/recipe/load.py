"""From a TOML file, or the name of a shipped recipe, to a Recipe; and back to TOML."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from bertling.errors import RecipeError
from bertling.recipe.catalog import recipe_names, recipe_path
from bertling.recipe.overrides import apply_overrides
from bertling.recipe.problems import nearest, problems_of
from bertling.recipe.schema import Recipe


def load_recipe(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        source: a file that ends in ``.toml``, or the name of a shipped recipe.
        overrides: ``section.key=value``, applied in this order; see `apply_overrides`.

    Raises:
        RecipeError: there is no such recipe, it isn't TOML, or it doesn't fit the schema; all problems of
            the recipe and the overrides at once.
    """
    tables = _read_tables(source)
    problems = apply_overrides(tables, overrides)
    try:
        text = json.dumps(tables, default=str)
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, tables in tables
        raise RecipeError(
            [*problems, f"holds a value that cannot be read: {error}"], source=str(source)
        ) from error
    try:
        # through JSON, where strict means what TOML means: no "3" or true for 3, but lists for tuples
        recipe = Recipe.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise RecipeError(problems + problems_of(error), source=str(source)) from None
    if problems:
        raise RecipeError(problems, source=str(source))
    return recipe


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as TOML, with every default written out, which `load_recipe` reads back to an equal one."""
    return tomli_w.dumps(recipe.model_dump(mode="json", exclude_none=True))


def _read_tables(source: str | Path) -> dict[str, Any]:
    path = Path(source)
    if path.suffix != ".toml":
        path = recipe_path(str(source))
    name = str(source)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise RecipeError([_not_found(path)], source=name) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError([f"cannot be read: {error}; expected a text file in UTF-8"], source=name) from error
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError([f"not TOML: {error}{_line_of(error, text)}"], source=name) from None
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, lists in lists
        raise RecipeError([f"holds a value that cannot be read: {error}"], source=name) from error


def _not_found(path: Path) -> str:
    near = nearest(path.stem, recipe_names())
    advice = f"did you mean the shipped recipe {near}?" if near else "a shipped recipe is named without .toml"
    return f"no file {path.absolute()}; shipped recipes: {', '.join(recipe_names())}; {advice}"


def _line_of(error: tomllib.TOMLDecodeError, text: str) -> str:
    """The line that tomllib names, quoted."""
    place = re.search(r"line (\d+)", str(error))
    lines = text.splitlines()
    if place is None or int(place[1]) > len(lines):
        return ""
    return f": {lines[int(place[1]) - 1].strip()}"
