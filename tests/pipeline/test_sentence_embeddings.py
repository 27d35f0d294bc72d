"""Whole runs whose task is to embed texts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tests.pipeline import sentences_data, words
from torch.nn import functional
from transformers import AutoModel, AutoTokenizer

from bertling.errors import DataError, ExportError
from bertling.evaluation.metrics import score
from bertling.pipeline.context import task_of
from bertling.pipeline.export import export
from bertling.pipeline.judging import evaluate_model
from bertling.pipeline.predictions import read_predictions
from bertling.pipeline.preflight import validate_data


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> words.Run:
    """A finished run whose teacher is taken as it is; both task stages learn from unlabelled text as well."""
    folder = tmp_path_factory.mktemp("embedded")
    sentences_data.write_task(folder)
    return words.run(
        words.read(folder, "prediction.teacher_cache=always", "intermediate.teacher_cache=never")
    )


def test_teacher_student_and_baseline_are_scored_beside_yardsticks(embedded: words.Run) -> None:
    results = embedded.results
    assert results.teacher is not None
    assert results.teacher.metric == "spearman"
    assert results.teacher.score > 0.5
    assert results.student.score > 0.4
    assert results.student.further_metrics.keys() == {"pearson"}
    assert results.baseline is not None
    assert results.yardsticks["tfidf_cosine"].score > 0.9  # words in common are what the label is
    assert results.yardsticks["majority"].score == 0.0
    assert results.histories["prediction"][-1].terms.keys() == {"prediction"}
    assert {name.partition(".")[0] for name in results.histories["intermediate"][-1].terms} == {
        *("embedding", "attention", "hidden")
    }
    assert results.histories["baseline"][-1].terms.keys() == {"labels"}
    assert results.teacher.parameters is not None
    assert results.data.truncated_fraction == 0.0
    page = (embedded.folder / "report.html").read_text()
    for yardstick in ("Cosine of TF-IDF", "TF-IDF + ridge regression", "Mean of the labels"):
        assert yardstick in page
    assert "text embedding: prediction" in page
    assert "logits" not in page


def test_the_lesson_is_learned(embedded: words.Run) -> None:
    losses = [point.terms["prediction"] for point in embedded.results.histories["prediction"]]
    assert losses[-1] < losses[0]


def test_the_student_embeds_texts_for_others(embedded: words.Run) -> None:
    """By transformers alone, with the rule that the model card states."""
    folder = embedded.folder / "student"
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    cosines = []
    for text, other, _ in sentences_data.pairs(32, seed=2):
        with torch.inference_mode():
            first, second = (
                model(**tokenizer(side, return_tensors="pt")).last_hidden_state[0].mean(0)
                for side in (text, other)
            )
        cosines.append(functional.cosine_similarity(first, second, dim=0))
    said = read_predictions(embedded.folder)
    torch.testing.assert_close(torch.stack(cosines), torch.from_numpy(said["student"].copy()))
    assert score("spearman", said["student"], said["label"]) == pytest.approx(embedded.results.student.score)
    card = (folder / "README.md").read_text()
    assert "library_name: sentence-transformers" in card
    assert "truncation=True, max_length=8" in card
    assert json.loads((folder / "1_Pooling" / "config.json").read_text())["word_embedding_dimension"] == 16
    assert json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"] == 8


def test_any_sentence_encoder_is_scored_by_evaluate(embedded: words.Run) -> None:
    data, task = Path(embedded.recipe.data.test or ""), task_of(embedded.recipe)
    assert embedded.results.teacher is not None
    for model, expected in (
        (str(embedded.folder / "student"), embedded.results.student),
        (embedded.recipe.teacher.model or "", embedded.results.teacher),
    ):
        found = evaluate_model(model, data, task, max_length_tokens=8, batch_size=5)
        assert found.sets[0].figures == pytest.approx(
            {"spearman": expected.score, **expected.further_metrics}
        )


def test_an_export_is_refused(embedded: words.Run) -> None:
    with pytest.raises(ExportError, match="embeds texts, and exports are for labels"):
        export(embedded.folder)


def test_a_run_is_looked_ahead_text_by_text(embedded: words.Run) -> None:
    found = validate_data(words.read(embedded.folder.parent))
    assert found.classes is None
    assert found.outputs is None
    train = found.lengths[0]
    assert (train.all_rows, train.longest_tokens, train.truncated_fraction) == (128, 6, 0.0)
    assert not found.refusals
    steps = {stage.name: stage.steps for stage in found.stages}
    assert steps["baseline"] == 3 * 64 / 8


def test_the_same_pairs_as_a_regression_are_another_run(embedded: words.Run) -> None:
    # On the same texts and numbers, a cross-encoder: nothing of it may be taken for what embeds.
    folder = embedded.folder.parent
    short = ("baseline=none", "intermediate=none", "report=none", "prediction.unlabelled=false")
    recipe = words.read(
        folder,
        *("task.sentence_embeddings=none", "task.regression=true", "task.text_pair=text_pair"),
        *(*short, "teacher.fine_tune=true", "teacher.epochs=1", "teacher.accept_weak=true"),
        *("evaluate.yardsticks=none", "prediction.max_steps=1", f"output={folder / 'again'}"),
    )
    words.run(recipe)
    back = words.read(
        folder,
        *(*short, "teacher.fine_tune=true", "teacher.epochs=1", "teacher.accept_weak=true"),
        *("evaluate.yardsticks=none", "prediction.max_steps=1", f"output={folder / 'again'}"),
        "prediction.terms={prediction=1.0,labels=0.5}",
    )
    run = words.run(back)
    assert run.ran == ["data", "teacher", "initialize", "prediction", "evaluate"]
    assert run.results.histories["teacher"][-1].terms.keys() == {"labels"}
    assert run.results.histories["prediction"][-1].terms.keys() == {"prediction", "labels"}


def test_pairs_that_are_all_as_similar_teach_nothing(tmp_path: Path) -> None:
    sentences_data.write_task(tmp_path)
    rows = [(first, second, 1.0) for first, second, _ in sentences_data.pairs(16, seed=1)]
    words.write_tsv(tmp_path / "train.tsv", rows, ("text", "text_pair", "label"))
    recipe = words.read(
        tmp_path, "teacher.fine_tune=true", "intermediate=none", "prediction.unlabelled=false"
    )
    with pytest.raises(DataError, match="all training pairs have the similarity 1"):
        words.run(recipe)
