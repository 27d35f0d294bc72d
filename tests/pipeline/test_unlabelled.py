"""Task distillation on the corpus as well: a teacher needs no labels."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.pipeline import words

from bertling.errors import RecipeError

STEPS_OF_64 = 4  # 64 training texts and 48 of the corpus, 16 in a batch
STEPS_OF_112 = 7
LEARNS_FROM_THE_CORPUS = (
    "baseline=none",
    "report=none",
    "intermediate.epochs=1",
    "prediction.epochs=1",
    "prediction.unlabelled=true",
    "data.max_length_tokens=12",  # for all of a text, where more would give two
)


def test_the_stages_that_ask_for_it_see_the_corpus_behind_the_training_set(task: Path) -> None:
    run = words.run(words.read(task, *LEARNS_FROM_THE_CORPUS))
    assert run.results.histories["intermediate"][-1].step == STEPS_OF_64
    assert run.results.histories["prediction"][-1].step == STEPS_OF_112

    # Another corpus runs again what read it.
    corpus = task / "corpus.txt"
    corpus.write_text(corpus.read_text() + "w5 w6 w7\n")
    again = words.run(words.read(task, *LEARNS_FROM_THE_CORPUS))
    assert "prediction" in again.ran
    assert "teacher" in again.skipped


def test_it_needs_a_corpus_and_no_labels(task: Path) -> None:
    with pytest.raises(RecipeError, match=r"\[prediction\] unlabelled.*\[general\]"):
        words.read(task, "general=none", "prediction.unlabelled=true")
    with pytest.raises(RecipeError, match="such text has no labels"):
        words.read(task, "prediction.unlabelled=true", "prediction.terms={prediction=1, labels=1}")


def test_a_corpus_of_single_texts_is_refused_for_pairs(task: Path) -> None:
    recipe = words.read(task, "task.text_pair=label", "prediction.unlabelled=true")
    with pytest.raises(RecipeError, match="the task has pairs, the corpus single texts"):
        words.run(recipe)
