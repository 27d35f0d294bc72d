from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertling.data.tables import read_columns
from bertling.errors import DataError


def write(path: Path, content: str | bytes) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def message(path: Path, *wanted: str, header: list[str] | None = None) -> str:
    with pytest.raises(DataError) as caught:
        read_columns(path, wanted or ("text", "label"), header=header)
    return str(caught.value)


CONTENT = {
    ".tsv": "id\ttext\tlabel\n1\tfirst\tno\n2\tsecond\tyes\n",
    ".csv": "id,text,label\n1,first,no\n2,second,yes\n",
    ".jsonl": '{"id": 1, "text": "first", "label": "no"}\n{"id": 2, "label": "yes", "text": "second"}\n',
}


@pytest.mark.parametrize("gz", ["", ".gz"])
@pytest.mark.parametrize("kind", CONTENT)
def test_wanted_columns_are_read_by_name(tmp_path: Path, kind: str, gz: str) -> None:
    columns = read_columns(write(tmp_path / f"train{kind}{gz}", CONTENT[kind]), ["label", "text"])
    assert columns.values == {"label": ["no", "yes"], "text": ["first", "second"]}
    assert columns.unit == "line"
    assert columns.places == ([1, 2] if kind == ".jsonl" else [2, 3])


def test_parquet_gives_the_same_values_and_counts_rows(tmp_path: Path) -> None:
    table = pa.table({"id": [1, 2], "text": ["first", "second"], "label": [True, None], "a.b": [0.5, 1.0]})
    pq.write_table(table, tmp_path / "train.parquet")
    columns = read_columns(tmp_path / "train.parquet", ["a.b", "text", "label"])
    assert columns.values == {"a.b": [0.5, 1.0], "text": ["first", "second"], "label": [True, None]}
    assert (columns.unit, columns.places) == ("row", [1, 2])


@pytest.mark.parametrize("kind", CONTENT)
def test_byte_order_mark_and_windows_line_ends_leave_no_trace(tmp_path: Path, kind: str) -> None:
    content = b"\xef\xbb\xbf" + CONTENT[kind].replace("\n", "\r\n").encode()
    columns = read_columns(write(tmp_path / f"train{kind}", content), ["id", "label"])
    assert [str(value) for value in columns.values["id"]] == ["1", "2"]
    assert columns.values["label"] == ["no", "yes"]


def test_quotes_in_tsv_are_literal_and_lose_no_row(tmp_path: Path) -> None:
    texts = ['"', 'a "quoted" word', '"opened', 'closed"', '""']
    rows = "".join(f"{text}\tno\n" for text in texts)
    assert (
        read_columns(write(tmp_path / "train.tsv", f"text\tlabel\n{rows}"), ["text"]).values["text"] == texts
    )


def test_quotes_in_csv_protect_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    content = 'text,label\n"one, ""two""\nthree",no\nlast,yes\n'
    columns = read_columns(write(tmp_path / "train.csv", content), ["text", "label"])
    assert columns.values == {"text": ['one, "two"\nthree', "last"], "label": ["no", "yes"]}
    assert columns.places == [2, 4]


def test_stray_csv_quote_is_an_error_rather_than_lost_rows(tmp_path: Path) -> None:
    content = 'text,label\nfine,no\n"never closed,no\nswallowed,yes\n'
    error = message(write(tmp_path / "train.csv", content))
    assert "train.csv: the record that begins at line 3 is not valid csv" in error
    assert ".tsv" in error


def test_separators_other_than_the_newline_stay_inside_a_text(tmp_path: Path) -> None:
    text = "one\u2028two\x85three\x0bfour\x1cfive\rsix\0seven"
    content = f"text\tlabel\n{text}\tno\n"
    assert read_columns(write(tmp_path / "train.tsv", content), ["text"]).values["text"] == [text]


@pytest.mark.parametrize("kind", [".tsv", ".csv"])
def test_fields_of_megabytes_with_nul_bytes_are_read(tmp_path: Path, kind: str) -> None:
    separator = "\t" if kind == ".tsv" else ","
    text = "long\0" * 400_000
    limit = csv.field_size_limit()
    path = write(tmp_path / f"train{kind}", f"text{separator}label\n{text}{separator}no\n")
    assert read_columns(path, ["text"]).values["text"] == [text]
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize("kind", CONTENT)
def test_empty_lines_are_skipped_and_still_counted(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / f"train{kind}", CONTENT[kind].replace("\n", "\n\n"))
    columns = read_columns(path, ["label"])
    assert columns.values["label"] == ["no", "yes"]
    assert columns.places == ([1, 3] if kind == ".jsonl" else [3, 5])


def test_a_file_without_header_takes_the_given_names(tmp_path: Path) -> None:
    path = write(tmp_path / "train.tsv", "x\t1\tfirst\ny\t0\tsecond\n")
    columns = read_columns(path, ["text", "label"], header=["source", "label", "text"])
    assert columns.values == {"text": ["first", "second"], "label": ["1", "0"]}
    assert columns.places == [1, 2]


def test_missing_column_names_those_that_there_are_and_the_nearest(tmp_path: Path) -> None:
    pq.write_table(pa.table({"Label": [1], "sentence": ["x"]}), tmp_path / "train.parquet")
    for path in (
        write(tmp_path / "train.tsv", "sentence\tLabel\nfirst\t1\n"),
        write(tmp_path / "train.csv", "sentence,Label\nfirst,1\n"),
        write(tmp_path / "train.jsonl", '{"sentence": "first", "Label": 1}\n'),
        tmp_path / "train.parquet",
    ):
        error = message(path, "sentence", "label")
        assert f"{path}: no column 'label'" in error
        assert "'sentence'" in error
        assert "Did you mean 'Label'?" in error


def test_repeated_column_is_refused(tmp_path: Path) -> None:
    assert "'text' names more than one column" in message(
        write(tmp_path / "train.tsv", "text\tlabel\ttext\none\tno\ttwo\n")
    )
    table = pa.Table.from_arrays([pa.array(["one"]), pa.array(["two"])], names=["text", "text"])
    pq.write_table(table, tmp_path / "train.parquet")
    assert "'text' names more than one column" in message(tmp_path / "train.parquet", "text")


@pytest.mark.parametrize(("kind", "separator"), [(".tsv", "\t"), (".csv", ",")])
def test_rows_with_a_wrong_field_count_are_listed_together(tmp_path: Path, kind: str, separator: str) -> None:
    rows = ["text|label", "fine|no", "short", "long|no|more", *(["short"] * 8)]
    path = write(tmp_path / f"train{kind}", "\n".join(rows).replace("|", separator))
    error = message(path)
    assert "10 lines cannot be used" in error
    assert "1 field: lines 3, 5, 6, 7, 8 and 4 more (9 in all)" in error
    assert "3 fields: line 4" in error
    assert "Expected 2 fields" in error


def test_malformed_json_lines_are_listed_with_what_is_wrong(tmp_path: Path) -> None:
    lines = ['{"text": "x", "label": 1}', '{"text": "x"', "[1, 2]", "[" * 100_000, "1" * 5000]
    error = message(write(tmp_path / "train.jsonl", "\n".join(lines)))
    assert "4 lines cannot be used" in error
    assert "malformed json (Expecting ',' delimiter): line 2" in error
    assert "json list, not an object: line 3" in error


def test_json_lines_that_lack_a_key_are_listed(tmp_path: Path) -> None:
    path = write(tmp_path / "train.jsonl", '{"text": "x", "label": 1}\n{"text": "y"}\n')
    assert "no key 'label': line 2" in message(path)


@pytest.mark.parametrize("kind", CONTENT)
def test_invalid_utf8_is_listed_by_line(tmp_path: Path, kind: str) -> None:
    content = CONTENT[kind].encode().replace(b"second", b"caf\xe9")
    error = message(write(tmp_path / f"train{kind}", content))
    assert f"not valid UTF-8: line {2 if kind == '.jsonl' else 3}" in error


def test_invalid_utf8_in_parquet_is_listed_by_row(tmp_path: Path) -> None:
    offsets = pa.py_buffer(b"".join(number.to_bytes(4, "little") for number in (0, 4, 8)))
    column = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"finecaf\xe9"))
    pq.write_table(pa.table({"text": column}), tmp_path / "train.parquet")
    assert "'text' is not valid UTF-8: row 2" in message(tmp_path / "train.parquet", "text")


def test_damaged_files_are_data_errors(tmp_path: Path) -> None:
    whole = gzip.compress(CONTENT[".tsv"].encode() * 1000)
    (tmp_path / "cut.tsv.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "plain.tsv.gz").write_text(CONTENT[".tsv"])
    (tmp_path / "text.parquet").write_text(CONTENT[".tsv"])
    for name in ("cut.tsv.gz", "plain.tsv.gz", "text.parquet"):
        assert f"{name} cannot be read" in message(tmp_path / name)


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    assert "train.tsv is empty" in message(write(tmp_path / "train.tsv", "\n"))
    assert "train.csv is empty" in message(write(tmp_path / "train.csv", b"\xef\xbb\xbf"))


def test_a_missing_file_is_named_with_its_nearest_neighbour(tmp_path: Path) -> None:
    write(tmp_path / "train.tsv", CONTENT[".tsv"])
    error = message(tmp_path / "trian.tsv")
    assert "no file trian.tsv" in error
    assert "Did you mean 'train.tsv'?" in error
    assert "nor the folder" in message(tmp_path / "nowhere" / "train.tsv")


def test_a_folder_in_place_of_a_file_shows_what_it_holds(tmp_path: Path) -> None:
    write(tmp_path / "train.tsv", CONTENT[".tsv"])
    error = message(tmp_path)
    assert "is a folder, expected a file" in error
    assert "train.tsv" in error


@pytest.mark.parametrize("name", ["train.xlsx", "train", "train.parquet.gz"])
def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path: Path, name: str) -> None:
    error = message(write(tmp_path / name, "text"))
    assert "suffix" in error
    assert ".tsv, .csv, .jsonl" in error
