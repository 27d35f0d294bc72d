from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from tests.augmentation.stub_finder import StubFinder, StubSettings, asked

from bertling.augmentation.augmented import load_augmented, read_sizes, sample_augmented, shard_path
from bertling.augmentation.candidates import Replaceable
from bertling.augmentation.job import ShardMaker, augment, finish, missing_shards, prepare
from bertling.data.examples import Examples
from bertling.errors import DataError, RunFolderError, ShapeError

SINGLE = Examples(
    [f'row {number}: "some" text\tto vary' for number in range(10)], None, [0, 1] * 5, ["no", "yes"]
)
PAIRS = Examples(
    [f"first text {number}" for number in range(7)],
    [f"second side {number}" for number in range(7)],
    [number / 2 for number in range(7)],
    None,
)
UNLABELLED = Examples(["a text", "1 2 3", "other words"], None, None, None)


class Killed(BaseException):
    """Stands for a kill inside this process."""


def no_finder() -> StubFinder:
    raise AssertionError("a finder is built though nothing is left to do")


def finished(folder: Path, examples: Examples = SINGLE) -> Path:
    augment(examples, StubSettings().build, folder, seed=3, shard_rows=4)
    return folder


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("shard-*"))}


def states(folder: Path) -> dict[str, tuple[int, int]]:
    """What tells a file from another one with the same bytes."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("shard-*")}


@pytest.mark.parametrize("examples", [SINGLE, PAIRS, UNLABELLED])
def test_every_example_comes_with_variants_that_have_its_label(tmp_path: Path, examples: Examples) -> None:
    loaded = load_augmented(finished(tmp_path, examples))
    assert loaded.label_names == examples.label_names
    assert (loaded.text_pairs is None, loaded.labels is None) == (
        examples.text_pairs is None,
        examples.labels is None,
    )
    originals = [loaded.texts.index(text) for text in examples.texts]
    assert originals == sorted(originals)
    assert len(loaded) > 2 * len(examples)
    bounds = [*originals, len(loaded)]
    for row, (start, end) in enumerate(pairwise(bounds)):
        if loaded.labels is not None and examples.labels is not None:
            assert loaded.labels[start:end] == [examples.labels[row]] * (end - start)
        if loaded.text_pairs is not None and examples.text_pairs is not None:
            assert loaded.text_pairs[start] == examples.text_pairs[row]
            # the stub leaves the number of each pair alone
            assert all(text.endswith(f" {row}") for text in loaded.texts[start:end])
            assert all(text.endswith(f" {row}") for text in loaded.text_pairs[start:end])


def test_labels_keep_their_type(tmp_path: Path) -> None:
    assert {type(label) for label in load_augmented(finished(tmp_path / "a")).labels or []} == {int}
    assert {type(label) for label in load_augmented(finished(tmp_path / "b", PAIRS)).labels or []} == {float}


def test_several_labels_stay_with_their_text(tmp_path: Path) -> None:
    several = Examples(SINGLE.texts, None, [[0], [1, 2], [], [0, 2], [1]] * 2, ["a", "b", "c"])
    grown = load_augmented(finished(tmp_path, several))
    assert grown.multi_label
    assert grown.labels is not None
    rows = [grown.labels[grown.texts.index(text)] for text in several.texts]
    assert rows == several.labels


def test_labelled_words_are_refused(tmp_path: Path) -> None:
    words = Examples(["w1 w2"], None, [[0, 1]], ["a", "b"], [["w1", "w2"]])
    with pytest.raises(DataError, match="words have labels"):
        finished(tmp_path, words)


def test_a_shard_is_a_file_of_examples(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    loaded = [Examples.load(shard_path(folder, number)) for number in range(3)]
    assert [text for part in loaded for text in part.texts] == load_augmented(folder).texts
    assert {tuple(part.label_names or ()) for part in loaded} == {("no", "yes")}


def test_sizes_count_the_rows_without_variants(tmp_path: Path) -> None:
    sizes = augment(UNLABELLED, StubSettings().build, tmp_path, seed=0, shard_rows=2)
    assert sizes == read_sizes(tmp_path)
    assert (sizes.source_rows, sizes.unvaried_rows) == (3, 1)
    assert sizes.rows == len(load_augmented(tmp_path)) > 6
    assert sizes.unvaried_fraction == pytest.approx(1 / 3)


def test_the_finder_gets_a_shard_at_a_time_both_sides_together(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    augment(PAIRS, StubSettings(notes).build, tmp_path / "out", seed=0, shard_rows=3)
    assert PAIRS.text_pairs is not None
    expected = [
        PAIRS.texts[start : start + 3] + PAIRS.text_pairs[start : start + 3] for start in range(0, 7, 3)
    ]
    assert asked(notes) == expected


def test_seed_and_settings_decide_every_byte(tmp_path: Path) -> None:
    expected = shards(finished(tmp_path / "one"))
    assert shards(finished(tmp_path / "two")) == expected
    augment(SINGLE, StubSettings().build, tmp_path / "other", seed=4, shard_rows=4)
    assert shards(tmp_path / "other") != expected


def test_shards_may_be_made_in_any_order_by_anyone(tmp_path: Path) -> None:
    expected = shards(finished(tmp_path / "one"))
    folder = tmp_path / "two"
    prepare(SINGLE, folder, seed=3, shard_rows=4)
    first, second = (ShardMaker(folder, StubSettings().build) for _ in range(2))
    second.make(2)
    first.make(1)
    before = states(folder)
    second.make(1)
    assert states(folder) == before
    first.make(0)
    assert missing_shards(folder) == []
    finish(folder)
    assert shards(folder) == expected


def test_the_size_of_shards_does_not_change_the_rows(tmp_path: Path) -> None:
    augment(SINGLE, StubSettings().build, tmp_path / "whole", seed=3)
    assert load_augmented(tmp_path / "whole") == load_augmented(finished(tmp_path / "parts"))


@pytest.mark.parametrize("dies_at", [0, 1, 2])
def test_a_killed_run_makes_only_the_missing_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    folder, notes = tmp_path / "killed", tmp_path / "notes"
    notes.mkdir()
    find = StubFinder.find

    def die(self: StubFinder, texts: Sequence[str]) -> list[list[Replaceable]]:
        if SINGLE.texts[4 * dies_at] in texts:
            raise Killed
        return find(self, texts)

    with monkeypatch.context() as patched:
        patched.setattr(StubFinder, "find", die)
        with pytest.raises(Killed):
            augment(SINGLE, StubSettings().build, folder, seed=3, shard_rows=4)
    before = states(folder)
    assert len(before) == dies_at
    with pytest.raises(DataError, match="no finished augmentation"):
        load_augmented(folder)
    augment(SINGLE, StubSettings(notes).build, folder, seed=3, shard_rows=4)
    assert len(asked(notes)) == 3 - dies_at
    assert {name: states(folder)[name] for name in before} == before
    assert shards(folder) == shards(finished(tmp_path / "undisturbed"))


def test_a_full_disk_leaves_neither_a_shard_nor_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(SINGLE, tmp_path, seed=3, shard_rows=4)

    def fill_the_disk(table: object, where: Path) -> None:
        where.write_bytes(b"half a fi")
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(pq, "write_table", fill_the_disk)
        with pytest.raises(OSError, match="No space"):
            finished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["plan.json", "source.parquet"]
    assert len(load_augmented(finished(tmp_path))) > 20


def test_what_a_kill_left_half_written_is_removed_in_the_end(tmp_path: Path) -> None:
    prepare(SINGLE, tmp_path, seed=3, shard_rows=4)
    (tmp_path / ".shard-00001.parquet.0123abcd.partial").write_bytes(b"PAR1")
    assert missing_shards(tmp_path) == [0, 1, 2]
    finished(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "index.json",
        "plan.json",
        "shard-00000.parquet",
        "shard-00001.parquet",
        "shard-00002.parquet",
        "source.parquet",
    ]


def test_a_finished_run_builds_no_finder_and_writes_no_shard(tmp_path: Path) -> None:
    before = states(finished(tmp_path))
    sizes = augment(SINGLE, no_finder, tmp_path, seed=3, shard_rows=4)
    assert states(tmp_path) == before
    assert sizes == read_sizes(tmp_path)


def test_progress_counts_source_rows_and_begins_with_those_that_are_done(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []

    def run(finder: Callable[[], StubFinder]) -> None:
        augment(SINGLE, finder, tmp_path, seed=3, shard_rows=4, progress=lambda *count: seen.append(count))

    run(StubSettings().build)
    assert seen == [(0, 10), (4, 10), (8, 10), (10, 10)]
    seen.clear()
    shard_path(tmp_path, 1).unlink()
    run(StubSettings().build)
    assert seen == [(6, 10), (10, 10)]
    seen.clear()
    run(no_finder)
    assert seen == [(10, 10)]


def test_a_folder_of_another_augmentation_is_refused(tmp_path: Path) -> None:
    finished(tmp_path)
    with pytest.raises(RunFolderError, match="seed 3, now 4; shard_rows 4, now 256"):
        augment(SINGLE, no_finder, tmp_path, seed=4)
    others = Examples([*SINGLE.texts[:-1], "another"], None, SINGLE.labels, SINGLE.label_names)
    with pytest.raises(RunFolderError, match="the examples are others"):
        augment(others, no_finder, tmp_path, seed=3, shard_rows=4)


def test_settings_out_of_range_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    for wrong in ({"variants": -1}, {"probability": 1.2}, {"shard_rows": 0}, {"seed": -1}):
        settings = {"seed": 0, **wrong}
        with pytest.raises(ShapeError, match="expected variants and seed from 0"):
            prepare(SINGLE, tmp_path / "out", **settings)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no examples to augment"):
        prepare(Examples([], None, None, None), tmp_path / "out", seed=0)
    assert not (tmp_path / "out").exists()


def test_no_variants_give_the_originals(tmp_path: Path) -> None:
    sizes = augment(PAIRS, StubSettings().build, tmp_path, seed=0, variants=0)
    assert load_augmented(tmp_path) == PAIRS
    assert sizes.unvaried_fraction == 1


def test_an_unfinished_or_damaged_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no augmentation"):
        ShardMaker(tmp_path, no_finder)
    prepare(SINGLE, tmp_path, seed=3, shard_rows=4)
    with pytest.raises(DataError, match="misses 3 of 3 shards: run the augmentation again"):
        finish(tmp_path)
    for read in (load_augmented, read_sizes):
        with pytest.raises(DataError, match="no finished augmentation"):
            read(tmp_path)
    finished(tmp_path)
    shard_path(tmp_path, 1).write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match=r"shard-00001\.parquet cannot be read"):
        load_augmented(tmp_path)
    with pytest.raises(DataError, match=r"shard-00001\.parquet cannot be read"):
        finished(tmp_path)
    shard_path(tmp_path, 1).unlink()
    finished(tmp_path)
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(DataError, match=r"index\.json cannot be read"):
        load_augmented(tmp_path)


@pytest.mark.parametrize("examples", [SINGLE, PAIRS, UNLABELLED])
def test_a_sample_shows_variants_and_what_was_replaced(tmp_path: Path, examples: Examples) -> None:
    folder = finished(tmp_path, examples)
    loaded = load_augmented(folder)
    pairs = loaded.text_pairs or [""] * len(loaded)
    everything = set(zip(loaded.texts, pairs, strict=True))
    sample = sample_augmented(folder, 8, seed=1)
    assert len(sample) == 8
    assert len({(row.source_row, row.variant) for row in sample}) == 8
    assert [(row.source_row, row.variant) for row in sample] == sorted(
        (row.source_row, row.variant) for row in sample
    )
    for row in sample:
        assert (row.text, row.text_pair or "") in everything
        assert row.variant > 0
        assert row.label == (None if examples.labels is None else examples.labels[row.source_row])
        restored = [row.text, row.text_pair or ""]
        assert row.replaced
        for side, start, end, word, replacement in reversed(row.replaced):
            assert restored[side][start:end] == replacement
            # the stub's candidates are the word and a letter
            assert replacement[:-1] == word
            restored[side] = restored[side][:start] + word + restored[side][end:]
        assert restored[0] == examples.texts[row.source_row]
        assert examples.text_pairs is None or restored[1] == examples.text_pairs[row.source_row]


def test_a_sample_depends_on_the_seed_and_has_no_more_than_there_is(tmp_path: Path) -> None:
    folder = finished(tmp_path, UNLABELLED)
    sizes = read_sizes(folder)
    assert sample_augmented(folder, 3, seed=1) == sample_augmented(folder, 3, seed=1)
    assert sample_augmented(folder, 3, seed=1) != sample_augmented(folder, 3, seed=2)
    everything = sample_augmented(folder, 10_000, seed=1)
    assert len(everything) == sizes.rows - sizes.source_rows


def test_a_sample_reads_only_the_shards_that_it_needs(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    (row,) = sample_augmented(folder, 1, seed=1)
    for number in range(3):
        if number != row.source_row // 4:
            shard_path(folder, number).unlink()
    assert sample_augmented(folder, 1, seed=1) == [row]


def test_the_index_is_plain_json(tmp_path: Path) -> None:
    index = json.loads((finished(tmp_path) / "index.json").read_text())
    assert [shard["source_rows"] for shard in index["shards"]] == [4, 4, 2]
