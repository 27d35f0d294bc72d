"""A run of every stage: what it measures, what it leaves behind and what it prints."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors import safe_open
from tests.pipeline import words
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from bertling import pipeline
from bertling.errors import NonFiniteLossError
from bertling.results import ModelResult, read_results


def logits(model: Path, texts: list[str]) -> np.ndarray:
    """As a user gets them, with nothing but transformers."""
    classifier = AutoModelForSequenceClassification.from_pretrained(model).eval()
    tokenizer = AutoTokenizer.from_pretrained(model)
    rows = []
    for text in texts:
        inputs = tokenizer(text, return_tensors="pt", truncation=True, max_length=8)
        with torch.inference_mode():
            rows.append(classifier(**inputs).logits[0].numpy())
    return np.stack(rows)


def accuracy(model: Path) -> float:
    texts, labels = zip(*words.texts(24, seed=2), strict=True)
    names: dict[int, str] = AutoModelForSequenceClassification.from_pretrained(model).config.id2label
    predicted = [names[int(index)] for index in logits(model, list(texts)).argmax(1)]
    return float(np.mean([got == label for got, label in zip(predicted, labels, strict=True)]))


def weights(folder: Path) -> list[str]:
    with safe_open(folder / "model.safetensors", "pt") as file:
        return list(file.keys())


def test_results_json_is_what_the_run_returns(finished: words.Run) -> None:
    assert read_results(finished.folder / "results.json") == finished.results


@pytest.mark.parametrize("role", ["teacher", "student", "baseline"])
def test_every_model_is_measured(finished: words.Run, role: str) -> None:
    measured = json.loads((finished.folder / "results.json").read_text())[role]
    assert 0 <= measured["score"] <= 1
    assert measured["metric"] == "accuracy"
    assert measured["latency_ms_p95"] >= measured["latency_ms_p50"] > 0
    stage = {"student": "prediction"}.get(role, role)
    file = finished.folder / "stages" / stage / "model" / "model.safetensors"
    assert measured["size_bytes"] == file.stat().st_size
    model = AutoModelForSequenceClassification.from_pretrained(file.parent)
    assert measured["parameters"] == sum(parameter.numel() for parameter in model.parameters())
    assert (measured["layers"], measured["width"]) == ((4, 32) if role == "teacher" else (2, 16))


@pytest.mark.parametrize("role", ["teacher", "student", "baseline"])
def test_scores_are_what_transformers_alone_computes(finished: words.Run, role: str) -> None:
    stage = {"student": "prediction"}.get(role, role)
    measured: ModelResult = getattr(finished.results, role)
    assert measured.score == pytest.approx(accuracy(finished.folder / "stages" / stage / "model"))


def test_answers_by_label_add_up_to_the_score(finished: words.Run) -> None:
    found, results = finished.results.by_label, finished.results
    assert found
    assert results.teacher
    assert {row.label for row in found.labels} == {"bad", "good"}
    assert all(row.baseline for row in found.labels)
    examples = results.data.evaluation_examples
    assert (
        sum(row.support for row in found.labels) == sum(row.student for row in found.confusions) == examples
    )
    right = [row for row in found.confusions if row.answer == row.reference]
    assert sum(row.student for row in right) / examples == pytest.approx(results.student.score)
    assert sum(row.teacher or 0 for row in right) / examples == pytest.approx(results.teacher.score)
    assert 'id="confusion-teacher"' in (finished.folder / "report.html").read_text()


def test_training_was_more_than_chance_can_do(finished: words.Run) -> None:
    assert finished.results.teacher is not None
    assert finished.results.teacher.score > 0.7
    for stage in ("general", "intermediate"):
        history = finished.results.histories[stage]
        assert history[-1].step == {"general": 6, "intermediate": 8}[stage]


def test_ratios_are_those_of_the_figures(finished: words.Run) -> None:
    results = finished.results
    teacher, student = results.teacher, results.student
    assert teacher
    assert results.score_retention == pytest.approx(student.score / teacher.score)
    assert teacher.size_bytes
    assert student.size_bytes
    assert results.size_ratio == pytest.approx(teacher.size_bytes / student.size_bytes)
    assert teacher.latency_ms_p50
    assert student.latency_ms_p50
    assert results.speedup == pytest.approx(teacher.latency_ms_p50 / student.latency_ms_p50)


def test_yardsticks_are_measured_on_the_same_texts(finished: words.Run) -> None:
    labels = [label for _, label in words.texts(24, seed=2)]
    most = max(("bad", "good"), key=[label for _, label in words.texts(64, seed=1)].count)
    majority, tfidf = finished.results.yardsticks["majority"], finished.results.yardsticks["tfidf"]
    assert majority.score == pytest.approx(labels.count(most) / 24)
    assert majority.latency_ms_p50 is None
    assert tfidf.score > 0.9
    assert tfidf.latency_ms_p50


def test_wall_seconds_environment_and_data_are_noted(finished: words.Run) -> None:
    results = finished.results
    assert list(results.wall_seconds) == words.STAGES
    assert all(seconds > 0 for seconds in results.wall_seconds.values())
    assert results.environment.threads == results.latency_threads == 1
    assert "torch" in results.environment.versions
    assert (results.data.train_examples, results.data.evaluation_examples) == (64, 24)
    assert results.data.label_names == ["bad", "good"]
    cut = [
        len(text.split()) + 2 > 8
        for count, seed in ((64, 1), (24, 2))
        for text, _ in words.texts(count, seed=seed)
    ]
    assert results.data.truncated_fraction == pytest.approx(sum(cut) / len(cut))
    assert results.layer_map == {1: 2, 2: 4}


def test_histories_hold_the_terms_of_their_stages(finished: words.Run) -> None:
    layers = {"embedding", "attention.1", "attention.2", "hidden.1", "hidden.2"}
    expected = {
        "teacher": {"labels"},
        "general": layers,
        "intermediate": layers,
        "prediction": {"prediction"},
        "baseline": {"labels"},
    }
    histories = finished.results.histories
    assert {stage: set(points[-1].terms) for stage, points in histories.items()} == expected


def test_disagreements_are_the_texts_on_which_the_two_models_differ(finished: words.Run) -> None:
    texts = [text for text, _ in words.texts(24, seed=2)]
    stages = finished.folder / "stages"
    teacher, student = (
        logits(stages / stage / "model", texts).argmax(1) for stage in ("teacher", "prediction")
    )
    differing = {text for text, ours, theirs in zip(texts, student, teacher, strict=True) if ours != theirs}
    results = finished.results
    assert {found.text for found in results.disagreements} == differing
    assert results.disagreement_count == len(results.disagreements)


def test_distillation_brings_every_layer_nearer_than_labels_alone(finished: words.Run) -> None:
    results = finished.results
    student, baseline = results.closeness["student"], results.closeness["baseline"]
    pairs = [(row.layer, row.teacher_layer) for row in student]
    assert (
        pairs == [(row.layer, row.teacher_layer) for row in baseline] == [(0, 0), *results.layer_map.items()]
    )
    for ours, others in zip(student, baseline, strict=True):
        assert ours.cosine > others.cosine
        assert ours.constant_cosine == others.constant_cosine
        if ours.layer:
            assert sum(ours.head_nats) < sum(others.head_nats)


def test_student_loads_with_transformers_and_keeps_the_label_names(finished: words.Run) -> None:
    student = finished.folder / "student"
    model = AutoModelForSequenceClassification.from_pretrained(student)
    assert model.config.id2label == {0: "bad", 1: "good"}
    assert model.config.label2id == {"bad": 0, "good": 1}
    assert model.config.num_hidden_layers == 2
    assert accuracy(student) == pytest.approx(finished.results.student.score)


def test_student_holds_neither_projections_nor_teacher(finished: words.Run) -> None:
    student = finished.folder / "student"
    own = AutoModelForSequenceClassification.from_pretrained(student).state_dict()
    assert set(weights(student)) == set(own)
    assert sorted(path.name for path in student.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_student_brings_the_teachers_tokenizer_without_limits_left_by_training(finished: words.Run) -> None:
    written, original = finished.folder / "student", Path(finished.recipe.source)
    assert (written / "tokenizer.json").read_bytes() == (original / "tokenizer.json").read_bytes()


def test_model_card_states_the_measured_figures(finished: words.Run) -> None:
    card = (finished.folder / "student" / "README.md").read_text()
    results = finished.results
    for measured in (results.teacher, results.student, results.baseline):
        assert measured
        assert measured.latency_ms_p50
        assert f"| {measured.score:.4f} | {measured.parameters:,} |" in card
        assert f"| {measured.latency_ms_p50:.2f} |" in card
    assert f"{results.score_retention:.1%} of its teacher's score" in card
    assert f"{results.speedup:.1f} times as fast" in card
    assert f"24 examples of\n{finished.recipe.data.test}," in card
    assert "max_length=8" in card
    assert card.startswith("---\nlibrary_name: transformers\n")


def test_report_is_one_page_with_the_run_in_it(finished: words.Run) -> None:
    page = (finished.folder / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert "words" in page


def test_general_student_is_an_encoder_of_the_students_shape(finished: words.Run) -> None:
    encoder = AutoModel.from_pretrained(finished.folder / "stages" / "general" / "model")
    assert (encoder.config.num_hidden_layers, encoder.config.hidden_size) == (2, 16)


def test_nothing_of_the_work_is_left(finished: words.Run) -> None:
    left = [
        path
        for path in finished.folder.rglob("*")
        if path.suffix in (".partial", ".tmp") or path.name == "scratch"
    ]
    assert left == []
    assert sorted(path.name for path in finished.folder.iterdir()) == [
        ".lock",
        "general",
        "recipe.toml",
        "report.html",
        "results.json",
        "stages",
        "student",
    ]


def test_console_names_each_stage_once_and_beside_the_estimate_nothing_else(finished: words.Run) -> None:
    table = finished.printed.index("estimate")
    rest = finished.printed[:table] + finished.printed[finished.printed.index("corpus  starts", table) :]
    lines = [said for line in rest.splitlines() if (said := line.split()[:2])]
    assert lines == [[stage, verb] for stage in words.STAGES for verb in ("starts", "done")]


def test_nothing_but_the_console_is_written_to(task: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words.run(words.read(task, *words.SMALL))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("rate", [1e-3, 1e30])
def test_a_terminal_gets_its_cursor_back_from_the_bar(task: Path, rate: float) -> None:
    """Also when training fails, as it does at such a learning rate."""
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    recipe = words.read(task, *words.SMALL, f"prediction.learning_rate={rate}")
    with suppress(NonFiniteLossError):
        pipeline.run(recipe, console=console)
    assert isinstance(console.file, io.StringIO)
    written = console.file.getvalue()
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    assert written.count(hidden) == written.count(shown) == 2
    assert ("done in" in written[written.rindex(shown) :]) == (rate < 1)


def test_the_process_is_left_as_it_was(task: Path) -> None:
    verbosity = logging.get_verbosity()
    torch.set_num_threads(2)
    try:
        words.run(words.read(task, *words.SMALL))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert logging.is_progress_bar_enabled()
    assert logging.get_verbosity() == verbosity
