from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bertling.data.examples import Examples
from bertling.errors import DataError, ShapeError

PAIRS = Examples(["one", "two", "three"], ["uno", "dos", "tres"], [0, 1, 0], ["no", "yes"])
NUMBERS = Examples(["one", "two"], None, [0.5, 5.0], None)
UNLABELLED = Examples(["one", "two"], None, None, None)


@pytest.mark.parametrize("examples", [PAIRS, NUMBERS, UNLABELLED, Examples([], None, [], ["no", "yes"])])
def test_saved_examples_load_as_they_were(tmp_path: Path, examples: Examples) -> None:
    examples.save(tmp_path / "examples.parquet")
    loaded = Examples.load(tmp_path / "examples.parquet")
    assert loaded == examples
    assert [type(label) for label in loaded.labels or []] == [type(label) for label in examples.labels or []]


def test_texts_with_every_kind_of_separator_survive_saving(tmp_path: Path) -> None:
    texts = [
        'a "quoted" one',
        "tab\there",
        "line\nbreak\r",
        "nul\0",
        "\u2028 separator",
        "日本語 🐍",
        " padded ",
    ]
    Examples(texts, None, None, None).save(tmp_path / "examples.parquet")
    assert Examples.load(tmp_path / "examples.parquet").texts == texts


def test_a_failed_save_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "examples.parquet"
    PAIRS.save(path)
    with pytest.raises(UnicodeEncodeError):
        Examples(["half \ud800 a pair"], None, None, None).save(path)
    assert Examples.load(path) == PAIRS
    assert [entry.name for entry in tmp_path.iterdir()] == ["examples.parquet"]


def test_a_failed_write_removes_the_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "examples.parquet"
    PAIRS.save(path)

    def fill_the_disk(table: pa.Table, where: Path) -> None:
        where.write_bytes(b"half a fi")
        raise OSError("No space left on device")

    monkeypatch.setattr(pq, "write_table", fill_the_disk)
    with pytest.raises(OSError, match="No space"):
        NUMBERS.save(path)
    assert Examples.load(path) == PAIRS
    assert [entry.name for entry in tmp_path.iterdir()] == ["examples.parquet"]


def test_loading_refuses_what_save_did_not_write(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["one"]}), tmp_path / "foreign.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match=r"not written by Examples\.save"):
        Examples.load(tmp_path / "foreign.parquet")
    with pytest.raises(DataError, match=r"broken\.parquet cannot be read"):
        Examples.load(tmp_path / "broken.parquet")
    with pytest.raises(DataError, match=r"missing\.parquet cannot be read"):
        Examples.load(tmp_path / "missing.parquet")


def test_only_labels_without_names_are_regression() -> None:
    assert NUMBERS.regression
    assert not PAIRS.regression
    assert not UNLABELLED.regression


def test_drawing_keeps_order_and_keeps_examples_together() -> None:
    size = 100
    numbered = Examples([f"t{i}" for i in range(size)], [f"p{i}" for i in range(size)], [*range(size)], None)
    drawn = numbered.draw(30, seed=1)
    indices = [int(text[1:]) for text in drawn.texts]
    assert indices == sorted(set(indices))
    assert len(drawn) == 30
    assert drawn.text_pairs == [f"p{i}" for i in indices]
    assert drawn.labels == indices


def test_drawing_depends_on_the_seed_alone() -> None:
    numbered = Examples([str(i) for i in range(100)], None, None, None)
    assert numbered.draw(10, seed=1) == numbered.draw(10, seed=1)
    assert numbered.draw(10, seed=1) != numbered.draw(10, seed=2)


@pytest.mark.parametrize("count", [3, 4])
def test_drawing_as_many_as_there_are_takes_all(count: int) -> None:
    assert PAIRS.draw(count, seed=0) == PAIRS


def test_lists_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ShapeError, match="2 texts but 1 text_pairs"):
        Examples(["one", "two"], ["uno"], None, None)
    with pytest.raises(ShapeError, match="2 texts but 3 labels"):
        Examples(["one", "two"], None, [0, 1, 0], ["no", "yes"])
    with pytest.raises(ShapeError, match="class id 2 has no name: expected 0 to 1"):
        Examples(["one"], None, [2], ["no", "yes"])
    with pytest.raises(ShapeError, match="label_names without labels"):
        Examples(["one"], None, None, ["no", "yes"])
