"""A method sets what stages learn, unless the recipe says it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from bertling.errors import RecipeError
from bertling.recipe import Recipe, dump_recipe, load_recipe
from bertling.recipe.methods import METHODS, MethodName

STAGES = "\n[general]\n[intermediate]"


@pytest.fixture
def load(write_recipe: Callable[[str], Path], minimal: str) -> Callable[..., Recipe]:
    path = write_recipe(minimal + STAGES)
    return lambda *overrides: load_recipe(path, overrides)


def terms(recipe: Recipe) -> dict[str, object]:
    sections = {name: getattr(recipe, name) for name in ("general", "intermediate", "prediction")}
    return {name: section and (section.terms, section.temperature) for name, section in sections.items()}


def test_every_method_has_a_name_that_a_recipe_takes() -> None:
    assert set(METHODS) == set(get_args(MethodName))


def test_tinybert_is_the_default(load: Callable[..., Recipe]) -> None:
    recipe = load()
    assert recipe.method == "tinybert"
    states = {"embedding": 1.0, "attention": 1.0, "hidden": 1.0}
    assert terms(recipe) == {
        "general": (states, 1.0),
        "intermediate": (states, 1.0),
        "prediction": ({"prediction": 1.0}, 1.0),
    }


@pytest.mark.parametrize("method", METHODS)
def test_a_method_sets_terms_and_temperature_of_its_stages(
    load: Callable[..., Recipe], method: MethodName, tmp_path: Path
) -> None:
    lessons = METHODS[method].lessons
    single = ["intermediate=none"] if lessons["intermediate"] is None else []
    recipe = load(f"method={method}", *single)
    assert recipe.method == method
    assert terms(recipe) == {
        stage: lesson and (lesson.terms, lesson.temperature) for stage, lesson in lessons.items()
    }
    dumped = tmp_path / "dumped.toml"
    dumped.write_text(dump_recipe(recipe))
    assert load_recipe(dumped) == recipe


def test_what_a_section_says_wins(load: Callable[..., Recipe]) -> None:
    recipe = load("method=kd", "intermediate.terms={hidden=2.0}", "prediction.temperature=7")
    assert recipe.intermediate is not None
    assert recipe.intermediate.terms == {"hidden": 2.0}
    assert recipe.intermediate.temperature == 1.0
    assert recipe.prediction.terms == {"soft_targets": 0.5, "labels": 0.5}
    assert recipe.prediction.temperature == 7.0


@pytest.mark.parametrize("turned", [False, True])
def test_one_weight_of_the_method_s_is_changed(load: Callable[..., Recipe], turned: bool) -> None:
    overrides = ["intermediate=none", "method=pkd", "prediction.terms.patient_states=10"]
    recipe = load(*(reversed(overrides) if turned else overrides))
    assert recipe.prediction.terms == {"soft_targets": 0.5, "labels": 0.5, "patient_states": 10.0}


def test_a_method_with_one_task_stage_refuses_a_second(load: Callable[..., Recipe]) -> None:
    with pytest.raises(RecipeError) as caught:
        load("method=kd")
    (problem,) = caught.value.problems
    assert problem.startswith("[intermediate] the method kd learns the task in a single stage: leave this")


def test_none_is_a_method_and_takes_no_key_out(load: Callable[..., Recipe]) -> None:
    recipe = load("method=none", "intermediate=none", "augment.stop_words=none")
    assert recipe.method == "none"
    assert recipe.general is not None
    assert not recipe.general.learns
    assert recipe.augment is not None
    assert recipe.augment.stop_words == "none"


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["method=kdd"], "method: got \"kdd\"; expected 'tinybert', "),
        (["method=kdd", "prediction.terms.labels=1"], "method: got \"kdd\"; expected 'tinybert', "),
        (
            ["general.terms={soft_targets=1}"],
            "[general] terms: the general stage has no head, so soft_targets",
        ),
        (["general.terms={patient_states=1}"], "[general] terms: the general stage has no head"),
        (["general.terms={soft_masked_lm=1}"], "[general] terms: soft_masked_lm guesses with the head that"),
        (["general.terms={hidden=0}"], "[general] terms: at least one term needs a weight above zero"),
        (["prediction.terms={}"], "[prediction] terms: at least one term needs a weight above zero"),
        (["intermediate.terms={masked_lm=1}"], "[intermediate] terms: masked_lm can be used in the general"),
        (
            ["method=kd", "intermediate=none", "prediction.unlabelled=true"],
            "[prediction] unlabelled: such text has no labels, so the term labels",
        ),
    ],
)
def test_terms_that_make_no_sense_are_refused(
    load: Callable[..., Recipe], overrides: list[str], problem: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        load(*overrides)
    (got,) = caught.value.problems
    assert got.startswith(problem)
