"""What a comparison of methods runs: one recipe under each, with the same budget. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from bertling.errors import RecipeError
from bertling.recipe.methods import METHODS
from bertling.recipe.problems import problems_of
from bertling.recipe.schema import Recipe

COMPARISON = "comparison"
AS_IT_STANDS = "recipe"
"""beside the names of the methods: the recipe with its own terms"""
_OF_A_METHOD = ("terms", "temperature", "no_op_threshold")
"""what a stage learns, and not how: a method's own takes its place"""


def comparison(recipe: Recipe, methods: Sequence[str]) -> dict[str, Recipe]:
    """The recipe under each method: same teacher, student, initialisation, data and budget.

    A method's terms and temperatures take the place of the recipe's own in every stage. A method whose task
    stage is a single one gets the budget of both there: as many passes over the same data, with the batches
    and the learning rate of the prediction stage. ``none`` leaves the general stage out, but starts from the
    same student as the others. Baseline, yardsticks and report, which no student's score depends on, are left
    out.

    Args:
        recipe: names the stages and their budgets.
        methods: names of `METHODS`, or ``recipe`` for the recipe as it stands.

    Raises:
        RecipeError: a name that there is not, or that comes twice; a budget that cannot be added up; or a
            method that cannot run with this recipe.
    """
    known = (*METHODS, AS_IT_STANDS)
    if not methods or len(set(methods)) < len(methods) or not set(methods) <= set(known):
        raise RecipeError(
            [f"methods: got {', '.join(methods) or 'none'}; expected different ones of {', '.join(known)}"],
            source=recipe.name,
        )
    tables = recipe.model_dump() | {"baseline": None, "report": None}
    tables["evaluate"] = {**tables["evaluate"], "yardsticks": ()}
    variants = {}
    for method in methods:
        try:
            changed = tables if method == AS_IT_STANDS else _under(tables, method)
            variants[method] = Recipe.model_validate(changed)
        except ValidationError as error:
            problems = [f"method {method}: {problem}" for problem in problems_of(error)]
            raise RecipeError(problems, source=recipe.name) from None
        except ValueError as error:
            raise RecipeError([f"method {method}: {error}"], source=recipe.name) from None
    return variants


def _under(tables: dict[str, Any], method: str) -> dict[str, Any]:
    changed = {**tables, "method": method}
    lessons = next(known.lessons for name, known in METHODS.items() if name == method)
    for stage in lessons:
        if tables[stage]:
            changed[stage] = {key: value for key, value in tables[stage].items() if key not in _OF_A_METHOD}
    if changed["intermediate"] and lessons["intermediate"] is None:
        changed["prediction"] |= _budget_of_both(changed["intermediate"], changed["prediction"])
        changed["intermediate"] = None
    return changed


def _budget_of_both(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Epochs or steps of a single stage that sees as many examples as both; raises ValueError."""
    if first["unlabelled"] != second["unlabelled"]:
        raise ValueError(
            "the intermediate and the prediction stage read other texts (unlabelled), so their budgets "
            "cannot be added up; set unlabelled alike in both"
        )
    if first["max_steps"] and second["max_steps"]:
        sizes = [section["batch_size"] * section["accumulation_steps"] for section in (first, second)]
        return {"max_steps": math.ceil(first["max_steps"] * sizes[0] / sizes[1]) + second["max_steps"]}
    if first["max_steps"] or second["max_steps"]:
        raise ValueError(
            "the budget of one task stage is in steps and of the other in epochs, so they cannot be added "
            "up; give both in epochs, or both as max_steps"
        )
    return {"epochs": first["epochs"] + second["epochs"]}
