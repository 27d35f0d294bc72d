"""The general stage and its corpus: budgets, packing, and the student that it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file
from tests.pipeline import words
from transformers import AutoModel

from bertling.data.shards import load_shards
from bertling.errors import RecipeError

LEAN = (*words.SMALL[1:], "intermediate=none")


def test_a_budget_in_tokens(task: Path) -> None:
    run = words.run(words.read(task, *LEAN, "general.max_tokens=700", "general.batch_size=4"))
    tokens = int(load_shards(run.folder / "stages" / "corpus" / "general").lengths.sum())
    assert 250 < tokens < 600
    last = run.results.histories["general"][-1]
    assert last.tokens == pytest.approx(700, abs=60)
    assert last.epoch == pytest.approx(700 / tokens, abs=0.1)


def test_packed_blocks_hold_the_same_tokens_in_fewer_rows(task: Path) -> None:
    alone = words.run(words.read(task, *LEAN))
    packed = words.run(words.read(task, *LEAN, "general.packed=true", "general.max_length_tokens=40"))
    assert "corpus" in packed.ran
    assert "teacher" in packed.skipped
    first, second = alone.results.histories["general"][-1], packed.results.histories["general"][-1]
    assert second.tokens == first.tokens
    assert second.step < first.step


def test_the_corpus_is_tokenised_when_its_text_changes_and_not_otherwise(task: Path) -> None:
    words.run(words.read(task, *LEAN))
    run = words.run(words.read(task, *LEAN, "general.learning_rate=1e-3"))
    assert "corpus" in run.skipped
    assert "general" in run.ran
    corpus = task / "corpus.txt"
    corpus.write_text(corpus.read_text() + "w5 w6 w7\n")
    run = words.run(words.read(task, *LEAN, "general.learning_rate=1e-3"))
    assert {"corpus", "general"} <= set(run.ran)
    assert "teacher" in run.skipped


def test_unlabelled_text_of_the_task_joins_its_stages_without_a_general_stage(task: Path) -> None:
    more = task / "more.jsonl"
    words.write_jsonl(more, [{"text": text} for text, _ in words.texts(48, seed=9)])
    run = words.run(
        words.read(
            task,
            *(*words.SMALL, f"data.unlabelled={more}", "prediction.unlabelled=true"),
            "data.max_length_tokens=12",
        )
    )
    assert run.results.histories["prediction"][-1].step == 7  # 64 and 48 texts, 16 in a batch


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("general.corpus_hub=some/set", "corpus or corpus_hub, not both"),
        ("general={max_steps=3, max_tokens=4, corpus='x'}", "max_tokens or max_steps, not both"),
        ("general={epochs=1}", "corpus or corpus_hub is missing"),
    ],
)
def test_a_corpus_and_a_budget_are_named_once(task: Path, override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        words.read(task, override)


def test_a_general_student_with_random_weights_has_no_pooler(task: Path) -> None:
    """Nothing trains it there; it comes with the task's stages."""
    run = words.run(words.read(task, *LEAN, "student.initialization=random"))
    general = run.folder / "general"
    assert not [name for name in load_file(general / "model.safetensors") if "pooler" in name]
    assert "pooler" in (general / "README.md").read_text()
    assert AutoModel.from_pretrained(general, add_pooling_layer=False).config.num_hidden_layers == 2


def test_a_general_student_is_the_student_of_another_recipe(task: Path, finished: words.Run) -> None:
    general = finished.folder / "general"
    shape = ["student.layers=none", "student.width=none", "student.heads=none", "student.ffn=none"]
    run = words.run(
        words.read(task, *words.SMALL, *shape, f"student.model={general}", f"output={task / 'other'}")
    )
    assert run.results.student.layers == 2
    assert run.results.initialization == str(general)
