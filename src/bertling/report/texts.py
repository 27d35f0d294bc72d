"""Texts from data: the page shows the beginning of a long one, and says how much is left out."""

from __future__ import annotations

from bertling.report import numbers

TEXT_LIMIT = 600
"""characters shown of a text from data"""


def cut(text: str, limit: int = TEXT_LIMIT) -> str:
    """The text itself, or its first ``limit`` characters and what is left out."""
    if len(text) <= limit:
        return text
    return text[:limit] + left_out(len(text) - limit)


def left_out(characters: int, replaced_words: int = 0) -> str:
    """What stands after a text that was cut: how much is missing, and how many replaced words are in that."""
    amount = f"{numbers.count(characters, 'character')} more"
    if replaced_words:
        amount += f", with {numbers.count(replaced_words, 'replaced word')}"
    return f"… ({amount})"
