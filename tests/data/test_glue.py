from __future__ import annotations

from pathlib import Path

import pytest

from bertling.data.glue import read_glue, read_glue_devs, read_glue_test
from bertling.data.loading import read_examples
from bertling.errors import DataError
from bertling.tasks import GLUE, SUBMISSIONS

ROWS = {
    "CoLA": ("cola", 8551, 1043),
    "SST-2": ("sst2", 67349, 872),
    "MRPC": ("mrpc", 3667, 408),
    "STS-B": ("stsb", 5749, 1500),
    "RTE": ("rte", 2490, 277),
    "WNLI": ("wnli", 635, 71),
}


@pytest.mark.parametrize("folder", ROWS)
def test_real_files_are_read_to_the_last_row(shared_data: Path, folder: str) -> None:
    name, train_rows, dev_rows = ROWS[folder]
    train, dev = read_glue(shared_data / "glue" / folder, name)
    assert (len(train), len(dev)) == (train_rows, dev_rows)
    assert (train.text_pairs is None) == (name in ("cola", "sst2"))
    for examples in (train, dev):
        assert examples.labels is not None
        if name == "stsb":
            assert examples.regression
            assert (min(examples.labels), max(examples.labels)) == (0.0, 5.0)
        else:
            assert examples.label_names == list((GLUE[name].labels or {}).values())
            assert set(examples.labels) == {0, 1}


@pytest.mark.parametrize("folder", ["CoLA", "MRPC", "STS-B"])
def test_real_rows_are_as_the_file_has_them(shared_data: Path, folder: str) -> None:
    """An independent reading of three layouts: no header, a byte-order mark, many columns."""
    text, pair, label, header = {"CoLA": (3, None, 1, 0), "MRPC": (3, 4, 0, 1), "STS-B": (7, 8, 9, 1)}[folder]
    lines = (
        (shared_data / "glue" / folder / "dev.tsv").read_bytes().decode("utf-8-sig").strip("\n").split("\n")
    )
    fields = [line.split("\t") for line in lines[header:]]
    _, dev = read_glue(shared_data / "glue" / folder, ROWS[folder][0])
    assert dev.texts == [row[text] for row in fields]
    assert dev.text_pairs == (None if pair is None else [row[pair] for row in fields])
    assert dev.labels == [float(row[label]) for row in fields]


def test_labelled_test_set_of_mrpc_reads_as_a_tsv_file(shared_data: Path, tmp_path: Path) -> None:
    original = shared_data / "glue" / "MRPC" / "msr_paraphrase_test.txt"
    (tmp_path / "test.tsv").symlink_to(original.resolve())
    assert len(read_examples(tmp_path / "test.tsv", GLUE["mrpc"])) == 1725


def test_cola_has_no_header_to_lose(tmp_path: Path) -> None:
    for file in ("train.tsv", "dev.tsv"):
        (tmp_path / file).write_text("src\t1\t\tIt rains.\nsrc\t0\t*\tRains it the.\n")
    train, _ = read_glue(tmp_path, "cola")
    assert train.texts == ["It rains.", "Rains it the."]
    assert train.labels == [1, 0]
    assert train.label_names == ["unacceptable", "acceptable"]


def test_mnli_is_reported_on_the_matched_set(tmp_path: Path) -> None:
    rows = "one\ttwo\tneutral\nthree\tfour\tcontradiction\n"
    (tmp_path / "train.tsv").write_text(f"sentence1\tsentence2\tgold_label\n{rows}")
    (tmp_path / "dev_matched.tsv").write_text(
        "sentence1\tsentence2\tlabel1\tgold_label\na\tb\tneutral\tentailment\n"
    )
    (tmp_path / "dev_mismatched.tsv").write_text("not this one")
    train, dev = read_glue(tmp_path, "mnli")
    assert train.label_names == ["entailment", "neutral", "contradiction"]
    assert train.labels == [1, 2]
    assert (dev.texts, dev.text_pairs, dev.labels) == (["a"], ["b"], [0])


def test_a_folder_without_the_files_says_what_is_expected_and_there(tmp_path: Path) -> None:
    (tmp_path / "SST-2").mkdir()
    (tmp_path / "train.tsv").touch()
    with pytest.raises(DataError) as caught:
        read_glue(tmp_path, "sst2")
    error = str(caught.value)
    assert "has no dev.tsv" in error
    assert "it holds SST-2/, train.tsv" in error
    assert "files train.tsv and dev.tsv" in error


def test_a_missing_folder_and_a_file_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "train.tsv").touch()
    with pytest.raises(DataError, match="SST does not exist"):
        read_glue(tmp_path / "SST", "sst2")
    with pytest.raises(DataError, match=r"train\.tsv is a file\. Expected the folder"):
        read_glue(tmp_path / "train.tsv", "sst2")


def test_an_unknown_task_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'SST-2' is no GLUE task.*Did you mean 'sst2'"):
        read_glue(tmp_path, "SST-2")


def test_both_of_mnli_s_development_sets_are_read(tmp_path: Path) -> None:
    for file, label in (("dev_matched.tsv", "neutral"), ("dev_mismatched.tsv", "contradiction")):
        (tmp_path / file).write_text(f"sentence1\tsentence2\tlabel1\tgold_label\na\tb\t-\t{label}\n")
    devs = read_glue_devs(tmp_path, "mnli")
    assert {name: examples.labels for name, examples in devs.items()} == {"dev": [1], "mismatched": [2]}


def test_lines_of_qqp_that_lack_fields_or_texts_are_left_out_while_they_are_few(tmp_path: Path) -> None:
    header = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
    good = "1\t2\t3\tWhy?\tHow so?\t1\n2\t4\t5\t"
    good += 'Is it "so?\tIs it not?\t0\n'
    broken = "3\t6\tWhere?\n4\t7\t8\t\tWhere?\t0\n"
    (tmp_path / "train.tsv").write_text(header + broken + good)
    (tmp_path / "dev.tsv").write_text(header + good)
    train, dev = read_glue(tmp_path, "qqp")
    assert train == dev
    assert train.texts == ["Why?", 'Is it "so?']
    (tmp_path / "train.tsv").write_text(header + good + 21 * "3\t6\tWhere?\n")
    with pytest.raises(DataError, match="21 lines cannot be used"):
        read_glue(tmp_path, "qqp")
    (tmp_path / "train.tsv").write_text(header + good + 21 * "4\t7\t8\t\tWhere?\t0\n")
    with pytest.raises(DataError, match="'question1' is empty"):
        read_glue(tmp_path, "qqp")


def test_other_tasks_lines_are_never_left_out(tmp_path: Path) -> None:
    for file in ("train.tsv", "dev.tsv"):
        (tmp_path / file).write_text("sentence\tlabel\ngood\t1\nbad\n")
    with pytest.raises(DataError, match="1 field: line 3"):
        read_glue(tmp_path, "sst2")


def test_a_test_file_keeps_every_row_in_its_order(tmp_path: Path) -> None:
    wnli = next(submission for submission in SUBMISSIONS if submission.file == "WNLI.tsv")
    path = tmp_path / "test.tsv"
    rows = [f'{row}\ta "{row}\t{"" if row == 3 else row}' for row in range(146)]
    path.write_text("\n".join(["index\tsentence1\tsentence2", *rows]) + "\n")
    test = read_glue_test(path, wnli)
    assert test.text_pairs is not None
    assert (test.labels, len(test)) == (None, 146)
    assert (test.texts[145], test.text_pairs[2:5]) == ('a "145', ["2", "", "4"])
    path.write_text("\n".join(["index\tsentence1\tsentence2", *rows[:-1]]) + "\n")
    with pytest.raises(DataError, match="has 145 rows, and GLUE's own has 146"):
        read_glue_test(path, wnli)
