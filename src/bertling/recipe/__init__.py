"""What a run does, said in TOML: the schema, loading with overrides, and the shipped recipes. No torch."""

from bertling.recipe.catalog import copy_recipe, list_recipes, recipe_path
from bertling.recipe.load import dump_recipe, load_recipe
from bertling.recipe.schema import Recipe

__all__ = ["Recipe", "copy_recipe", "dump_recipe", "list_recipes", "load_recipe", "recipe_path"]
