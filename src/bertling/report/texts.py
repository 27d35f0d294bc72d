"""Texts from data: the page shows the beginning of a long one, and says how much is left out."""

from __future__ import annotations

from bertling.report import numbers

TEXT_LIMIT = 600
"""characters shown of a text from data"""


def cut(text: str) -> str:
    """The text itself, or its first ``TEXT_LIMIT`` characters and what is left out."""
    if len(text) <= TEXT_LIMIT:
        return text
    return text[:TEXT_LIMIT] + left_out(len(text) - TEXT_LIMIT)


def left_out(characters: int, replaced_words: int = 0) -> str:
    """What stands after a text that was cut: how much is missing, and how many replaced words are in that."""
    amount = f"{numbers.count(characters, 'character')} more"
    if replaced_words:
        amount += f", with {numbers.count(replaced_words, 'replaced word')}"
    return f"… ({amount})"
