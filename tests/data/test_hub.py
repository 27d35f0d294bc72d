from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertling.data.corpus import MAX_TEXT_CHARACTERS
from bertling.data.hub import read_hub, read_hub_corpus
from bertling.errors import DataError, MissingExtraError
from bertling.tasks import GLUE, Task, on_hub

datasets = pytest.importorskip("datasets", reason="the extra hub is not installed")

MOOD = Task("mood", labels={"0": "sad", "1": "glad"})


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def data_set(folder: Path, classes: list[str] | None = None, **splits: list[object]) -> str:
    """A local data set of numbered texts, its labels ids of a ClassLabel if ``classes`` are given."""
    folder.mkdir()
    for split, labels in splits.items():
        table = pa.table({"text": [f"{split} {row}" for row in range(len(labels))], "label": labels})
        if classes is not None:
            features = {
                "text": {"dtype": "string", "_type": "Value"},
                "label": {"names": classes, "_type": "ClassLabel"},
            }
            table = table.replace_schema_metadata(
                {"huggingface": json.dumps({"info": {"features": features}})}
            )
        pq.write_table(table, folder / f"{split}.parquet")
    return str(folder)


def message(name: str, task: Task, *, train_split: str = "train", test_split: str = "validation") -> str:
    with pytest.raises(DataError) as caught:
        read_hub(name, task, train_split=train_split, test_split=test_split)
    return str(caught.value)


def test_local_folder_stands_in_for_the_hub(tmp_path: Path) -> None:
    name = data_set(tmp_path / "mood", train=["1", "0", "1"], validation=["0", "1"])
    train, test = read_hub(name, MOOD, train_split="train", test_split="validation")
    assert (train.texts, train.labels) == (["train 0", "train 1", "train 2"], [1, 0, 1])
    assert (test.texts, test.labels) == (["validation 0", "validation 1"], [0, 1])
    assert train.label_names == test.label_names == ["sad", "glad"]


def test_csv_folder_and_slices_of_a_split_work(tmp_path: Path) -> None:
    folder = tmp_path / "mood"
    folder.mkdir()
    (folder / "train.csv").write_text("text,label\na,0\nb,1\nc,0\nd,1\n")
    train, test = read_hub(str(folder), MOOD, train_split="train[:75%]", test_split="train[75%:]")
    assert (train.texts, train.labels) == (["a", "b", "c"], [0, 1, 0])
    assert (test.texts, test.labels) == (["d"], [1])


def test_class_ids_take_the_names_and_the_order_of_the_column(tmp_path: Path) -> None:
    name = data_set(tmp_path / "drinks", ["water", "milk", "tea"], train=[0, 2, 2], validation=[2, 1])
    train, test = read_hub(name, Task("drinks"), train_split="train", test_split="validation")
    assert train.label_names == test.label_names == ["water", "milk", "tea"]
    assert (train.labels, test.labels) == ([0, 2, 2], [2, 1])


@pytest.mark.parametrize("classes", [["glad", "sad"], ["1", "0"]])
def test_class_ids_are_matched_to_the_task_by_name_and_not_by_number(
    tmp_path: Path, classes: list[str]
) -> None:
    name = data_set(tmp_path / "mood", classes, train=[0, 1, 1], validation=[1, 0])
    train, test = read_hub(name, MOOD, train_split="train", test_split="validation")
    assert train.label_names == ["sad", "glad"]
    assert (train.labels, test.labels) == ([1, 0, 0], [0, 1])


def test_class_names_that_the_task_does_not_have_are_refused(tmp_path: Path) -> None:
    name = data_set(tmp_path / "mood", ["down", "up"], train=[0, 1], validation=[0, 1])
    assert "unknown label 'down': row 1" in message(name, MOOD)


def test_a_test_label_that_training_lacks_is_refused(tmp_path: Path) -> None:
    name = data_set(tmp_path / "drinks", train=["tea", "milk"], validation=["tea", "gin"])
    error = message(name, Task("drinks"))
    assert "drinks (validation): 1 row cannot be used" in error
    assert "unknown label 'gin': row 2" in error


def test_hidden_labels_are_refused(tmp_path: Path) -> None:
    name = data_set(tmp_path / "mood", ["sad", "glad"], train=[0, 1], test=[-1, -1])
    error = message(name, MOOD, test_split="test")
    assert "mood (test): 2 rows cannot be used" in error
    assert "hidden label (-1): rows 1, 2" in error


def test_minus_one_is_a_grade_unless_there_is_nothing_else(tmp_path: Path) -> None:
    grade = Task("grade", regression=True, metric="spearman")
    name = data_set(tmp_path / "grade", train=[-1.0, 2.0], validation=[1.0, -1.0], test=[-1.0, -1.0])
    train, test = read_hub(name, grade, train_split="train", test_split="validation")
    assert (train.labels, test.labels) == ([-1.0, 2.0], [1.0, -1.0])
    assert "hidden label (-1)" in message(name, grade, test_split="test")


def test_missing_class_id_is_listed(tmp_path: Path) -> None:
    name = data_set(tmp_path / "mood", ["sad", "glad"], train=[0, None, 1], validation=[0, 1])
    assert "label 'label' is missing (null): row 2" in message(name, MOOD)


def test_missing_column_and_split_and_config_name_those_that_there_are(tmp_path: Path) -> None:
    name = data_set(tmp_path / "mood", train=["0", "1"], validation=["0", "1"])
    assert "(train): no column 'sentence'; the columns are 'text', 'label'" in message(
        name, Task("mood", "sentence")
    )
    assert "['train', 'validation']" in message(name, MOOD, test_split="dev")
    assert "'cheerful' not found" in message(f"{name}:cheerful", MOOD)


@pytest.mark.parametrize("name", ["nobody/nothing", "nobody/nothing:config", "a/b/c"])
def test_name_neither_local_nor_reachable_says_both(name: str) -> None:
    error = message(name, MOOD)
    assert "There is no local folder" in error
    assert f"{name.partition(':')[0]!r} could not be had from the hub" in error


def test_folders_that_hold_no_data_set_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert "cannot be loaded" in message(str(tmp_path / "empty"), MOOD)
    (tmp_path / "train.csv").write_text("text,label\n")
    assert "is a file" in message(str(tmp_path / "train.csv"), MOOD)


def test_broken_data_shows_the_cause(tmp_path: Path) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "train.csv").write_text("text,label\na,0\nb,1,2,3\n")
    (folder / "validation.csv").write_text("text,label\na,0\n")
    assert "Expected 2 fields in line 3" in message(str(folder), MOOD)


def test_progress_bars_are_off_only_while_loading(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    name = data_set(tmp_path / "mood", train=["0", "1"], validation=["0", "1"])
    assert not datasets.are_progress_bars_disabled()
    read_hub(name, MOOD, train_split="train", test_split="validation")
    assert not datasets.are_progress_bars_disabled()
    assert capfd.readouterr().err == ""


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"bertling\[hub\]"):
        read_hub("owner/name", MOOD, train_split="train", test_split="validation")


# Corpora


def corpus(name: str, split: str = "train", column: str = "text") -> list[str]:
    return list(read_hub_corpus(name, split=split, column=column))


def corpus_error(name: str, split: str = "train", column: str = "text") -> str:
    with pytest.raises(DataError) as caught:
        corpus(name, split, column)
    return str(caught.value)


def test_texts_of_a_split_are_streamed(tmp_path: Path) -> None:
    name = data_set(tmp_path / "wiki", train=["0", "1"], validation=["0"])
    assert corpus(name) == ["train 0", "train 1"]
    assert corpus(name, "train+validation") == ["train 0", "train 1", "validation 0"]
    assert corpus(name, column="label") == ["0", "1"]
    assert {path.suffix for path in (tmp_path / "cache").rglob("*")} <= {".lock"}


def test_texts_of_json_are_cleaned_and_split(tmp_path: Path) -> None:
    (tmp_path / "wiki").mkdir()
    lines = [json.dumps({"body": text}) for text in ("a\n\tb\x00", "", "x" * (MAX_TEXT_CHARACTERS + 1))]
    (tmp_path / "wiki" / "train.jsonl").write_text("\n".join(lines))
    assert corpus(str(tmp_path / "wiki"), column="body") == ["a b", "x" * MAX_TEXT_CHARACTERS, "x"]


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_missing_column_of_a_corpus_names_those_that_there_are(tmp_path: Path, kind: str) -> None:
    if kind == "parquet":
        name = data_set(tmp_path / "wiki", train=["0"])
    else:
        (tmp_path / "wiki").mkdir()
        (tmp_path / "wiki" / "train.jsonl").write_text('{"text": "a", "label": "0"}\n')
        name = str(tmp_path / "wiki")
    error = corpus_error(name, column="txt")
    assert "wiki (train): no column 'txt'; the columns are 'text', 'label'. Did you mean 'text'?" in error


def test_rows_of_a_corpus_that_are_not_text_are_listed(tmp_path: Path) -> None:
    name = data_set(tmp_path / "wiki", train=[1, None, 2])
    error = corpus_error(name, column="label")
    assert "wiki (train): 3 rows cannot be used" in error
    assert "'label' is not text (int): rows 1, 3" in error
    assert "'label' is missing (null): row 2" in error


def test_a_corpus_without_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "wiki").mkdir()
    pq.write_table(pa.table({"text": ["", " \n"]}), tmp_path / "wiki" / "train.parquet")
    assert "wiki (train) holds no text" in corpus_error(str(tmp_path / "wiki"))


@pytest.mark.parametrize("split", ["trian", "train[:50%]"])
def test_splits_of_a_corpus_that_cannot_be_streamed_name_those_that_can(tmp_path: Path, split: str) -> None:
    name = data_set(tmp_path / "wiki", train=["0"])
    error = corpus_error(name, split)
    assert "cannot be loaded" in error
    assert "['train']" in error


def test_a_corpus_that_is_broken_in_the_middle_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "wiki").mkdir()
    (tmp_path / "wiki" / "train.csv").write_text("text,label\na,0\nb,1,2,3\n")
    assert "wiki (train) cannot be read" in corpus_error(str(tmp_path / "wiki"))


def test_a_corpus_neither_local_nor_reachable_says_both() -> None:
    error = corpus_error("nobody/nothing")
    assert "There is no local folder" in error
    assert "'nobody/nothing' could not be had from the hub" in error


def test_without_the_package_a_corpus_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingExtraError, match=r"bertling\[hub\]"):
        corpus("owner/name")


def test_glue_on_the_hub_has_other_columns_and_class_ids(tmp_path: Path) -> None:
    folder = tmp_path / "mnli"
    folder.mkdir()
    table = pa.table({"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": [2, 0]})
    names = ["entailment", "neutral", "contradiction"]
    features = {
        **{name: {"dtype": "string", "_type": "Value"} for name in ("premise", "hypothesis")},
        "label": {"names": names, "_type": "ClassLabel"},
    }
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    for split in ("train", "validation"):
        pq.write_table(table, folder / f"{split}.parquet")
    task = on_hub(GLUE["mnli"])
    train, _ = read_hub(str(folder), task, train_split="train", test_split="validation")
    assert (train.texts, train.text_pairs, train.labels) == (["a", "b"], ["c", "d"], [2, 0])
    assert train.label_names == names


def test_a_task_of_one_s_own_is_the_same_on_the_hub() -> None:
    assert on_hub(MOOD) is MOOD
    own = Task("mrpc", "a", "b")
    assert on_hub(own) is own
    assert on_hub(GLUE["sst2"]) is GLUE["sst2"]
