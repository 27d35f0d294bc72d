"""Whole runs with teachers whose attention is no product of queries and keys over all pairs of tokens."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests import tiny
from tests.pipeline import words
from transformers import AutoModelForSequenceClassification

from bertling.errors import ModelError

SHORT = (
    "general=none",
    "baseline=none",
    "report=none",
    "evaluate.yardsticks=none",
    "teacher.epochs=1",
    "teacher.accept_weak=true",
    "intermediate.epochs=1",
    "prediction.epochs=1",
)
TERMS = {"embedding", "attention.1", "attention.2", "hidden.1", "hidden.2"}


def teach(task: Path, architecture: str) -> None:
    shutil.rmtree(task / "teacher")
    words.write_teacher(task / "teacher", architecture)


def test_a_bert_learns_from_a_modernbert(task: Path) -> None:
    """A student of another architecture is a model that the recipe brings, with the teacher's vocabulary."""
    teach(task, "modernbert")
    tiny.encoder(layers=2, width=16).save_pretrained(task / "student")
    tiny.tokenizer().save_pretrained(task / "student")
    table = f'{{model="{task / "student"}"}}'
    run = words.run(words.read(task, *SHORT, f"student={table}"))
    assert set(run.results.histories["intermediate"][-1].terms) == TERMS
    student = AutoModelForSequenceClassification.from_pretrained(run.folder / "student")
    assert (student.config.model_type, student.config.hidden_size) == ("bert", 16)


def test_a_deberta_is_cut_and_learns_from_the_whole(task: Path) -> None:
    teach(task, "deberta-v2")
    run = words.run(words.read(task, *SHORT))
    assert set(run.results.histories["intermediate"][-1].terms) == TERMS
    student = AutoModelForSequenceClassification.from_pretrained(run.folder / "student")
    assert (student.config.model_type, student.config.pooler_hidden_size) == ("deberta-v2", 16)


def test_packed_rows_for_a_model_that_would_mix_them_are_refused_first(task: Path) -> None:
    teach(task, "deberta-v2")
    recipe = words.read(task, "general.packed=true")
    with pytest.raises(ModelError, match="'deberta-v2' cannot read packed rows"):
        words.run(recipe)
    assert not (recipe.folder / "stages" / "teacher").exists()
