"""What a recipe may say of teachers that give predictions alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli_w
from pydantic import ValidationError

from bertling.errors import RecipeError
from bertling.recipe.comparison import comparison
from bertling.recipe.inputs import check_inputs
from bertling.recipe.load import dump_recipe, load_recipe
from bertling.recipe.schema import Recipe

SHAPE = {"layers": 2, "width": 16, "heads": 4, "ffn": 24}
SOFT = {"soft_labels": {"good": "p_good", "bad": "p_bad"}}
MODELS = {"models": [{"model": "one"}, {"model": "two", "weight": 3.0}]}


def tables(teacher: dict[str, Any], **sections: Any) -> dict[str, Any]:
    return {
        "name": "mine",
        "task": {"name": "mine"},
        "data": {"train": "train.tsv", "test": "test.tsv"},
        "teacher": teacher,
        "student": {**SHAPE, "source": "encoder"},
        "prediction": {},
        **sections,
    }


@pytest.mark.parametrize("teacher", [SOFT, MODELS, {**MODELS, "fine_tune": False, "accept_weak": True}])
def test_teachers_of_predictions_are_read_and_written(teacher: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(tomli_w.dumps(tables(teacher)))
    recipe = load_recipe(path)
    assert recipe.teacher.predictions_only
    assert recipe.source == "encoder"
    path.write_text(dump_recipe(recipe))
    assert load_recipe(path) == recipe
    # A comparison makes recipes out of one that was read, with all defaults written out.
    assert comparison(recipe, ["kd", "none"])["kd"].teacher == recipe.teacher


def test_the_student_of_another_run_brings_the_tokenizer() -> None:
    assert Recipe.model_validate(tables(MODELS, student={"model": "general"})).source == "general"
    assert Recipe.model_validate(tables({"model": "teacher"}, student=SHAPE)).source == "teacher"


def test_columns_of_the_data_are_named_and_nothing_is_fine_tuned() -> None:
    recipe = Recipe.model_validate(tables(SOFT))
    assert recipe.teacher.named == "the soft labels in p_good, p_bad"
    assert not recipe.teacher.trains


@pytest.mark.parametrize(
    ("teacher", "sections", "problem"),
    [
        ({}, {}, "exactly one of model, models, soft_labels; got none"),
        ({"model": "a", **SOFT}, {}, "got model and soft_labels"),
        ({"models": []}, {}, "models is empty; expected a list of"),
        ({"soft_labels": {}}, {}, "soft_labels is empty; expected a table of"),
        ({"models": [{"model": "a"}, {"model": "a"}]}, {}, "holds one twice"),
        ({"models": [{"model": "a", "labels": ["x", "y"]}]}, {}, "fine-tuned here gets the data's"),
        ({**MODELS, "labels": ["x", "y"], "fine_tune": False}, {}, "each of the models has its own"),
        ({**SOFT, "epochs": 7}, {}, "epochs: with soft_labels there is no model to train"),
        ({"soft_labels": {"good": "p"}}, {}, "good alone; expected a column for each"),
        (SOFT, {"student": SHAPE}, "source is missing: .*predictions alone"),
        (MODELS, {"student": SHAPE}, "source is missing: .*predictions alone"),
        ({"model": "a"}, {}, "source: the student of .*is made from that model"),
        (SOFT, {"student": {"model": "a", "source": "b"}}, "exists already; leave one of them out"),
        (SOFT, {"intermediate": {}}, r"\[intermediate\] terms: embedding, .*leave the section out"),
        (MODELS, {"method": "pkd"}, r"\[prediction\] terms: patient_states: .*use prediction or"),
        (SOFT, {"augment": {}}, "nobody is there to give them soft labels"),
        (
            MODELS,
            {"prediction": {"unlabelled": True}, "data": {**tables({})["data"], "unlabelled": "more.txt"}},
            "kept as the student's tokens",
        ),
        (
            SOFT,
            {"prediction": {"unlabelled": True}, "data": {**tables({})["data"], "unlabelled": "more.txt"}},
            "such text has no soft labels",
        ),
        (SOFT, {"data": {"hub": "owner/name"}}, "they are columns of files"),
        (MODELS, {"task": {"name": "mine", "word_labels": True}}, "is for labels of texts"),
        (
            SOFT,
            {"task": {"name": "mine", "labels": ["good", "worse"]}},
            'got good, bad; expected {good = "...", worse = "..."}',
        ),
        (SOFT, {"task": {"name": "sst2"}}, 'expected {negative = "...", positive = "..."}'),
        (SOFT, {"task": {"name": "mine", "regression": True, "label": "grade"}}, 'expected {grade = "..."}'),
    ],
)
def test_what_such_teachers_cannot_teach_is_refused(
    teacher: dict[str, Any], sections: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValidationError, match=problem):
        Recipe.model_validate(tables(teacher, **sections))


def test_a_misspelt_key_of_one_of_the_models_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(tomli_w.dumps(tables({"models": [{"model": "one", "wieght": 2.0}]})))
    with pytest.raises(RecipeError, match=r"models\[0\]\.wieght: unknown key .*model, weight, labels"):
        load_recipe(path)


def test_models_that_are_not_there_are_named_by_their_place(tmp_path: Path) -> None:
    for name in ("train.tsv", "test.tsv"):
        (tmp_path / name).touch()
    data = {"train": tmp_path / "train.tsv", "test": tmp_path / "test.tsv"}
    teacher = {"models": [{"model": "owner/name"}, {"model": "./gone"}]}
    recipe = Recipe.model_validate(tables(teacher, data=data, student={**SHAPE, "source": "./away"}))
    with pytest.raises(RecipeError) as caught:
        check_inputs(recipe)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "[teacher] models[1].model",
        "[student] source",
    ]
