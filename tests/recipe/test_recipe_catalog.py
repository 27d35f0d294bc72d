from __future__ import annotations

from pathlib import Path

import pytest

from bertling.errors import RecipeError
from bertling.recipe import copy_recipe, list_recipes, load_recipe, recipe_path

NAMES = [name for name, _ in list_recipes()]


def test_quickstart_and_sst2_are_shipped() -> None:
    assert {"quickstart", "sst2"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_recipe_is_valid_named_after_its_file_and_says_its_command_cost_and_result(
    name: str,
) -> None:
    recipe = load_recipe(name)
    comments = [
        line for line in recipe_path(name).read_text(encoding="utf-8").splitlines() if line.startswith("#")
    ]

    assert recipe.name == name
    assert dict(list_recipes())[name] == recipe.description != ""
    for word in (f"command   bertling run {name}", "cost   ", "result   "):
        assert any(word in line for line in comments), word


def test_a_copy_keeps_everything_but_its_name(tmp_path: Path) -> None:
    copied = copy_recipe("quickstart", tmp_path / "mine.toml")

    assert copied == tmp_path / "mine.toml"
    assert load_recipe(copied) == load_recipe("quickstart", ["name=mine"])
    assert copied.read_text(encoding="utf-8").startswith("#")


def test_a_folder_gets_the_recipe_under_its_name(tmp_path: Path) -> None:
    assert copy_recipe("quickstart", tmp_path) == tmp_path / "quickstart.toml"


def test_a_copy_does_not_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("precious", encoding="utf-8")

    with pytest.raises(RecipeError, match=r"mine\.toml exists already"):
        copy_recipe("quickstart", path)

    assert path.read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize(
    ("destination", "message"),
    [
        ("mine.txt", r"expected a file that ends in \.toml"),
        ("my recipe.toml", r"got 'my recipe', expected letters"),
        ("nowhere/mine.toml", "cannot write"),
    ],
)
def test_a_destination_that_cannot_be_is_an_error(tmp_path: Path, destination: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        copy_recipe("quickstart", tmp_path / destination)

    assert list(tmp_path.iterdir()) == []


def test_a_recipe_that_is_not_shipped_cannot_be_copied(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"did you mean sst2\?"):
        copy_recipe("sst-2", tmp_path)


def test_a_recipe_in_a_folder_has_a_slash_in_its_name_and_is_copied_without(tmp_path: Path) -> None:
    assert load_recipe("glue/cola").folder == Path("runs/glue/cola")

    copied = copy_recipe("glue/cola", tmp_path)

    assert copied == tmp_path / "cola.toml"
    assert load_recipe(copied) == load_recipe("glue/cola", ["name=cola"])


@pytest.mark.parametrize("name", ["../cola", "glue/", "/cola", "glue/.cola", "a/b/c"])
def test_a_slash_does_not_lead_out_of_the_runs(name: str) -> None:
    with pytest.raises(RecipeError, match='with a "/" it is two such names'):
        load_recipe("quickstart", [f'name="{name}"'])
