from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bertling.errors import RecipeError
from bertling.recipe import Recipe, load_recipe
from bertling.recipe.comparison import comparison
from bertling.recipe.methods import METHODS

STAGES = """
epochs = 2
learning_rate = 3e-4
temperature = 9.0
[prediction.terms]
labels = 0.5
[general]
max_tokens = 1000
[intermediate]
epochs = 5
batch_size = 8
terms = { hidden = 3.0 }
[baseline]
[evaluate]
yardsticks = ["tfidf"]
[report]
"""


@pytest.fixture
def load(write_recipe: Callable[[str], Path], minimal: str) -> Callable[..., Recipe]:
    path = write_recipe(minimal + STAGES)
    return lambda *overrides: load_recipe(path, overrides)


def test_every_method_has_the_same_teacher_student_data_and_corpus(load: Callable[..., Recipe]) -> None:
    recipe = load()
    variants = comparison(recipe, list(METHODS))
    assert list(variants) == list(METHODS)
    for method, variant in variants.items():
        assert variant.method == method
        for part in ("task", "data", "teacher", "student", "seed"):
            assert getattr(variant, part) == getattr(recipe, part)
        assert (variant.baseline, variant.report, variant.evaluate.yardsticks) == (None, None, ())
        assert variant.general is not None
        assert variant.general.max_tokens == 1000
        lessons = METHODS[method].lessons
        for stage, lesson in lessons.items():
            section = getattr(variant, stage)
            assert (section and (section.terms, section.temperature)) == (
                lesson and (lesson.terms, lesson.temperature)
            )


def test_a_single_task_stage_has_the_passes_of_both(load: Callable[..., Recipe]) -> None:
    variants = comparison(load(), ["tinybert", "kd"])
    two, one = variants["tinybert"], variants["kd"]
    assert two.intermediate is not None
    assert (two.intermediate.epochs, two.prediction.epochs) == (5, 2)
    assert one.intermediate is None
    assert one.prediction.epochs == 7
    assert (one.prediction.learning_rate, one.prediction.batch_size) == (3e-4, 32)


def test_steps_are_added_up_by_the_examples_that_they_see(load: Callable[..., Recipe]) -> None:
    recipe = load("intermediate.max_steps=10", "prediction.max_steps=3", "prediction.accumulation_steps=2")
    # 10 batches of 8 are two of 64, rounded up
    assert comparison(recipe, ["mlm"])["mlm"].prediction.max_steps == 5


def test_a_recipe_with_one_task_stage_keeps_its_budget(load: Callable[..., Recipe]) -> None:
    for variant in comparison(load("intermediate=none"), ["tinybert", "kd"]).values():
        assert variant.intermediate is None
        assert variant.prediction.epochs == 2


def test_the_recipe_as_it_stands_can_be_one_of_them(load: Callable[..., Recipe]) -> None:
    recipe = load()
    own = comparison(recipe, ["recipe", "kd"])["recipe"]
    assert (own.general, own.intermediate, own.prediction) == (
        recipe.general,
        recipe.intermediate,
        recipe.prediction,
    )


@pytest.mark.parametrize(
    ("overrides", "methods", "problem"),
    [
        ([], ["kd", "kdd"], "methods: got kd, kdd; expected different ones of tinybert, "),
        ([], ["kd", "kd"], "methods: got kd, kd; expected different ones of"),
        ([], [], "methods: got none; expected different ones of"),
        (["prediction.max_steps=3"], ["kd"], "method kd: the budget of one task stage is in steps"),
        (
            ["intermediate.unlabelled=true"],
            ["kd"],
            "method kd: the intermediate and the prediction stage read",
        ),
        (
            ["intermediate.unlabelled=true", "prediction.terms={prediction=1}", "prediction.unlabelled=true"],
            ["kd"],
            "method kd: [prediction] unlabelled: such text has no labels",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(
    load: Callable[..., Recipe], overrides: list[str], methods: list[str], problem: str
) -> None:
    with pytest.raises(RecipeError) as caught:
        comparison(load(*overrides), methods)
    (got,) = caught.value.problems
    assert got.startswith(problem)


def test_a_method_compares_all_heads_unless_it_is_the_recipe_as_it_stands(
    write_recipe: Callable[[str], Path], minimal: str
) -> None:
    recipe = load_recipe(write_recipe(f"{minimal}[intermediate]\nno_op_threshold = 0.8"))
    found = comparison(recipe, ["recipe", "tinybert", "minilm", "kd"])
    thresholds = [variant.intermediate and variant.intermediate.no_op_threshold for variant in found.values()]
    assert thresholds == [0.8, None, None, None]
