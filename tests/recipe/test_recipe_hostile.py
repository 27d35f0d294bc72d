"""Recipes that no one writes: numbers without end, tables in tables, and messages that stay readable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bertling.errors import RecipeError
from bertling.recipe import load_recipe

pytestmark = pytest.mark.faults

Write = Callable[[str], Path]


@pytest.mark.parametrize(
    "line",
    [
        f"seed = {'9' * 5000}",
        f"seed = 0x{'f' * 5000}",
        f"seed = {'[' * 3000}{']' * 3000}",
        f"[{'.'.join(['a'] * 3000)}]\nseed = 1",
        f"{'x' * 1_000_000} = 1",
        f"seed = {'x' * 1_000_000}",
    ],
    ids=["digits", "hex", "lists", "tables", "key", "value"],
)
def test_a_value_that_cannot_be_is_one_problem_in_a_short_message(
    write_recipe: Write, minimal: str, line: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write_recipe(f"{line}\n{minimal}" if line[0] != "[" else f"{minimal}\n{line}"))
    assert len(str(caught.value)) < 5000


@pytest.mark.parametrize(
    "override",
    [f"seed={'9' * 5000}", f"seed={'[' * 3000}", f"{'.'.join(['a'] * 3000)}=1", "x" * 1_000_000],
    ids=["digits", "lists", "tables", "no override"],
)
def test_so_is_an_override(write_recipe: Write, minimal: str, override: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write_recipe(minimal), [override])
    assert len(str(caught.value)) < 5000


def test_so_are_many_of_them(write_recipe: Write, minimal: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write_recipe(minimal), [f"seed={'9' * 5000}", "x" * 1000] * 10)
    assert "override 'xxx" in str(caught.value)
    assert len(str(caught.value)) < 10_000
