"""Stages with patience in a whole run: the validation set, what is kept, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.pipeline import words

from bertling.data.examples import Examples
from bertling.errors import DataError, RecipeError
from bertling.pipeline.context import task_of
from bertling.pipeline.judging import evaluate_model

FRACTION = "data.validation_fraction=0.25"
SHORT = ("general=none", "intermediate=none", "report=none", "evaluate.yardsticks=none")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> words.Run:
    folder = tmp_path_factory.mktemp("patience")
    words.write_task(folder)
    return words.run(
        words.read(
            folder,
            *SHORT,
            FRACTION,
            "teacher.patience=1",
            "teacher.epochs=8",
            "prediction.patience=2",
            "baseline.patience=1",
            "baseline.epochs=5",
        )
    )


def test_the_validation_set_is_trained_on_by_nobody(run: words.Run) -> None:
    data = run.folder / "stages" / "data"
    train, validation = (Examples.load(data / f"{name}.parquet") for name in ("train", "validation"))
    assert run.results.data.train_examples == len(train)
    assert 12 <= len(validation) <= 20
    assert len(train) + len(validation) == 64
    assert not set(train.texts) & set(validation.texts)


def test_a_stage_s_model_is_that_of_its_best_epoch(run: words.Run) -> None:
    """Its score, measured from outside, is the best that was noted."""
    validation = Examples.load(run.folder / "stages" / "data" / "validation.parquet")
    file = run.folder / "validation.tsv"
    names, labels = validation.label_names or [], validation.label_array().tolist()
    rows = [(text, names[label]) for text, label in zip(validation.texts, labels, strict=True)]
    words.write_tsv(file, rows)
    assert set(run.results.validations) == {"teacher", "prediction", "baseline"}
    for stage, points in run.results.validations.items():
        found = evaluate_model(
            str(run.folder / "stages" / stage / "model"), file, task_of(run.recipe), max_length_tokens=8
        )
        assert found.sets[0].figures["accuracy"] == max(point.score for point in points)
        assert points[-1].step == run.results.histories[stage][-1].step


def test_epochs_end_early_and_the_console_says_how(run: words.Run) -> None:
    points = run.results.validations["teacher"]
    assert len(points) < 8
    assert points[-1].score <= points[-2].score
    assert f"epoch {len(points)}: {points[-1].score:.3f} on the validation set, best" in run.printed


def test_a_file_in_the_place_of_a_part(tmp_path: Path) -> None:
    words.write_task(tmp_path)
    words.write_tsv(tmp_path / "validation.tsv", words.texts(20, seed=9))
    recipe = words.read(
        tmp_path, *words.SMALL, f"data.validation={tmp_path / 'validation.tsv'}", "prediction.patience=1"
    )
    run = words.run(recipe)
    data = run.folder / "stages" / "data"
    assert len(Examples.load(data / "validation.parquet")) == 20
    assert run.results.data.train_examples == 64
    noted = json.loads((run.folder / "stages" / "prediction" / "validation.json").read_text())
    assert [point["score"] for point in noted] == [
        point.score for point in run.results.validations["prediction"]
    ]
    # another validation file may stop the stages elsewhere
    words.write_tsv(tmp_path / "validation.tsv", words.texts(20, seed=10))
    assert {"data", "prediction"} <= set(words.run(recipe).ran)


def test_too_few_examples_to_part_are_refused_with_the_setting_s_name(tmp_path: Path) -> None:
    words.write_task(tmp_path)
    recipe = words.read(tmp_path, *words.SMALL, FRACTION, "data.train_examples=1", "prediction.patience=1")
    with pytest.raises(DataError, match=r"validation_fraction = 0\.25"):
        words.run(recipe)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["prediction.patience=1"], r"\[prediction\] patience: needs examples to score"),
        ([FRACTION], r"\[data\] validation_fraction: no stage reads it"),
        ([FRACTION, "data.validation=a.tsv"], "give validation or validation_fraction, not both"),
        (["data.validation=DIR/test.tsv", "prediction.patience=1"], "is test as well"),
        (["data.validation=DIR/nowhere.tsv", "prediction.patience=1"], r"nowhere.tsv does not exist"),
        ([FRACTION, "intermediate.patience=1"], "patience"),
        ([FRACTION, "teacher.patience=1", "teacher.fine_tune=false"], "taken as it is has no epochs"),
        ([FRACTION, "prediction.patience=0"], "patience"),
    ],
)
def test_what_is_refused(tmp_path: Path, overrides: list[str], message: str) -> None:
    words.write_task(tmp_path)
    with pytest.raises((RecipeError, DataError), match=message):
        words.run(words.read(tmp_path, *(override.replace("DIR", str(tmp_path)) for override in overrides)))
