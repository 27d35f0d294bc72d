"""Whole runs whose teachers give predictions alone: a black box, other tokenizers, several."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from scipy.special import softmax
from tests.pipeline import other_teachers, words
from tests.pipeline.test_faults import Killed, interrupt
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from bertling.augmentation.augmented import load_augmented
from bertling.cli import main
from bertling.errors import DataError, ModelError, RecipeError
from bertling.pipeline.predictions import read_predictions
from bertling.pipeline.preflight import validate_data
from bertling.pipeline.preflight_table import print_preflight
from bertling.recipe.schema import Recipe

LEARNS = ("prediction.epochs=6", "prediction.learning_rate=1e-2")


def black_box(folder: Path, *overrides: str) -> Recipe:
    return words.read(
        folder, *other_teachers.SOFT, *other_teachers.SHORT, other_teachers.source(folder), *overrides
    )


def panel(folder: Path, models: str, *overrides: str) -> Recipe:
    """Texts of characters are long, and the teachers learn enough to pass."""
    return words.read(
        folder,
        "teacher.model=none",
        f"teacher.models={models}",
        "teacher.epochs=8",
        "teacher.learning_rate=5e-3",
        "data.max_length_tokens=40",
        *other_teachers.SHORT,
        other_teachers.source(folder),
        *overrides,
    )


def likely(model: Path, texts: list[str]) -> np.ndarray:
    """(N, 2) probabilities, by transformers alone, one text at a time."""
    classifier = AutoModelForSequenceClassification.from_pretrained(model).eval()
    tokenizer = AutoTokenizer.from_pretrained(model)
    with torch.inference_mode():
        logits = [classifier(**tokenizer(text, return_tensors="pt")).logits[0].numpy() for text in texts]
    return np.asarray(softmax(np.stack(logits), axis=1))


@pytest.fixture(scope="module")
def boxed(tmp_path_factory: pytest.TempPathFactory) -> words.Run:
    folder = tmp_path_factory.mktemp("boxed")
    other_teachers.write_black_box(folder)
    return words.run(black_box(folder, "report={}", *LEARNS))


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> words.Run:
    """Two teachers of different tokenizers, fine-tuned here, who answer augmented texts too."""
    folder = tmp_path_factory.mktemp("several")
    words.write_task(folder)
    words.in_letters(folder)
    other_teachers.write_reader(folder / "reader")
    models = f'[{{model="{folder}/reader"}}, {{model="{folder}/teacher", weight=3.0}}]'
    augment = ("augment.variants=1", "augment.head_steps=2", "augment.mode=unmasked", "baseline=none")
    return words.run(panel(folder, models, *augment, "evaluate.yardsticks=none"))


def test_a_black_box_teaches_without_a_teachers_model(boxed: words.Run) -> None:
    results = boxed.results
    assert [stage for stage in boxed.ran if stage.startswith(("teacher", "soft"))] == ["soft-targets"]
    assert results.teacher is not None
    assert results.teacher.score == pytest.approx(21 / 24)  # wrong on every tenth, from the first
    assert (results.teacher.parameters, results.speedup, results.size_ratio) == (None, None, None)
    assert results.score_retention == pytest.approx(results.student.score / results.teacher.score)
    assert results.histories["prediction"][-1].terms.keys() == {"prediction"}
    said = read_predictions(boxed.folder)
    assert np.mean(said["teacher"] == said["label"]) == pytest.approx(results.teacher.score)
    assert boxed.results.baseline is not None
    page = (boxed.folder / "report.html").read_text()
    assert "taught by the soft labels in p_good, p_bad" in page
    assert "What each part of the student learns from" not in page
    assert (
        "with the predictions of the soft labels in" in (boxed.folder / "student" / "README.md").read_text()
    )


def test_unchanged_soft_labels_are_not_learned_again_and_changed_ones_are(
    boxed: words.Run, tmp_path: Path
) -> None:
    folder = Path(boxed.recipe.source).parent
    assert words.run(boxed.recipe).ran == []
    rows = other_teachers.soft_rows(64, seed=1)
    rows[5] = (*rows[5][:2], 0.5, 0.5)
    changed = tmp_path / "train.tsv"
    words.write_tsv(changed, rows, other_teachers.HEADER)
    recipe = black_box(folder, f"data.train={changed}", f"output={tmp_path / 'run'}", *LEARNS)
    again = words.run(recipe)
    assert {"data", "soft-targets", "prediction"} <= set(again.ran)
    logits = [np.load(run.folder / "stages/soft-targets/logits.npy") for run in (boxed, again)]
    np.testing.assert_array_equal(np.flatnonzero((logits[0] != logits[1]).any(1)), [5])
    swapped = black_box(
        folder, f"output={boxed.folder}", "teacher.soft_labels.good=p_bad", "teacher.soft_labels.bad=p_good"
    )
    with pytest.raises(ModelError, match=r"black box .*nothing to teach.*each label has its own column"):
        words.run(swapped)


def test_texts_without_labels_teach_what_the_black_box_says(tmp_path: Path) -> None:
    other_teachers.write_black_box(tmp_path, soft_test=False)
    rows = [(text, 0.8, 0.2) for text, *_ in other_teachers.soft_rows(64, seed=1)]
    words.write_tsv(tmp_path / "train.tsv", rows, ("text", "p_good", "p_bad"))
    without = ("baseline=none", "evaluate.yardsticks=none", "report={}")
    run = words.run(black_box(tmp_path, *without, *LEARNS))
    assert run.results.teacher is None
    assert run.results.score_retention is None
    assert run.results.disagreements == []
    page = (run.folder / "report.html").read_text()
    assert "the teacher&#39;s score is not known" in page
    assert "teacher and student disagree" not in page
    assert "teacher's score" not in (run.folder / "student" / "README.md").read_text()
    texts = [text for text, _ in words.texts(24, seed=2)]
    # The classes are sorted: bad, good. No label says 0.8.
    np.testing.assert_allclose(likely(run.folder / "student", texts)[:, 1], 0.8, atol=0.1)
    assert main(["report", str(run.folder)]) == 0


def test_what_learns_from_labels_is_refused_where_there_are_none(tmp_path: Path) -> None:
    other_teachers.write_black_box(tmp_path)
    rows = [(text, *soft) for text, _, *soft in other_teachers.soft_rows(64, seed=1)]
    words.write_tsv(tmp_path / "train.tsv", rows, ("text", "p_bad", "p_good"))
    with pytest.raises(RecipeError) as caught:
        words.run(black_box(tmp_path, "prediction.terms.labels=1.0"))
    named = [problem.split(": the training data")[0] for problem in caught.value.problems]
    assert named == ["[baseline]", "[evaluate] yardsticks", "[prediction] terms: labels"]
    held_out = ("data.test=none", "data.held_out_fraction=0.25", "baseline=none", "evaluate.yardsticks=none")
    with pytest.raises(DataError, match=r"no column 'label', and a part of it is to be reported"):
        words.run(black_box(tmp_path, *held_out))


def test_a_killed_black_box_run_goes_on_and_ends_with_the_same_student(
    boxed: words.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = boxed.recipe.model_copy(update={"output": tmp_path / "run", "baseline": None, "report": None})
    prediction = recipe.prediction.model_copy(update={"checkpoint_steps": 4})
    recipe = recipe.model_copy(update={"prediction": prediction})
    with monkeypatch.context() as patched:
        interrupt(patched, "prediction", 10)
        with pytest.raises(Killed):
            words.run(recipe)
    assert words.run(recipe).ran[0] == "prediction"
    students = [folder / "student" / "model.safetensors" for folder in (recipe.folder, boxed.folder)]
    assert students[0].read_bytes() == students[1].read_bytes()


@pytest.mark.parametrize("kind", ["regression", "multi_label"])
def test_numbers_and_several_labels_come_out_of_a_black_box_too(tmp_path: Path, kind: str) -> None:
    words.write_task(tmp_path)
    for name, count, seed in (("train", 64, 1), ("test", 24, 2)):
        rows: list[tuple[object, ...]] = []
        for text, label in words.texts(count, seed=seed):
            good = float(label == "good")
            rows.append(
                (text, good * 4 if kind == "regression" else label, 0.1 + 0.8 * good, 0.9 - 0.8 * good)
            )
        words.write_tsv(tmp_path / f"{name}.tsv", rows, ("text", "label", "p_good", "p_bad"))
    soft = (
        ("teacher=none", "teacher.soft_labels.label=p_good") if kind == "regression" else other_teachers.SOFT
    )
    overrides = (*other_teachers.SHORT, other_teachers.source(tmp_path), f"task.{kind}=true", "baseline=none")
    run = words.run(words.read(tmp_path, *soft, *overrides, "evaluate.yardsticks=none"))
    assert run.results.teacher is not None
    assert run.results.teacher.score == pytest.approx(1.0)
    assert run.results.student.metric == {"regression": "spearman", "multi_label": "micro_f1"}[kind]


def test_several_teachers_are_averaged_each_on_its_own_tokens(several: words.Run) -> None:
    stages = several.folder / "stages"
    taught = load_augmented(stages / "augment" / "rows")
    assert len(taught) > 64
    logits = np.load(stages / "soft-targets" / "logits.npy")
    assert logits.shape == (len(taught), 2)
    parts = [likely(stages / f"teacher-{number}" / "model", taught.texts) for number in (1, 2)]
    np.testing.assert_allclose(softmax(logits, axis=1), (parts[0] + 3 * parts[1]) / 4, atol=1e-5)
    assert not np.allclose(parts[0], parts[1], atol=0.05)

    results = several.results
    texts = [words.lettered(text) for text, _ in words.texts(24, seed=2)]
    mixed = (likely(stages / "teacher-1/model", texts) + 3 * likely(stages / "teacher-2/model", texts)) / 4
    said = read_predictions(several.folder)
    np.testing.assert_array_equal(said["teacher"], mixed.argmax(1))
    assert results.teacher is not None
    models = (
        AutoModelForSequenceClassification.from_pretrained(stages / f"teacher-{n}/model") for n in (1, 2)
    )
    assert results.teacher.parameters == sum(model.num_parameters() for model in models)
    assert results.speedup is not None
    assert (results.teacher.layers, results.layer_map) == (None, {})
    assert {"teacher-1", "teacher-2", "prediction"} == results.histories.keys()
    assert results.taught_by == "2 models, their predictions averaged"


def test_the_student_has_the_tokenizer_of_what_it_is_made_from(several: words.Run) -> None:
    student = AutoTokenizer.from_pretrained(several.folder / "student").get_vocab()
    assert student == AutoTokenizer.from_pretrained(several.recipe.source).get_vocab()
    reader = AutoTokenizer.from_pretrained(several.folder / "stages/teacher-1/model").get_vocab()
    assert reader == other_teachers.characters().get_vocab() != student


def test_a_fine_tuned_teacher_with_another_tokenizer_is_matched_by_its_labels(
    several: words.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words.write_task(tmp_path)
    words.in_letters(tmp_path)
    mixed_up = tmp_path / "mixed-up"
    model = AutoModelForSequenceClassification.from_pretrained(several.folder / "stages/teacher-1/model")
    with torch.no_grad():
        for values in (model.classifier.weight, model.classifier.bias):
            values.copy_(values.flip(0))
    model.config.id2label, model.config.label2id = {0: "good", 1: "bad"}, {"good": 0, "bad": 1}
    model.save_pretrained(mixed_up)
    other_teachers.characters().save_pretrained(mixed_up)
    given = ("teacher.fine_tune=false", "baseline=none", "evaluate.yardsticks=none")
    recipe = panel(tmp_path, f'[{{model="{mixed_up}"}}]', *given)
    found = validate_data(recipe)
    assert found.teachers[str(mixed_up)].score > 0.6
    assert not found.refusals
    assert {"teacher-1", "soft-targets"} <= {stage.name for stage in found.stages}
    run = words.run(recipe)
    texts = [words.lettered(text) for text, _ in words.texts(24, seed=2)]
    expected = likely(several.folder / "stages/teacher-1/model", texts).argmax(1)
    np.testing.assert_array_equal(read_predictions(run.folder)["teacher"], expected)
    assert run.results.teacher is not None
    assert run.results.teacher.layers == 1
    assert run.results.taught_by == f"the predictions of {mixed_up}"

    wrong = panel(tmp_path, f'[{{model="{mixed_up}", labels=["bad", "good"]}}]', *given, "name=wrong")
    assert "mixed-up has nothing to teach" in validate_data(wrong).refusals[0]


def test_a_students_own_vocabulary_is_refused_with_a_way_out(tmp_path: Path) -> None:
    words.write_task(tmp_path)
    other_teachers.write_reader(tmp_path / "reader")
    shapeless = [f"student.{key}=none" for key in ("layers", "width", "heads", "ffn")]
    recipe = words.read(tmp_path, *words.SMALL, *shapeless, f"student.model={tmp_path / 'reader'}")
    with pytest.raises(ModelError, match=r"different vocabularies.*predictions alone: \[teacher\] models"):
        words.run(recipe)


def test_an_existing_student_learns_from_a_teacher_with_another_tokenizer(
    several: words.Run, tmp_path: Path
) -> None:
    words.write_task(tmp_path)
    words.in_letters(tmp_path)
    other_teachers.write_reader(tmp_path / "reader")
    shapeless = [f"student.{key}=none" for key in ("layers", "width", "heads", "ffn", "source")]
    teacher = several.folder / "stages" / "teacher-2" / "model"
    recipe = panel(
        tmp_path,
        f'[{{model="{teacher}"}}]',
        *shapeless,
        *("teacher.fine_tune=false", "baseline=none", "evaluate.yardsticks=none"),
        f"student.model={tmp_path / 'reader'}",
    )
    run = words.run(recipe)
    student = AutoTokenizer.from_pretrained(run.folder / "student").get_vocab()
    assert student == other_teachers.characters().get_vocab()
    assert run.results.student.layers == 1


def test_a_black_box_is_looked_ahead(tmp_path: Path) -> None:
    other_teachers.write_black_box(tmp_path)
    found = validate_data(black_box(tmp_path))
    (check,) = found.teachers.values()
    assert check.score == pytest.approx(57 / 64)
    assert [stage.name for stage in found.stages] == [
        *("initialize", "soft-targets", "prediction", "baseline", "evaluate")
    ]
    console = Console(width=100, file=io.StringIO())
    print_preflight(found, console)
    assert isinstance(console.file, io.StringIO)
    assert "200 entries, the student's" in console.file.getvalue()
