from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertling.data.examples import Examples
from bertling.data.loading import read_examples
from bertling.errors import DataError
from bertling.tasks import Task

MOOD = Task("mood", labels={"0": "sad", "1": "glad"})
OPEN = Task("open")
PAIRS = Task("pairs", "left", "right", labels={"no": "different", "yes": "same"})
GRADE = Task("grade", label="grade", metric="spearman", regression=True)


def tsv(tmp_path: Path, *rows: str, name: str = "train.tsv") -> Path:
    path = tmp_path / name
    path.write_text("\n".join(rows).replace("|", "\t") + "\n", encoding="utf-8")
    return path


def jsonl(tmp_path: Path, *records: object) -> Path:
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def message(path: Path, task: Task, label_names: list[str] | None = None) -> str:
    with pytest.raises(DataError) as caught:
        read_examples(path, task, label_names=label_names)
    return str(caught.value)


def test_raw_labels_become_ids_in_the_order_of_the_task(tmp_path: Path) -> None:
    path = tsv(tmp_path, "text|label", "hurray |1", "alas|0", "oh joy| 1 ")
    assert read_examples(path, MOOD) == Examples(
        ["hurray ", "alas", "oh joy"], None, [1, 0, 1], ["sad", "glad"]
    )


def test_several_raw_values_may_share_a_label(tmp_path: Path) -> None:
    task = Task("stars", labels={"1": "bad", "2": "bad", "5": "good"})
    examples = read_examples(tsv(tmp_path, "text|label", "a|2", "b|5", "c|1"), task)
    assert (examples.labels, examples.label_names) == ([0, 1, 0], ["bad", "good"])


def test_pairs_keep_both_texts(tmp_path: Path) -> None:
    path = tsv(tmp_path, "right|label|left", "r1|yes|l1", "r2|no|l2")
    assert read_examples(path, PAIRS) == Examples(["l1", "l2"], ["r1", "r2"], [1, 0], ["different", "same"])


def test_numbers_and_booleans_are_compared_as_strings(tmp_path: Path) -> None:
    records = [{"text": "a", "label": 1}, {"text": "b", "label": " 0"}, {"text": "c", "label": "1"}]
    assert read_examples(jsonl(tmp_path, *records), MOOD).labels == [1, 0, 1]
    records = [{"text": "a", "label": True}, {"text": "b", "label": False}]
    assert read_examples(jsonl(tmp_path, *records), OPEN).label_names == ["False", "True"]
    pq.write_table(
        pa.table({"text": ["a", "b"], "label": pa.array([0, 1], pa.int8())}), tmp_path / "t.parquet"
    )
    assert read_examples(tmp_path / "t.parquet", MOOD).labels == [0, 1]


def test_labels_not_given_are_those_of_the_training_set_sorted(tmp_path: Path) -> None:
    train = read_examples(tsv(tmp_path, "text|label", "a|tea", "b|milk", "c|tea", "d|water"), OPEN)
    assert (train.labels, train.label_names) == ([1, 0, 1, 2], ["milk", "tea", "water"])
    test = tsv(tmp_path, "text|label", "a|water", "b|tea", name="test.tsv")
    assert read_examples(test, OPEN, label_names=train.label_names).labels == [2, 1]


def test_a_label_unknown_to_the_training_set_is_refused(tmp_path: Path) -> None:
    test = tsv(tmp_path, "text|label", "a|tea", "b|gin", "c|gin", "d|rum", name="test.tsv")
    error = message(test, OPEN, ["milk", "tea"])
    assert "test.tsv: 3 lines cannot be used" in error
    assert "unknown label 'gin': lines 3, 4" in error
    assert "unknown label 'rum': line 5" in error
    assert "one of 'milk', 'tea'" in error


def test_an_unknown_label_shows_the_raw_values_of_the_task(tmp_path: Path) -> None:
    error = message(tsv(tmp_path, "text|label", "a|1", "b|glad"), MOOD)
    assert "unknown label 'glad': line 3" in error
    assert "in the column 'label' one of '0', '1'" in error


def test_label_names_that_contradict_the_task_are_refused(tmp_path: Path) -> None:
    path = tsv(tmp_path, "text|label", "a|1", "b|0")
    assert read_examples(path, MOOD, label_names=["sad", "glad"]).labels == [1, 0]
    assert "['glad', 'sad'] were asked for" in message(path, MOOD, ["glad", "sad"])


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    error = message(tsv(tmp_path, "text|label", "a|tea", "b|tea"), OPEN)
    assert "single label 'tea'" in error
    assert "at least two" in error


def test_regression_labels_are_numbers(tmp_path: Path) -> None:
    examples = read_examples(tsv(tmp_path, "text|grade", "a|5.000", "b| -1e-1", "c|3"), GRADE)
    assert examples == Examples(["a", "b", "c"], None, [5.0, -0.1, 3.0], None)
    assert examples.regression


def test_regression_labels_that_are_no_finite_numbers_are_listed(tmp_path: Path) -> None:
    error = message(tsv(tmp_path, "text|grade", "a|high", "b|nan", "c|-inf", "d|", "e|1"), GRADE)
    assert "4 lines cannot be used" in error
    assert "label 'high' is not a number: line 2" in error
    assert "label nan is not finite: line 3" in error
    assert "label -inf is not finite: line 4" in error
    assert "label '' is not a number: line 5" in error


@pytest.mark.parametrize("value", [True, None, [1], 10**400])
def test_json_values_that_are_no_numbers_are_refused_for_regression(tmp_path: Path, value: object) -> None:
    records = [{"text": "a", "grade": 1.5}, {"text": "b", "grade": value}]
    assert "is not a number: line 2" in message(jsonl(tmp_path, *records), GRADE)


def test_empty_texts_are_listed_for_both_columns(tmp_path: Path) -> None:
    rows = ["left|right|label", "l|r|no", "  |r|no", "l||yes", "|r|yes"]
    error = message(tsv(tmp_path, *rows), PAIRS)
    assert "3 lines cannot be used" in error
    assert "'left' is empty: lines 3, 5" in error
    assert "'right' is empty: line 4" in error


def test_json_values_that_are_no_text_are_listed(tmp_path: Path) -> None:
    values = ["fine", 5, None, ["words"], "half \ud800 of a pair", "whole \U0001f40d"]
    error = message(jsonl(tmp_path, *({"text": value, "label": 1} for value in values)), MOOD)
    assert "'text' is not text (int): line 2" in error
    assert "'text' is missing (null): line 3" in error
    assert "'text' is not text (list): line 4" in error
    assert "'text' holds a lone surrogate, which is no character: line 5" in error
    assert "line 6" not in error


def test_missing_labels_are_listed(tmp_path: Path) -> None:
    values = [1, None, "", {"id": 1}]
    error = message(jsonl(tmp_path, *({"text": "x", "label": value} for value in values)), MOOD)
    assert "label 'label' is missing (null): line 2" in error
    assert "label 'label' is empty: line 3" in error
    assert "label 'label' is a dict, not a string or a number: line 4" in error


def test_a_wrong_label_column_gives_a_short_message(tmp_path: Path) -> None:
    rows = [f"a|{'word ' * 100}{number}" for number in range(1000)]
    error = message(tsv(tmp_path, "text|label", *rows), MOOD)
    assert "1000 lines cannot be used" in error
    assert len(error) < 1000


def test_a_file_without_examples_is_refused(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"text": pa.array([], pa.string()), "label": pa.array([], pa.int64())}),
        tmp_path / "t.parquet",
    )
    (tmp_path / "t.jsonl").write_text("\n")
    for path in (tsv(tmp_path, "text|label"), tmp_path / "t.parquet", tmp_path / "t.jsonl"):
        assert f"{path} holds no examples" in message(path, OPEN)
