"""Overrides such as ``student.width=192``, put into a recipe's tables before they are validated."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from bertling.recipe.methods import METHODS
from bertling.recipe.problems import field_at, unknown_key
from bertling.recipe.schema import Recipe

_KEYS = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_BEGINS_A_TOML_VALUE = ("[", "{", '"', "'")


def apply_overrides(tables: dict[str, Any], overrides: Sequence[str]) -> list[str]:
    """Change ``tables`` in place, the last override of a key wins; returns the problems found.

    An override is ``key=value``, ``section.key=value`` or deeper. The value is read as TOML and is a string
    where it isn't TOML; ``none`` takes the key or the whole section out, unless it is one of the key's
    values, as of ``method``. Sections that do not exist are made. Whether the keys and values fit the schema
    is left to validation, but for keys that are taken out.
    """
    problems = []
    # The method first: what other keys change may be its terms.
    for override in sorted(overrides, key=lambda text: text.partition("=")[0].strip() != "method"):
        keys, equals, text = (part.strip() for part in override.partition("="))
        if not equals or not _KEYS.fullmatch(keys):
            problems.append(
                f"override {quoted(override)}: expected section.key=value, as in student.width=192"
            )
            continue
        path = tuple(keys.split("."))
        if text == "none" and not _is_a_choice(text, path):
            problems += _take_out(tables, path)
            continue
        try:
            value = _read_value(text)
        except ValueError as error:
            problems.append(f"override {quoted(override)}: {error}")
            continue
        _table_at(tables, path[:-1])[path[-1]] = value
    return problems


def quoted(override: str) -> str:
    """An override as messages show it, cut to a readable length."""
    return repr(override) if len(override) <= 200 else f"{override[:197] + '...'!r}"


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
    except RecursionError as error:
        raise ValueError("too many lists or tables in one another") from error
    return parsed["value"] if len(parsed) == 1 else text


def _is_a_choice(text: str, path: tuple[str, ...]) -> bool:
    field = field_at(path)
    annotations = (field.annotation, *get_args(field.annotation)) if field else ()
    return any(text in get_args(annotation) for annotation in annotations)


def _take_out(tables: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    for depth in range(1, min(len(path), 2) + 1):
        if field_at(path[:depth]) is None:
            return [unknown_key(path[:depth], "none")]
    parent = _table_at(tables, path[:-1]) if path[0] in tables or len(path) == 1 else {}
    parent.pop(path[-1], None)
    return []


def _table_at(tables: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The table at ``path``, made where there is none, out of its default.

    The default matters to ``intermediate.terms.hidden=0.5``: it changes one weight and keeps the others,
    those of the method.
    """
    table = tables
    for depth, key in enumerate(path, start=1):
        child = table.get(key)
        if not isinstance(child, dict):
            terms = path[1:depth] == ("terms",)
            child = table[key] = _terms_of_the_method(tables, path[0]) if terms else {}
        table = child
    return table


def _terms_of_the_method(tables: Mapping[str, Any], stage: str) -> dict[str, float]:
    chosen = tables.get("method", Recipe.model_fields["method"].default)
    for name, method in METHODS.items():
        if name == chosen and (lesson := method.lessons.get(stage)):
            return {str(term): weight for term, weight in lesson.terms.items()}
    return {}
