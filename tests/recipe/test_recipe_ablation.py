from __future__ import annotations

from pathlib import Path

import pytest

from bertling.recipe.ablation import ablations
from bertling.recipe.load import load_recipe
from bertling.recipe.schema import Recipe
from bertling.recipe.variants import placed

TASK = """
name = "mine"
[task]
name = "sst2"
[data]
folder = "sst2"
[teacher]
model = "teacher"
[student]
preset = "tinybert-4l-312"
[general]
corpus = "corpus.txt"
[augment]
[intermediate]
[prediction]
unlabelled = true
[baseline]
[evaluate]
yardsticks = ["tfidf"]
[report]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    file = tmp_path / "mine.toml"
    file.write_text(TASK)
    return load_recipe(file)


def test_each_stage_and_each_term_is_left_out_in_turn(recipe: Recipe) -> None:
    found = ablations(recipe)
    assert list(found) == [
        "full",
        "no general stage",
        "no augment stage",
        "no intermediate stage",
        "no task distillation",
        "no embedding loss",
        "no attention loss",
        "no hidden loss",
        "no prediction loss",
        "no transformer losses",
    ]
    full = found["full"]
    assert (full.general, full.intermediate, full.prediction) == (
        recipe.general,
        recipe.intermediate,
        recipe.prediction,
    )
    for changed in found.values():
        assert (changed.baseline, changed.report, changed.evaluate.yardsticks) == (None, None, ())
        assert changed.data == recipe.data
        assert changed.teacher == recipe.teacher
        assert changed.student == recipe.student


def test_without_the_general_stage_its_corpus_is_gone(recipe: Recipe) -> None:
    changed = ablations(recipe)["no general stage"]
    assert changed.general is None
    assert not changed.prediction.unlabelled
    own = recipe.model_copy(update={"data": recipe.data.model_copy(update={"unlabelled": Path("more.txt")})})
    assert ablations(own)["no general stage"].prediction.unlabelled


def test_without_task_distillation_labels_take_its_place(recipe: Recipe) -> None:
    changed = ablations(recipe)["no task distillation"]
    assert changed.intermediate is None
    assert changed.prediction.terms == {"labels": 1.0}
    assert not changed.prediction.unlabelled
    assert changed.general == recipe.general


def test_a_term_is_left_out_of_every_stage(recipe: Recipe) -> None:
    changed = ablations(recipe)["no attention loss"]
    for section in (changed.general, changed.intermediate):
        assert section is not None
        assert section.terms == {"embedding": 1.0, "hidden": 1.0}
    assert changed.prediction == recipe.prediction


def test_a_stage_without_any_term_left_goes(recipe: Recipe) -> None:
    changed = ablations(recipe)["no transformer losses"]
    assert changed.general is None
    assert changed.intermediate is None
    assert changed.prediction.terms == {"prediction": 1.0}
    assert not changed.prediction.unlabelled
    assert ablations(recipe)["no prediction loss"].prediction.terms == {"labels": 1.0}


def test_what_is_not_there_is_not_left_out(recipe: Recipe) -> None:
    lean = recipe.model_copy(update={"general": None, "augment": None, "intermediate": None})
    lean = lean.model_copy(update={"prediction": lean.prediction.model_copy(update={"unlabelled": False})})
    assert list(ablations(lean)) == ["full", "no prediction loss"]


def test_every_run_has_a_folder_of_its_own(recipe: Recipe) -> None:
    changed = placed(recipe, Path("runs/mine-ablation"), "no general stage", seed=7)
    assert changed.seed == 7
    assert changed.folder == Path("runs/mine-ablation/no-general-stage-seed7")


def test_heads_are_left_out_of_the_attention_loss_where_there_is_one(recipe: Recipe) -> None:
    assert recipe.intermediate is not None
    changed = recipe.intermediate.model_copy(update={"no_op_threshold": 0.8})
    found = ablations(recipe.model_copy(update={"intermediate": changed}))
    thresholds = {
        name: variant.intermediate.no_op_threshold for name, variant in found.items() if variant.intermediate
    }
    without = ("no attention loss", "no transformer losses")
    assert thresholds == {name: None if name in without else 0.8 for name in thresholds}
    assert thresholds["no hidden loss"] == 0.8
