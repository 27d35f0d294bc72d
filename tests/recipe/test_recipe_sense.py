"""Settings that are valid one by one and make no sense together."""

from __future__ import annotations

from pathlib import Path

import pytest

from bertling.errors import RecipeError
from bertling.recipe.load import load_recipe


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["task.regression=true", "task.metric=f1"], "f1 is for classes"),
        (["task.metric=spearman"], "spearman is for numbers"),
        (["data.test=train.tsv"], "train and test are both train.tsv"),
        (
            ["prediction.no_op_threshold=0.8"],
            "leaves heads out of the term attention, which this stage does not",
        ),
        (["teacher.labels=['no', 'yes']"], "a teacher that is fine-tuned here gets the data's"),
    ],
)
def test_it_is_refused(overrides: list[str], message: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(
        """
        name = "mine"
        task = { name = "mine" }
        data = { train = "train.tsv", test = "test.tsv" }
        teacher = { model = "teacher" }
        student = { preset = "tinybert-4l-312" }
        prediction = {}
        """
    )
    load_recipe(recipe)
    with pytest.raises(RecipeError, match=message):
        load_recipe(recipe, overrides)
