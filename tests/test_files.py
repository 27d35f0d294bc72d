from __future__ import annotations

from pathlib import Path

import pytest

from bertling.files import whole_file, write_whole


class Killed(BaseException):
    """Not an Exception, like what a signal raises."""


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(path: Path, target: Path) -> None:
        raise Killed

    path = tmp_path / "file.json"
    write_whole(path, "before")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", die)
        with pytest.raises(Killed):
            write_whole(path, "after")
    assert path.read_text() == "before"
    write_whole(path, "after")
    assert path.read_text() == "after"
    # and what the kill left is gone
    assert [found.name for found in tmp_path.iterdir()] == ["file.json"]


def test_a_file_that_is_filled_takes_its_name_when_it_is_done(tmp_path: Path) -> None:
    path = tmp_path / "table.bin"
    with whole_file(path) as partial:
        partial.write_bytes(b"some")
        assert not path.exists()
        with whole_file(path) as other:  # another process, which writes the same
            other.write_bytes(b"some")
            assert other != partial
    assert path.read_bytes() == b"some"
    assert [found.name for found in tmp_path.iterdir()] == ["table.bin"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "table.bin"
    path.write_bytes(b"before")

    def write_half() -> None:
        with whole_file(path) as partial:
            partial.write_bytes(b"half")
            raise Killed

    with pytest.raises(Killed):
        write_half()
    assert path.read_bytes() == b"before"
    assert [found.name for found in tmp_path.iterdir()] == ["table.bin"]
