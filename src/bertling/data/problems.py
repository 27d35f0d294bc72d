"""Collects what is wrong with the rows of a file, so that one error shows all of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Literal

from bertling.errors import DataError

_SHOWN_PLACES = 5
_SHOWN_PROBLEMS = 5
_SHOWN_NAMES = 20

Unit = Literal["line", "row", "question"]


class RowProblems:
    """Problems of one file's rows, grouped by what is wrong.

    Args:
        source: the file or data set, as the user knows it.
        unit: what the places count, from 1: lines of a text file, rows of a table, or questions.
    """

    def __init__(self, source: str, unit: Unit) -> None:
        self._source = source
        self._unit = unit
        self._places: dict[str, list[int]] = {}

    def add(self, problem: str, place: int) -> None:
        """Note that ``problem`` was found at line, row or question ``place``."""
        self._places.setdefault(problem, []).append(place)

    def raise_if_any(self, advice: str) -> None:
        """Raise a DataError with each problem, the first places that have it and their count."""
        if not self._places:
            return
        total = len({place for places in self._places.values() for place in places})
        lines = [f"{self._source}: {_count(total, self._unit)} cannot be used"]
        lines += [
            f"  - {problem}: {self._listed(places)}"
            for problem, places in list(self._places.items())[:_SHOWN_PROBLEMS]
        ]
        if len(self._places) > _SHOWN_PROBLEMS:
            lines.append(f"  - and {len(self._places) - _SHOWN_PROBLEMS} more kinds of problem")
        raise DataError("\n".join([*lines, advice]))

    def _listed(self, places: list[int]) -> str:
        shown = ", ".join(map(str, places[:_SHOWN_PLACES]))
        if len(places) == 1:
            return f"{self._unit} {shown}"
        if len(places) <= _SHOWN_PLACES:
            return f"{self._unit}s {shown}"
        return f"{self._unit}s {shown} and {len(places) - _SHOWN_PLACES} more ({len(places)} in all)"


def listed_names(names: Sequence[str]) -> str:
    """The names of columns for a message, the first of many, each cut to a readable length."""
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return (", ".join(repr(name[:60]) for name in names[:_SHOWN_NAMES]) or "(none)") + more


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the candidate nearest to ``name``, or nothing where none is near."""
    by_folded = {candidate.casefold(): candidate for candidate in candidates}
    near = get_close_matches(name.casefold(), by_folded, n=1)
    return f" Did you mean {by_folded[near[0]]!r}?" if near else ""


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def text_problem(text: str) -> str | None:
    """What is wrong with a text of an example, in words that follow its name; None where nothing is."""
    if not text.strip():
        return "is empty"
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            # json can escape half of a surrogate pair; neither parquet nor a tokeniser takes that.
            return "holds a lone surrogate, which is no character"
    return None
