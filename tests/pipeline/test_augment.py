"""The augment stage in whole runs: variants that the task stages learn from, made once, and resumed."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.pipeline import words
from tests.pipeline.killing import run_to_the_end

from bertling.augmentation.augmented import load_augmented
from bertling.pipeline.preflight import validate_data
from bertling.recipe.load import dump_recipe, load_recipe
from bertling.recipe.schema import Recipe

SMALL = (
    *("intermediate=none", "baseline=none", "evaluate.yardsticks=none"),
    *("teacher.epochs=2", "teacher.accept_weak=true"),
)
AUGMENT = ("augment.variants=3", "augment.head_steps=4", "augment.stop_words=none")


@pytest.fixture
def task(task: Path) -> Path:
    """The task in words of letters."""
    words.in_letters(task)
    return task


def read(task: Path, *overrides: str) -> Recipe:
    return load_recipe(task / "recipe.toml", [*SMALL, *AUGMENT, *overrides])


def rows(run: words.Run) -> list[dict[str, object]]:
    made = sorted((run.folder / "stages" / "augment" / "rows").glob("shard-*.parquet"))
    return [row for shard in made for row in pq.read_table(shard).to_pylist()]


def test_a_preflight_counts_as_many_variants_as_there_can_be(task: Path) -> None:
    found = validate_data(read(task, "augment.mode=unmasked"))
    assert not found.exact
    stages = {stage.name: stage for stage in found.stages}
    assert stages["masked-lm"].steps == 4
    assert stages["prediction"].steps == 2 * 4 * 64 // 16
    assert stages["augment"].tokens == 4 * 64 * 425 / 64
    assert all(stages[name].seconds for name in ("masked-lm", "augment"))


def test_the_task_stages_learn_from_the_variants(task: Path) -> None:
    plain = words.run(load_recipe(task / "recipe.toml", [*SMALL]))
    grown = words.run(read(task, f"output={task / 'grown'}"))
    made = rows(grown)
    assert len(made) > 150
    assert {row["variant"] for row in made} == {0, 1, 2, 3}
    steps = [run.results.histories["prediction"][-1].step for run in (plain, grown)]
    assert steps == [8, 2 * -(-len(made) // 16)]
    summary = grown.results.augmentation
    assert plain.results.augmentation is None
    assert summary is not None
    assert (summary.source_rows, summary.rows) == (64, len(made))
    assert summary.masked_lm == str(task / "teacher")
    assert summary.head_accuracy is not None
    assert len(summary.sample) == 12
    for example in summary.sample:
        assert example.replaced
        assert all(example.text[word.start : word.end] != word.word for word in example.replaced)
    assert "has no masked-LM head; one was fitted" in grown.printed
    assert "augmented" in (grown.folder / "report.html").read_text().lower()


def test_other_variants_need_no_other_head(task: Path) -> None:
    first = len(rows(words.run(read(task))))
    again = words.run(read(task, "augment.variants=2"))
    assert {"masked-lm", "general", "teacher"} <= set(again.skipped)
    assert {"augment", "prediction"} <= set(again.ran)
    assert len(rows(again)) < first
    assert words.run(read(task, "augment.variants=2", "augment.workers=2")).ran == []


def test_several_workers_make_the_same_rows(task: Path) -> None:
    one = words.run(read(task))
    two = words.run(read(task, "augment.workers=2", f"output={task / 'two'}"))
    assert rows(two) == rows(one)


def test_the_labels_of_the_variants_are_those_of_their_source(task: Path) -> None:
    run = words.run(read(task, "prediction.terms={labels=1.0}"))
    examples = load_augmented(run.folder / "stages" / "augment" / "rows")
    assert examples.labels is not None
    train = words.texts(64, seed=1)
    for row, label in zip(rows(run), examples.label_array().tolist(), strict=True):
        assert examples.label_names is not None
        source = row["source_row"]
        assert isinstance(source, int)
        assert examples.label_names[label] == train[source][1]


def test_words_of_several_pieces_are_replaced_by_their_neighbours(task: Path) -> None:
    names = [f"wax{chr(ord('a') + n)}" for n in range(8)]
    vectors = task / "vectors.txt"
    vectors.write_text(
        "".join(
            f"{name} {' '.join(str((n * k) % 7 - 3) for k in range(1, 6))}\n" for n, name in enumerate(names)
        )
    )
    train = task / "train.tsv"
    header, *lines = train.read_text().splitlines()
    train.write_text("\n".join([header, *(f"waxb {line}" for line in lines)]) + "\n")
    run = words.run(read(task, f"augment.word_vectors={vectors}", "augment.candidates=2"))
    replaced = {
        word["replacement"]
        for row in rows(run)
        for word in row["replaced"]  # type: ignore[attr-defined]
        if word["word"] == "waxb"
    }
    assert len(replaced) == 2
    assert replaced < set(names) - {"waxb"}


@pytest.mark.faults
@pytest.mark.slow
def test_kill_9_at_file_operations_and_the_same_command_again(task: Path) -> None:
    """From tokenising to the last variant: what is finished is kept, and the rest comes out the same."""
    lean = ("prediction.epochs=1", "report=none", "augment.mode=unmasked")
    undisturbed = words.run(read(task, *lean, f"output={task / 'undisturbed'}"))
    recipe = task / "often.toml"
    recipe.write_text(dump_recipe(read(task, *lean, "general.checkpoint_steps=2")))
    chance = random.Random(0)
    operations = [*range(2, 14, 2), *(chance.randrange(1, 40) for _ in range(14))]
    done = run_to_the_end(recipe, task / "run", operations)
    assert len(done.stderr.splitlines()) > 8, done.stderr
    for made in ("corpus/general", "masked-lm/model", "augment/rows", "prediction/model"):
        expected = words.contents(undisturbed.folder / "stages" / made)
        assert words.contents(task / "run" / "stages" / made) == expected, made
