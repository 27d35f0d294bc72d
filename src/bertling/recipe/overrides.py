"""Overrides such as ``student.width=192``, put into a recipe's tables before they are validated."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from typing import Any

from bertling.recipe.problems import SECTIONS, field_at, unknown_key

_KEYS = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_BEGINS_A_TOML_VALUE = ("[", "{", '"', "'")


def apply_overrides(tables: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Change ``tables`` in place, the last override of a key wins; returns the problems found.

    An override is ``key=value``, ``section.key=value`` or deeper. The value is read as TOML and is a string
    where it isn't TOML; ``none`` takes the key or the whole section out. Sections that do not exist are made.
    Whether the keys and values fit the schema is left to validation, but for keys that are taken out.
    """
    problems = []
    for override in overrides:
        keys, equals, text = (part.strip() for part in override.partition("="))
        if not equals or not _KEYS.fullmatch(keys):
            problems.append(f"override {override!r}: expected section.key=value, as in student.width=192")
            continue
        path = tuple(keys.split("."))
        if text == "none":
            problems += _take_out(tables, path)
            continue
        try:
            value = _read_value(text)
        except ValueError as error:
            problems.append(f"override {override!r}: {error}")
            continue
        _table_at(tables, path[:-1])[path[-1]] = value
    return problems


def _read_value(text: str) -> Any:
    """Raises ValueError where the text is empty, or begins like a TOML value and is none."""
    if not text:
        raise ValueError('expected a value behind "="; none takes the key out, "" is the empty string')
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError as error:
        if text.startswith(_BEGINS_A_TOML_VALUE):
            raise ValueError(f"{text} is not TOML; strings in lists and tables stand in quotes") from error
        return text
    return parsed["value"] if len(parsed) == 1 else text


def _take_out(tables: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    for depth in range(1, min(len(path), 2) + 1):
        if field_at(path[:depth]) is None:
            return [unknown_key(path[:depth], "none")]
    parent = _table_at(tables, path[:-1]) if path[0] in tables or len(path) == 1 else {}
    parent.pop(path[-1], None)
    return []


def _table_at(tables: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The table at ``path``, made where there is none, out of the schema's default for it.

    The default matters to ``intermediate.terms.hidden=0.5``: it changes one weight and keeps the others.
    """
    table = tables
    for depth, key in enumerate(path, start=1):
        child = table.get(key)
        if not isinstance(child, dict):
            field = field_at(path[:depth])
            default = field.get_default(call_default_factory=False) if field and path[0] in SECTIONS else None
            child = table[key] = dict(default) if isinstance(default, dict) else {}
        table = child
    return table
