"""Several labels a text: lists, strings with separators, numbers; the held-out part."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bertling.data.examples import Examples
from bertling.data.held_out import hold_out
from bertling.data.loading import read_examples
from bertling.errors import DataError
from bertling.tasks import Task

TASK = Task("topics", metric="micro_f1", multi_label=True)


def jsonl(folder: Path, *labels: object) -> Path:
    path = folder / "rows.jsonl"
    lines = [json.dumps({"text": f"text {row}", "label": label}) for row, label in enumerate(labels)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_lists_strings_and_nothing_are_read(tmp_path: Path) -> None:
    read = read_examples(jsonl(tmp_path, ["b", "a"], "a, c", "", [], None, 7), TASK)
    assert read.label_names == ["7", "a", "b", "c"]
    assert read.labels == [[1, 2], [1, 3], [], [], [], [0]]
    assert read.multi_label
    assert read.label_array()[:2].tolist() == [[0, 1, 1, 0], [0, 1, 0, 1]]


def test_a_separator_of_ones_own_parts_the_labels_of_a_column(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text("text\tlabel\none\ta|b\ntwo\tb\n")
    read = read_examples(path, Task("topics", multi_label=True, separator="|"))
    assert read.labels == [[0, 1], [1]]


def test_unknown_labels_and_values_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"unknown label 'c': line 2"):
        read_examples(jsonl(tmp_path, ["a"], ["c"]), TASK, label_names=["a", "b"])
    with pytest.raises(DataError, match=r"neither a list.*: line 2"):
        read_examples(jsonl(tmp_path, ["a"], {"b": 1}), TASK)
    with pytest.raises(DataError, match="1 different labels"):
        read_examples(jsonl(tmp_path, ["a"], []), TASK)


def test_saved_examples_come_back(tmp_path: Path) -> None:
    read = read_examples(jsonl(tmp_path, ["b", "a"], []), TASK)
    read.save(tmp_path / "saved.parquet")
    assert Examples.load(tmp_path / "saved.parquet") == read


def classes(*counts: int) -> Examples:
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    return Examples([f"text {row}" for row in range(len(labels))], None, labels, list("abc"[: len(counts)]))


def test_the_held_out_part_has_the_same_share_of_each_class_and_nothing_in_common_with_the_rest() -> None:
    train, held = hold_out(classes(60, 30, 10), fraction=0.2, seed=3)
    assert [held.label_array().tolist().count(label) for label in range(3)] == [12, 6, 2]
    assert set(train.texts).isdisjoint(held.texts)
    assert len(train) + len(held) == 100


def test_the_held_out_part_is_a_function_of_the_seed() -> None:
    first, again, other = (hold_out(classes(40, 40), fraction=0.25, seed=seed)[1].texts for seed in (1, 1, 2))
    assert first == again != other


def test_equal_texts_are_not_parted() -> None:
    texts = [f"text {row % 10}" for row in range(40)]
    train, held = hold_out(
        Examples(texts, None, [row % 2 for row in range(40)], ["a", "b"]), fraction=0.3, seed=0
    )
    assert set(train.texts).isdisjoint(held.texts)


def test_a_rare_class_gives_one_and_a_single_example_stays_in_training() -> None:
    train, held = hold_out(classes(50, 2, 1), fraction=0.1, seed=0)
    assert held.labels == [0] * 5 + [1]
    assert train.label_array().tolist().count(2) == 1


@pytest.mark.parametrize(
    "examples",
    [
        Examples([f"text {row}" for row in range(10)], None, [float(row) for row in range(10)], None),
        Examples(
            [f"w{row}" for row in range(10)], None, [[0]] * 10, ["a", "b"], [[f"w{row}"] for row in range(10)]
        ),
        Examples([f"text {row}" for row in range(10)], None, [[0], [1]] * 5, ["a", "b"]),
    ],
)
def test_other_kinds_of_labels_are_parted_at_random(examples: Examples) -> None:
    train, held = hold_out(examples, fraction=0.3, seed=0)
    assert (len(train), len(held)) == (7, 3)


def test_too_few_examples_cannot_be_parted() -> None:
    with pytest.raises(DataError, match=r"3 examples.*held_out_fraction = 0\.2"):
        hold_out(classes(1, 1, 1), fraction=0.2, seed=0)
