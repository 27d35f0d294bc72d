"""The recipes that come with bertling."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path

from bertling.errors import RecipeError
from bertling.recipe.problems import nearest
from bertling.recipe.schema import NAME_DESCRIPTION, NAME_PATTERN

_SHIPPED = Path(str(files("bertling.recipe"))) / "shipped"


def recipe_names() -> list[str]:
    """Names of the shipped recipes, sorted; then those in folders, as ``FOLDER/NAME``."""
    files = (path.relative_to(_SHIPPED) for path in _SHIPPED.rglob("*.toml"))
    return sorted((path.with_suffix("").as_posix() for path in files), key=lambda name: ("/" in name, name))


def list_recipes() -> list[tuple[str, str]]:
    """Name and description of each shipped recipe."""
    return [(name, _description(name)) for name in recipe_names()]


def recipe_path(name: str) -> Path:
    """The file of a shipped recipe; raises RecipeError where there is none of that name."""
    if name in recipe_names():
        return _SHIPPED / f"{name}.toml"
    near = nearest(name, recipe_names())
    advice = f"did you mean {near}?" if near else "a recipe of your own is given as a path that ends in .toml"
    shipped = ", ".join(recipe_names())
    raise RecipeError([f"no shipped recipe of this name; there are {shipped}; {advice}"], source=name)


def copy_recipe(name: str, destination: Path) -> Path:
    """Copy a shipped recipe, to edit it.

    The copy is named after its file, so that it has a run folder of its own.

    Args:
        name: the shipped recipe.
        destination: a file that ends in ``.toml``, or a folder, which gets ``NAME.toml`` (of ``glue/cola``
            it is ``cola.toml``).

    Returns:
        the file that was written.

    Raises:
        RecipeError: there is no such recipe, the destination exists or cannot be written, or its name is
            none that a recipe can have.
    """
    text = recipe_path(name).read_text(encoding="utf-8")
    path = destination / recipe_path(name).name if destination.is_dir() else destination
    if path.suffix != ".toml":
        problem = f"got destination {path}; expected a file that ends in .toml, or a folder that exists"
        raise RecipeError([problem], source=name)
    if not re.fullmatch(NAME_PATTERN, path.stem):
        problem = f"a copy is named after its file; got {path.stem!r}, expected {NAME_DESCRIPTION}"
        raise RecipeError([problem], source=name)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(re.sub(r"^name = .*$", f'name = "{path.stem}"', text, count=1, flags=re.MULTILINE))
    except FileExistsError:
        problem = f"{path} exists already and is left as it is; choose another file"
        raise RecipeError([problem], source=name) from None
    except OSError as error:
        raise RecipeError([f"cannot write {path}: {error.strerror}"], source=name) from error
    return path


def _description(name: str) -> str:
    description = tomllib.loads(recipe_path(name).read_text(encoding="utf-8")).get("description", "")
    return str(description)
