"""Whole runs that answer questions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.pipeline import questions_data, words
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from bertling.cli.evaluate import evaluate
from bertling.data.examples import Examples
from bertling.errors import DataError
from bertling.evaluation.answer_scores import given_texts
from bertling.evaluation.metrics import score
from bertling.pipeline.predictions import read_predictions
from bertling.pipeline.preflight import validate_data


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> words.Run:
    """A finished run with unanswerable questions, whose stages read their teacher from a cache."""
    folder = tmp_path_factory.mktemp("asked")
    questions_data.write_task(folder)
    return words.run(words.read(folder, "prediction.teacher_cache=always"))


def test_teacher_and_student_are_scored_beside_plain_answers(asked: words.Run) -> None:
    results = asked.results
    assert results.teacher is not None
    assert results.teacher.metric == "answer_f1"
    assert results.teacher.score > max(plain.score for plain in results.yardsticks.values())
    assert results.yardsticks.keys() == {"overlap", "no_answer"}
    assert results.student.further_metrics.keys() == {
        *("exact_match", "best_answer_f1", "best_exact_match", "has_answer_f1", "no_answer_f1")
    }
    assert results.student.further_metrics["best_answer_f1"] >= results.student.score
    assert results.histories["prediction"][-1].terms.keys() == {"prediction", "labels"}
    assert {name.partition(".")[0] for name in results.histories["intermediate"][-1].terms} == {
        *("embedding", "attention", "hidden")
    }
    assert results.data.train_examples == 64
    assert results.data.truncated_fraction == 0.0


def test_what_models_answer_is_kept_and_gives_the_score(asked: words.Run) -> None:
    answers = read_predictions(asked.folder)
    test = Examples.load(asked.folder / "stages" / "data" / "test.parquet")
    assert answers["label"].tolist() == test.label_array().tolist()
    for role in ("teacher", "student"):
        found = score("answer_f1", answers[role], answers["label"])
        assert found == pytest.approx(getattr(asked.results, role).score)


def test_the_student_answers_questions_for_others(asked: words.Run) -> None:
    """By transformers alone, with the rule that the model card states."""
    folder = asked.folder / "student"
    model = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    test = Examples.load(asked.folder / "stages" / "data" / "test.parquet")
    said = given_texts(read_predictions(asked.folder)["student"])
    windows = 0
    for question, context, expected in zip(test.texts, test.text_pairs or [], said, strict=True):
        encoded = tokenizer(
            question,
            context,
            truncation="only_second",
            max_length=12,
            stride=3,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        best, text, null = -np.inf, "", np.inf
        for number, ids in enumerate(encoded["input_ids"]):
            kinds = encoded["token_type_ids"][number]
            with torch.inference_mode():
                output = model(torch.tensor([ids]), token_type_ids=torch.tensor([kinds]))
            starts, ends = output.start_logits[0], output.end_logits[0]
            null = min(null, float(starts[0] + ends[0]))
            told = [place for place, part in enumerate(encoded.sequence_ids(number)) if part == 1]
            for first in told:
                for last in range(first, told[-1] + 1):
                    if (value := float(starts[first] + ends[last])) > best:
                        offsets = encoded["offset_mapping"][number]
                        best, text = value, context[offsets[first][0] : offsets[last][1]]
        windows += len(encoded["input_ids"])
        assert expected == ("" if null > best else text)
    assert windows > len(test)
    card = (folder / "README.md").read_text()
    assert "pipeline_tag: question-answering" in card
    assert "stride=3" in card


def test_other_answers_are_shown_in_the_report(asked: words.Run) -> None:
    said = read_predictions(asked.folder)
    teacher, student = (given_texts(said[role]) for role in ("teacher", "student"))
    differing = sum(one != other for one, other in zip(teacher, student, strict=True))
    assert asked.results.disagreement_count == differing > 0
    first = asked.results.disagreements[0]
    assert first.teacher != first.student
    assert first.text_pair is not None
    assert first.label == "no answer" or first.label in first.text_pair
    assert 0 < first.student_confidence <= 1
    page = (asked.folder / "report.html").read_text()
    assert f"They answer {differing} of 32 questions differently" in page
    assert "longer contexts come in windows" in page
    assert "No answer to any question" in page


def test_a_saved_student_is_scored_by_evaluate(asked: words.Run, capsys: pytest.CaptureFixture[str]) -> None:
    data = asked.recipe.data.test
    assert data is not None
    evaluate(str(asked.folder / "student"), data, task=str(asked.folder.parent / "recipe.toml"), batch_size=3)
    printed = capsys.readouterr().out
    assert f"{100 * asked.results.student.score:.1f}" in printed
    assert "best_answer_f1" in printed
    assert "contexts in windows of 12 tokens" in printed


def test_another_stride_changes_what_reads_windows_alone(asked: words.Run) -> None:
    folder = asked.folder.parent
    weak = ("teacher.epochs=1", "teacher.accept_weak=true")
    recipe = words.read(folder, "data.stride_tokens=2", *weak, *SHORT)
    again = words.run(recipe)
    assert again.skipped == ["data"]


SHORT = ("intermediate=none", "prediction.epochs=1", "report=none")


def test_answers_to_all_questions_from_a_held_out_part(tmp_path: Path) -> None:
    questions_data.write_task(tmp_path, unanswerable=False)
    short = ("teacher.epochs=3", "teacher.accept_weak=true", *SHORT)
    run = words.run(words.read(tmp_path, "data.test=none", "data.held_out_fraction=0.25", *short))
    assert (run.results.data.train_examples, run.results.data.evaluation_examples) == (48, 16)
    parts = [Examples.load(run.folder / "stages" / "data" / f"{name}.parquet") for name in ("train", "test")]
    assert not set(parts[0].groups or ()) & set(parts[1].groups or ())
    assert run.results.student.further_metrics.keys() == {"exact_match"}
    assert all(given_texts(read_predictions(run.folder)["student"]))


def test_a_run_of_questions_is_looked_ahead(tmp_path: Path) -> None:
    questions_data.write_task(tmp_path)
    found = validate_data(words.read(tmp_path))
    assert found.answers
    assert found.classes is None
    train = found.lengths[0]
    assert train.truncated_fraction is None
    assert train.rows > 64  # windows
    assert train.longest_tokens == 12
    assert not found.refusals


def test_questions_too_long_for_their_windows_stop_a_run_before_it_trains(tmp_path: Path) -> None:
    questions_data.write_task(tmp_path)
    recipe = words.read(tmp_path, "data.max_length_tokens=6", "data.stride_tokens=4")
    with pytest.raises(DataError, match="Raise max_length_tokens, lower stride_tokens"):
        words.run(recipe)
    assert not (tmp_path / "run" / "stages" / "teacher").exists()
