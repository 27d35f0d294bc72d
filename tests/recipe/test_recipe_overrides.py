from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bertling.errors import RecipeError
from bertling.recipe import Recipe, load_recipe


@pytest.fixture
def load(write_recipe: Callable[[str], Path], minimal: str) -> Callable[..., Recipe]:
    path = write_recipe(minimal)
    return lambda *overrides: load_recipe(path, overrides)


def test_values_are_read_as_toml_and_else_as_strings(load: Callable[..., Recipe]) -> None:
    recipe = load(
        "seed=1",
        "prediction.learning_rate=1e-4",
        "teacher.fine_tune=false",
        'task.labels=["blue", "red"]',
        "teacher.model=../models/teacher-1",
        'description="17"',
        "prediction.epochs = 2",
        "student.layer_map=top",
    )

    assert recipe.seed == 1
    assert recipe.prediction.learning_rate == 1e-4
    assert recipe.teacher.fine_tune is False
    assert recipe.task.labels == ("blue", "red")
    assert recipe.teacher.model == "../models/teacher-1"
    assert recipe.description == "17"
    assert recipe.prediction.epochs == 2.0
    assert recipe.student.layer_map == "top"


def test_a_value_may_hold_an_equals_sign(load: Callable[..., Recipe]) -> None:
    assert load("description=a=b").description == "a=b"


def test_a_line_break_does_not_smuggle_in_another_key(load: Callable[..., Recipe]) -> None:
    assert load("description=1\nseed=7").description == "1\nseed=7"


def test_the_last_override_of_a_key_wins(load: Callable[..., Recipe]) -> None:
    assert load("seed=1", "seed=2").seed == 2


def test_an_override_makes_the_section_that_it_names(load: Callable[..., Recipe]) -> None:
    report = load("report.disagreements=5").report

    assert report is not None
    assert report.disagreements == 5


def test_one_weight_is_changed_and_the_other_terms_keep_their_defaults(load: Callable[..., Recipe]) -> None:
    intermediate = load("intermediate.terms.hidden=0.5").intermediate

    assert intermediate is not None
    assert intermediate.terms == {"embedding": 1.0, "attention": 1.0, "hidden": 0.5}
    # and the schema's own default is not changed by it
    again = load("intermediate.epochs=1").intermediate
    assert again is not None
    assert again.terms["hidden"] == 1.0


def test_weights_in_the_file_are_kept(write_recipe: Callable[[str], Path], minimal: str) -> None:
    path = write_recipe(minimal + "terms = { prediction = 0.25, labels = 0.75 }")

    assert load_recipe(path, ["prediction.terms.labels=0.5"]).prediction.terms == {
        "prediction": 0.25,
        "labels": 0.5,
    }


def test_none_takes_a_key_a_term_or_a_section_out(load: Callable[..., Recipe]) -> None:
    assert load("seed=7", "seed=none").seed == 42
    assert load("general.epochs=1", "general=none").general is None
    intermediate = load("intermediate.epochs=1", "intermediate.terms.attention=none").intermediate
    assert intermediate is not None
    assert intermediate.terms == {"embedding": 1.0, "hidden": 1.0}


def test_none_for_what_is_not_there_changes_nothing(load: Callable[..., Recipe]) -> None:
    assert load("general=none", "baseline.epochs=none", "general.terms.hidden=none") == load()


def test_the_string_none_stands_in_quotes(load: Callable[..., Recipe]) -> None:
    assert load('description="none"').description == "none"


@pytest.mark.parametrize(
    ("override", "problem"),
    [
        ("student.width", "override 'student.width': expected section.key=value"),
        ("=3", "override '=3': expected section.key=value"),
        ("student..width=3", "override 'student..width=3': expected section.key=value"),
        ("seed=", "override 'seed=': expected a value behind"),
        ("task.labels=[a, b]", "override 'task.labels=[a, b]': [a, b] is not TOML"),
        ("generl=none", 'generl: unknown key (got "none"); did you mean general?'),
        ("student.wdith=none", '[student] wdith: unknown key (got "none"); did you mean width?'),
        ("seed.x=1", 'seed: got {"x": 1}; expected a whole number'),
        ("student=3", "[student]: got 3; expected a section"),
        ("teacher=none", "[teacher]: missing; every recipe has this section"),
        ("student.width=3.5", "[student] width: got 3.5; expected a whole number"),
        ("seed=12_", 'seed: got "12_"; expected a whole number'),
    ],
)
def test_an_override_that_does_not_fit_is_a_problem(
    load: Callable[..., Recipe], override: str, problem: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        load(override)

    (got,) = caught.value.problems
    assert got.startswith(problem)


def test_problems_of_overrides_and_recipe_are_reported_together(load: Callable[..., Recipe]) -> None:
    with pytest.raises(RecipeError) as caught:
        load("seed", "threads=0", "baseline.epoch=1")

    assert len(caught.value.problems) == 3
