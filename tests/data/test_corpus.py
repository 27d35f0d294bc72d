from __future__ import annotations

import gzip
import json
import random
import tracemalloc
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertling.data import corpus
from bertling.data.corpus import MAX_TEXT_CHARACTERS, read_corpus
from bertling.data.lines import read_lines
from bertling.errors import DataError

PLAIN = ["corpus.txt", "corpus.txt.gz", "corpus.gz", "corpus.txt.zst", "corpus.zst", "CORPUS.TXT.GZ"]


def write(path: Path, *members: bytes | str) -> Path:
    """A file of the kind that its name says; several members are packed one by one."""
    pack: Callable[[bytes], bytes] = {
        ".gz": gzip.compress,
        ".zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
    }.get(path.suffix.lower(), bytes)
    path.parent.mkdir(parents=True, exist_ok=True)
    contents = [member.encode() if isinstance(member, str) else member for member in members]
    path.write_bytes(b"".join(map(pack, contents)))
    return path


def jsonl(path: Path, records: Iterable[object]) -> Path:
    return write(path, "".join(f"{json.dumps(record)}\n" for record in records))


def parquet(path: Path, *, rows_of_group: int = 2, **columns: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=rows_of_group)
    return path


def message(path: Path, **settings: str) -> str:
    with pytest.raises(DataError) as caught:
        list(read_corpus(path, **settings))
    return str(caught.value)


@pytest.mark.parametrize("name", PLAIN)
def test_one_text_a_line_without_the_blank_ones(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, b"first\r\n\n  \t \nsecond line\n\nthird, no newline")
    assert list(read_corpus(path)) == ["first", "second line", "third, no newline"]


@pytest.mark.parametrize("name", ["corpus.gz", "corpus.zst", "corpus.jsonl.zst"])
def test_archives_of_several_members_are_read_whole(tmp_path: Path, name: str) -> None:
    lines = [f"text {number} of many" for number in range(5000)]
    if "jsonl" in name:
        members = ["".join(json.dumps({"text": line}) + "\n" for line in lines[::2])]
        members += ["".join(json.dumps({"text": line}) + "\n" for line in lines[1::2])]
        lines = lines[::2] + lines[1::2]
    else:
        whole = "\n".join(lines)
        members = [whole[:1234], whole[1234:50_000], "", whole[50_000:]]  # in the middle of lines
    assert list(read_corpus(write(tmp_path / name, *members))) == lines


def test_whitespace_collapses_and_control_characters_go(tmp_path: Path) -> None:
    path = write(tmp_path / "corpus.txt", "\ufeff  a\t b\u00a0 c\x00d\x1b\x7f\u0080e\x0cf\u2028g \r\n")
    assert list(read_corpus(path)) == ["a b cde f g"]


def test_a_line_of_control_characters_alone_is_blank(tmp_path: Path) -> None:
    assert list(read_corpus(write(tmp_path / "corpus.txt", b"\x00\x01\ntext\n"))) == ["text"]


def test_long_lines_split_at_whitespace_and_lose_no_word(tmp_path: Path) -> None:
    words = [f"w{number}" for number in range(60_000)]
    *pieces, last = read_corpus(write(tmp_path / "corpus.txt", " ".join(words) + "\nshort\n"))
    assert last == "short"
    assert len(pieces) == 5
    assert all(len(piece) <= MAX_TEXT_CHARACTERS for piece in pieces)
    assert " ".join(pieces).split(" ") == words


@pytest.mark.parametrize("extra", [0, 1, MAX_TEXT_CHARACTERS])
def test_a_line_without_whitespace_is_cut_at_the_limit(tmp_path: Path, extra: int) -> None:
    pieces = list(read_corpus(write(tmp_path / "corpus.txt", "x" * (MAX_TEXT_CHARACTERS + extra))))
    assert [len(piece) for piece in pieces] == [MAX_TEXT_CHARACTERS, *([extra] if extra else [])]


def test_a_space_right_at_the_limit_begins_no_piece(tmp_path: Path) -> None:
    long = "x" * MAX_TEXT_CHARACTERS
    assert list(read_corpus(write(tmp_path / "corpus.txt", f"{long} {long}y z"))) == [long, long, "y z"]


def expected_pieces(line: str, limit: int) -> list[str]:
    """What a line gives, looked at as a whole."""
    text = " ".join("".join(character for character in line if character != "\x07").split())
    pieces = []
    while len(text) > limit:
        end = text.rfind(" ", 0, limit + 1)
        piece, text = (text[:end], text[end + 1 :]) if end > 0 else (text[:limit], text[limit:])
        pieces.append(piece)
    return [*pieces, text] if text else pieces


@pytest.mark.parametrize("name", ["corpus.txt", "corpus.jsonl"])
@pytest.mark.parametrize("fragment", [1, 2, 3, 7, 64])
def test_in_how_many_fragments_a_text_is_read_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, fragment: int
) -> None:
    monkeypatch.setattr(corpus, "MAX_TEXT_CHARACTERS", 10)
    monkeypatch.setattr(corpus, "_FRAGMENT", fragment)
    draw = random.Random(5)
    alphabet = "aé文😀  \t\u3000\x07"
    lines = ["".join(draw.choices(alphabet, k=draw.randrange(60))) for _ in range(200)]
    path = tmp_path / name
    if name.endswith(".txt"):
        write(path, "\ufeff" + "\n".join(lines))
    else:
        jsonl(path, ({"text": line} for line in lines))
    assert list(read_corpus(path)) == [piece for line in lines for piece in expected_pieces(line, 10)]


def test_fragments_keep_the_number_and_the_ending_of_their_line(tmp_path: Path) -> None:
    path = write(tmp_path / "lines.txt", "\ufeffabcdef\n\né😀\nxyz")
    assert list(read_lines(path)) == [(1, "abcdef\n"), (2, "\n"), (3, "é😀\n"), (4, "xyz")]
    fragments = list(read_lines(path, fragment_bytes=4))
    assert fragments == [(1, "a"), (1, "bcde"), (1, "f\n"), (2, "\n"), (3, "é"), (3, "😀\n"), (4, "xyz")]


def test_texts_are_streamed(tmp_path: Path) -> None:
    path = write(tmp_path / "corpus.txt", b"good\n" * 10 + b"caf\xe9\n")
    assert list(islice(read_corpus(path), 10)) == ["good"] * 10


@pytest.mark.parametrize("fragment", [4, 1 << 18])
def test_invalid_utf8_is_named_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fragment: int
) -> None:
    monkeypatch.setattr(corpus, "_FRAGMENT", fragment)
    content = b"good\ncaf\xe9, pur\xe9e, ros\xe9\ngood\n\xff\xfe\ngood again\ncut off: \xc3"
    error = message(write(tmp_path / "corpus.txt", content))
    assert "corpus.txt: 3 lines cannot be used" in error
    assert "not valid UTF-8: lines 2, 4, 6" in error


def test_a_file_that_is_no_text_at_all_is_not_read_to_its_end(tmp_path: Path) -> None:
    assert "(1000 in all)" in message(write(tmp_path / "corpus.txt", b"\xff\n" * 5000))
    assert "(1000 in all)" in message(jsonl(tmp_path / "corpus.jsonl", [{"text": None}] * 5000))


@pytest.mark.parametrize(
    ("name", "end"), [("corpus.gz", -12), ("corpus.zst", -12), ("corpus.zst", 3), ("corpus.parquet", -12)]
)
def test_a_damaged_file_is_a_data_error(tmp_path: Path, name: str, end: int) -> None:
    whole = tmp_path / f"whole{Path(name).suffix}"
    texts = [f"text {number * number}" for number in range(1000)]
    if name.endswith(".parquet"):
        parquet(whole, text=texts)
    else:
        write(whole, "\n".join(texts))
    (tmp_path / name).write_bytes(whole.read_bytes()[:end])
    assert f"{name} cannot be read" in message(tmp_path / name)
    (tmp_path / name).write_bytes(b"this is nothing of the kind" * 100)
    assert f"{name} cannot be read" in message(tmp_path / name)


def test_a_missing_file_is_a_data_error(tmp_path: Path) -> None:
    assert "no file corpus.txt" in message(tmp_path / "corpus.txt")


@pytest.mark.parametrize(
    "name", ["corpus", "corpus.csv", "corpus.json", "corpus.tar.gz", "corpus.parquet.gz", "corpus.gz.gz"]
)
def test_files_of_other_kinds_are_refused_with_those_that_are_read(tmp_path: Path, name: str) -> None:
    error = message(write(tmp_path / name, "text\n"))
    assert f"{name} is of no kind" in error
    assert all(kind in error for kind in (".txt", ".gz", ".zst", ".jsonl", ".parquet"))


@pytest.mark.parametrize("content", [b"", b"\n \n\t\n"])
@pytest.mark.parametrize("name", ["corpus.txt", "corpus.gz", "corpus.jsonl"])
def test_a_corpus_without_text_is_an_error(tmp_path: Path, name: str, content: bytes) -> None:
    assert "holds no text" in message(write(tmp_path / name, content))


# Folders


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path: Path) -> None:
    write(tmp_path / "b.txt.gz", "4\n5")
    jsonl(tmp_path / "a" / "z.jsonl", [{"text": "2"}])
    parquet(tmp_path / "a.parquet", text=["3"])
    write(tmp_path / "a" / "deeper" / "y.zst", "1")
    write(tmp_path / "c.txt", "")
    assert list(read_corpus(tmp_path)) == ["1", "2", "3", "4", "5"]


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    write(tmp_path / "seen.txt", "text")
    write(tmp_path / ".hidden.txt", "hidden")
    write(tmp_path / "a" / ".cache" / "seen.txt", "hidden")
    write(tmp_path / ".lock", "hidden")
    assert list(read_corpus(tmp_path)) == ["text"]
    # But the folder itself may lie in one.
    assert list(read_corpus(tmp_path / "a" / ".cache")) == ["hidden"]


def test_a_folder_with_other_files_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "text")
    write(tmp_path / "b" / "notes.md", "text")
    with pytest.raises(DataError, match=r"notes\.md is of no kind"):
        next(read_corpus(tmp_path))
    write(tmp_path / "c.csv", "text")
    assert "notes.md (and 1 others) is of no kind" in message(tmp_path)


def test_an_empty_folder_and_a_folder_of_blank_files_are_errors(tmp_path: Path) -> None:
    assert "holds no files to read: it holds nothing. Expected plain text" in message(tmp_path)
    write(tmp_path / "a.txt", "\n\n")
    write(tmp_path / "b.txt", "")
    assert "holds no text" in message(tmp_path)


# Json lines


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.jsonl.gz", "corpus.jsonl.zst"])
def test_jsonl_has_its_texts_in_a_column(tmp_path: Path, name: str) -> None:
    content = (
        '\ufeff{"id": 1, "text": "one\\n\\ntwo", "body": "1"}\n\n{"text": "", "body": "2"}\n{"body": "3",'
    )
    path = write(tmp_path / name, content + ' "text": "three\\ud83d\\ude00"}')
    assert list(read_corpus(path)) == ["one two", "three😀"]
    assert list(read_corpus(path, column="body")) == ["1", "2", "3"]


def test_halves_of_characters_are_removed_from_json(tmp_path: Path) -> None:
    path = write(tmp_path / "corpus.jsonl", '{"text": "cut\\ud83d off"}\n{"text": "\\ude00"}\n')
    assert list(read_corpus(path)) == ["cut off"]


def test_a_long_document_of_json_is_split_as_a_line_is(tmp_path: Path) -> None:
    document = " ".join(f"w{number}" for number in range(60_000))
    from_json = list(read_corpus(jsonl(tmp_path / "corpus.jsonl", [{"text": document}])))
    assert from_json == list(read_corpus(write(tmp_path / "corpus.txt", document)))
    assert len(from_json) == 5


def test_json_that_cannot_be_used_is_listed_by_line(tmp_path: Path) -> None:
    lines = ['{"text": "good"}', '{"text": "cut', "[1]", "", '{"text": null}', '{"text": 7}', '"text"']
    lines += ['{"text": ["a"]}', "[" * 100_000, '{"text": ' + "9" * 5000 + "}", '{"text": "good"}']
    error = message(write(tmp_path / "corpus.jsonl", "\n".join(lines)))
    assert "corpus.jsonl: 8 lines cannot be used" in error
    assert "malformed json (Unterminated string starting at): line 2" in error
    assert "json list, not an object: line 3" in error
    assert "'text' is missing (null): line 5" in error
    assert "'text' is not text (int): line 6" in error
    assert "json str, not an object: line 7" in error


def test_no_text_after_the_first_bad_record_is_yielded(tmp_path: Path) -> None:
    texts = read_corpus(jsonl(tmp_path / "corpus.jsonl", [{"text": "a"}, {"text": 1}, {"text": "b"}]))
    assert next(texts) == "a"
    with pytest.raises(DataError):
        next(texts)


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.parquet"])
def test_a_missing_column_names_those_that_there_are(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".jsonl"):
        jsonl(path, [{"texts": "a", "id": 1}])
    else:
        parquet(path, texts=["a"], id=[1])
    error = message(path)
    assert "no column 'text'; the columns are 'texts', 'id'. Did you mean 'texts'?" in error
    assert list(read_corpus(path, column="texts")) == ["a"]


def test_a_record_without_the_column_is_named_by_its_line(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "corpus.jsonl", [{"text": "a"}, {"Text": "b"}])
    assert "corpus.jsonl, line 2: no column 'text'" in message(path)


def test_a_json_record_above_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = jsonl(tmp_path / "corpus.jsonl", [{"text": "short"}, {"text": "long" * 1000}, {"text": "short"}])
    assert len(list(read_corpus(path))) == 3
    monkeypatch.setattr(corpus, "MAX_RECORD_BYTES", 3000)
    assert "line 2 is longer than" in message(path)


# Parquet


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_parquet_has_its_texts_in_a_column(tmp_path: Path, kind: pa.DataType) -> None:
    texts = [f"text {number} " * (number % 5) for number in range(1000)]
    path = parquet(
        tmp_path / "c.parquet", rows_of_group=300, id=list(range(1000)), body=pa.array(texts).cast(kind)
    )
    assert list(read_corpus(path, column="body")) == [text.strip() for text in texts if text]


def test_parquet_rows_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    assert "'text' is missing (null): row 3" in message(
        parquet(tmp_path / "null.parquet", text=["a", "b", None])
    )
    assert "'text' is not text (int): rows 1, 2" in message(parquet(tmp_path / "int.parquet", text=[1, 2]))
    assert "'text' is not text (bytes): row 1" in message(parquet(tmp_path / "bytes.parquet", text=[b"a"]))
    assert "'text' is not text (dict): row 1" in message(
        parquet(tmp_path / "struct.parquet", text=[{"a": "b"}])
    )
    offsets = pa.py_buffer(b"".join(number.to_bytes(4, "little") for number in (0, 4, 8)))
    invalid = pa.StringArray.from_buffers(2, offsets, pa.py_buffer(b"finecaf\xe9"))
    assert "'text' is not valid UTF-8: row 2" in message(parquet(tmp_path / "latin.parquet", text=invalid))


# Memory


def peak(path: Path) -> int:
    """Bytes of Python objects, at most, while the corpus is read."""
    tracemalloc.start()
    try:
        for _ in read_corpus(path):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["corpus.txt", "corpus.txt.gz", "corpus.txt.zst"])
@pytest.mark.parametrize("unit", ["words and words ", "nospaceatall", "   \t  "])
def test_memory_does_not_depend_on_the_length_of_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, unit: str
) -> None:
    monkeypatch.setattr(corpus, "MAX_TEXT_CHARACTERS", 5000)
    monkeypatch.setattr(corpus, "_FRAGMENT", 1 << 14)
    line = unit * (200_000 // len(unit))
    once = write(tmp_path / f"1{name}", line, "\ntext")
    ten_times = write(tmp_path / f"10{name}", *[line] * 10, "\ntext")
    peak(once)  # fills caches
    assert peak(ten_times) - peak(once) < len(line) / 4


def test_parquet_is_not_kept_in_memory(tmp_path: Path) -> None:
    draw = random.Random(0)
    texts = ["".join(draw.choices("abcdefgh ", k=2000)) for _ in range(500)]
    path = parquet(tmp_path / "corpus.parquet", rows_of_group=500, text=texts * 10)
    before = pa.total_allocated_bytes()
    most = max(pa.total_allocated_bytes() - before for _ in read_corpus(path))
    assert 0 < most < 5 * 500 * 2000


def test_real_corpus_is_read_whole(shared_data: Path) -> None:
    path = shared_data / "corpus.txt.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        lines = [line for line in file if line.strip()]
    texts = list(read_corpus(path))
    assert len(texts) == len(lines)
    for text, line in zip(texts, lines, strict=True):
        assert text == " ".join(text.split())
        assert list(filter(str.isalnum, text)) == list(filter(str.isalnum, line))
