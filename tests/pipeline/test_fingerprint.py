"""Content hashes: what changes them and what does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bertling.pipeline.fingerprint import fingerprint, hash_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    (made / "deep").mkdir(parents=True)
    (made / "a.txt").write_text("one")
    (made / "deep" / "b.txt").write_text("two")
    return made


def grow(folder: Path) -> None:
    (folder / "a.txt").write_text("one ")


def rename(folder: Path) -> None:
    (folder / "a.txt").rename(folder / "c.txt")


def swap(folder: Path) -> None:
    (folder / "a.txt").write_text("two")
    (folder / "deep" / "b.txt").write_text("one")


def move(folder: Path) -> None:
    (folder / "deep" / "b.txt").rename(folder / "b.txt")


def add_empty(folder: Path) -> None:
    (folder / "c.txt").touch()


def delete(folder: Path) -> None:
    (folder / "deep" / "b.txt").unlink()


@pytest.mark.parametrize("change", [grow, rename, swap, move, add_empty, delete])
def test_a_folder_is_known_by_its_names_and_bytes(folder: Path, change: Callable[[Path], None]) -> None:
    before = hash_path(folder)
    change(folder)
    assert hash_path(folder) != before


def test_neither_place_nor_time_nor_hidden_files_count(folder: Path, tmp_path: Path) -> None:
    before = hash_path(folder)
    (folder / ".hidden").write_text("three")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("three")
    (folder / "a.txt").touch()
    assert hash_path(folder.rename(tmp_path / "elsewhere")) == before


def test_a_hidden_folder_above_does_not_hide_what_is_in_it(folder: Path, tmp_path: Path) -> None:
    hidden = folder.rename(tmp_path / ".cache")
    before = hash_path(hidden)
    grow(hidden)
    assert hash_path(hidden) != before


def test_a_file_is_known_by_its_bytes(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"same")
    second.write_bytes(b"same")
    assert hash_path(first) == hash_path(second)
    second.write_bytes(b"other")
    assert hash_path(first) != hash_path(second)


def test_everything_that_decides_a_result_is_in_the_fingerprint() -> None:
    base = fingerprint("stage", 1, [{"rate": 0.1}], {"data": "abc"})
    others = [
        fingerprint("other", 1, [{"rate": 0.1}], {"data": "abc"}),
        fingerprint("stage", 2, [{"rate": 0.1}], {"data": "abc"}),
        fingerprint("stage", 1, [{"rate": 0.2}], {"data": "abc"}),
        fingerprint("stage", 1, [{"rate": 0.1}, None], {"data": "abc"}),
        fingerprint("stage", 1, [{"rate": 0.1}], {"data": "abd"}),
        fingerprint("stage", 1, [{"rate": 0.1}], {"text": "abc"}),
    ]
    assert base not in others
    assert len(set(others)) == len(others)


def test_the_order_of_keys_does_not_count() -> None:
    first = fingerprint("stage", 1, {"a": 1, "b": 2}, {"x": "1", "y": "2"})
    assert first == fingerprint("stage", 1, {"b": 2, "a": 1}, {"y": "2", "x": "1"})
