"""``bertling attention`` on a finished run: what it writes, what it prints, what it refuses."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from tests import tiny
from tests.pipeline import kinds_data, other_teachers, questions_data, words
from transformers import PreTrainedModel

from bertling.cli import main
from bertling.errors import DataError, RunFolderError
from bertling.pipeline.attention import attention
from bertling.pipeline.context import task_of
from bertling.pipeline.judging import labelled_sets
from bertling.recipe.load import dump_recipe, load_recipe
from bertling.results_of_attention import attention_of_run


def test_numbers_are_written_and_shown_and_stay_with_the_student(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["attention", str(run), "--examples", "10"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "teacher, 4 x 4 heads student, 2 x 4 heads uniform" in printed
    assert "previous token" in printed
    assert f"wrote {run / 'attention.json'}" in printed
    found = attention_of_run(run)
    assert found is not None
    assert (found.texts, found.sep_token, list(found.models)) == (10, "[SEP]", ["teacher", "student"])
    assert all(head.sep_gradient for model in found.models.values() for head in model.figures)
    page = (run / "report.html").read_text()
    assert 'id="attention"' in page

    # The report is made again with it, by its own command and by the run's.
    (run / "report.html").unlink()
    assert main(["report", str(run)]) == 0
    assert (run / "report.html").read_text() == page
    weights = run / "student" / "model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"\n")
    assert main(["report", str(run)]) == 0
    assert "is of another student or version" in " ".join(capsys.readouterr().out.split())
    assert 'id="attention"' not in (run / "report.html").read_text()


def test_the_same_run_again_keeps_the_section(finished: words.Run, run: Path) -> None:
    attention(run, examples=4)
    words.run(words.read(finished.folder.parent, f"output={run}"))
    assert 'id="attention"' in (run / "report.html").read_text()


def test_all_examples_are_taken_where_there_are_fewer(run: Path) -> None:
    assert attention(run, examples=1000).texts == 24


def test_a_folder_that_is_no_finished_run_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"no run folder: it has no recipe\.toml"):
        attention(tmp_path)
    (run / "stages" / "data" / "test.parquet").unlink()
    with pytest.raises(DataError, match="no longer holds the set that it reported"):
        attention(run)
    shutil.rmtree(run / "stages" / "teacher")
    with pytest.raises(RunFolderError, match=r"has no teacher \(there is no stages/teacher/model\)"):
        attention(run)


def laid_out(folder: Path, model: PreTrainedModel, data: str, *overrides: str) -> Path:
    """What a finished run of another kind of task leaves for the analysis, its models untrained."""
    recipe = load_recipe(folder / "recipe.toml", overrides)
    run, task = recipe.folder, task_of(recipe)
    for place in ("student", *["stages/teacher/model"] * (recipe.teacher.model is not None)):
        model.save_pretrained(run / place)
        tiny.tokenizer().save_pretrained(run / place)
    (run / "recipe.toml").write_text(dump_recipe(recipe), encoding="utf-8")
    (run / "stages" / "data").mkdir(parents=True)
    sets = labelled_sets(folder / data, task, label_names=None)
    next(iter(sets.values())).save(run / "stages" / "data" / "test.parquet")
    return run


def test_labels_of_words(tmp_path: Path) -> None:
    kinds_data.write_words_task(tmp_path)
    names = dict(enumerate(kinds_data.TAGS))
    model = tiny.word_classifier(id2label=names, label2id={name: index for index, name in names.items()})
    found = attention(laid_out(tmp_path, model, "test.txt"), examples=6)
    assert all(head.sep_gradient for head in found.models["student"].figures)


def test_several_labels(tmp_path: Path) -> None:
    kinds_data.write_topics_task(tmp_path)
    names = dict(enumerate(kinds_data.TOPICS))
    model = tiny.classifier(
        id2label=names,
        label2id={name: index for index, name in names.items()},
        problem_type="multi_label_classification",
    )
    found = attention(laid_out(tmp_path, model, "train.jsonl"), examples=6)
    assert all(head.sep_gradient for head in found.models["student"].figures)


def test_questions(tmp_path: Path) -> None:
    questions_data.write_task(tmp_path)
    found = attention(laid_out(tmp_path, tiny.answerer(), "test.json"), examples=3)
    assert found.texts >= 3
    assert all(head.sep_gradient for head in found.models["student"].figures)


def test_of_a_black_box_there_is_nothing_to_see(tmp_path: Path) -> None:
    other_teachers.write_black_box(tmp_path)
    names = {0: "bad", 1: "good"}
    model = tiny.classifier(id2label=names, label2id={name: index for index, name in names.items()})
    overrides = (*other_teachers.SOFT, *other_teachers.SHORT, other_teachers.source(tmp_path))
    found = attention(laid_out(tmp_path, model, "test.tsv", *overrides), examples=6)
    assert list(found.models) == ["student"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [(["nowhere"], "expected the folder of a finished run"), (["{run}", "--examples", "0"], "Must be >= 1")],
)
def test_bad_questions_end_with_2_and_a_message(
    arguments: list[str], problem: str, run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["attention", *(argument.format(run=run) for argument in arguments)]) == 2
    said = re.sub(r"[\s│]+", " ", capsys.readouterr().err)
    assert problem in said
