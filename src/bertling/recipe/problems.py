"""What is wrong with a recipe, in the words of its TOML: one line a problem, pydantic out of sight."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from bertling.recipe.schema import Recipe

KeyPath = tuple[str | int, ...]


def _section_model(field: FieldInfo) -> type[BaseModel] | None:
    for candidate in (field.annotation, *get_args(field.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


SECTIONS: dict[str, type[BaseModel]] = {
    name: model for name, field in Recipe.model_fields.items() if (model := _section_model(field))
}

_EXPECTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "a string (in quotes)",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a section",
}


def field_at(path: KeyPath) -> FieldInfo | None:
    """The schema's field for ``("seed",)`` or ``("student", "width")``; None where there is none."""
    match path:
        case (str(key),):
            return Recipe.model_fields.get(key)
        case (str(section), str(key), *_) if section in SECTIONS:
            return SECTIONS[section].model_fields.get(key)
    return None


def locate(path: KeyPath) -> str:
    """A key as it is found in the file: ``seed``, ``[student]`` or ``[student] source_layers[1]``."""
    section, rest = (f"[{path[0]}]", path[1:]) if path and path[0] in SECTIONS else ("", path)
    keys = "".join(f"[{item}]" if isinstance(item, int) else f".{item}" for item in rest).removeprefix(".")
    return f"{section} {keys}".strip()


def unknown_key(path: KeyPath, value: object) -> str:
    """The problem of a key that the schema does not have, with the nearest that it has."""
    *parents, key = (str(item) for item in path)
    if len(parents) > 1 and (inner := _item_model(field_at(path[:2]))):
        expected = ", ".join(inner.model_fields)
        return f"{locate(path)}: unknown key (got {shown(value)}); expected one of {expected}"
    keys = SECTIONS[parents[0]].model_fields if parents and parents[0] in SECTIONS else Recipe.model_fields
    return f"{locate(path)}: unknown key (got {shown(value)}); {_advice(key, keys)}"


def _item_model(field: FieldInfo | None) -> type[BaseModel] | None:
    """The model of the tables in a list of them."""
    lists = get_args(field.annotation) if field else ()
    items = (item for listed in lists for item in get_args(listed))
    return next((item for item in items if isinstance(item, type) and issubclass(item, BaseModel)), None)


def _advice(key: str, keys: Iterable[str]) -> str:
    elsewhere = _sections_with(key)
    if not elsewhere and (near := nearest(key, keys)):
        return f"did you mean {near}?"
    all_keys = {name: None for model in SECTIONS.values() for name in model.model_fields}
    if not elsewhere and (near := nearest(key, all_keys)):
        return f"did you mean {near}, a key of {' '.join(_sections_with(near))}?"
    if elsewhere:
        return f"{key} is a key of {' '.join(elsewhere)}"
    return f"expected one of {', '.join(keys)}"


def _sections_with(key: str) -> list[str]:
    return [f"[{name}]" for name, model in SECTIONS.items() if key in model.model_fields]


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The word that ``word`` was probably meant to be."""
    return next(iter(get_close_matches(word, list(words), 1)), None)


def shown(value: object) -> str:
    """A value as it stands in the file, cut to a readable length."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def problems_of(error: ValidationError) -> list[str]:
    """Every problem that validation found, in the order of the schema."""
    problems = []
    unions: set[KeyPath] = set()
    for detail in error.errors(include_url=False):
        path, of_union = _key_path(detail["loc"])
        # pydantic reports every alternative of a union; the first holds the whole value
        if of_union and path in unions:
            continue
        if of_union:
            unions.add(path)
            problems.append(_misfit(path, detail["input"], _description(path)))
        else:
            problems.append(_problem(path, detail))
    return problems


def _key_path(location: Sequence[str | int]) -> tuple[KeyPath, bool]:
    """The keys of a pydantic location, and whether it lies in an alternative of a union.

    Below a section's key pydantic adds names of its own, such as ``literal[...]`` for the alternative of a
    union and ``[key]`` where the key itself is wrong.
    """
    path: list[str | int] = []
    for depth, item in enumerate(location):
        if depth >= 2 and isinstance(item, str) and "[" in item:
            return tuple(path), item != "[key]"
        path.append(item)
    return tuple(path), False


def _problem(path: KeyPath, detail: ErrorDetails) -> str:
    kind, value = detail["type"], detail["input"]
    if kind == "value_error":
        return f"{locate(path)} {detail['msg'].removeprefix('Value error, ')}".strip()
    if kind == "extra_forbidden":
        return unknown_key(path, value)
    if kind == "missing" and len(path) == 1 and path[0] in SECTIONS:
        return f"{locate(path)}: missing; every recipe has this section"
    if kind == "missing":
        return f"{locate(path)}: missing; expected {_description(path)}"
    if kind == "string_pattern_mismatch":
        return _misfit(path, value, _description(path))
    expected = _EXPECTED.get(kind) or detail["msg"].removeprefix("Input should be ")
    if kind.startswith(("greater_than", "less_than")):
        expected = f"a number {expected}"
    if kind == "literal_error" and (near := nearest(str(value), re.findall(r"'([^']+)'", expected))):
        expected += f"; did you mean {near}?"
    return _misfit(path, value, expected)


def _misfit(path: KeyPath, value: object, expected: str) -> str:
    return f"{locate(path)}: got {shown(value)}; expected {expected}"


def _description(path: KeyPath) -> str:
    field = field_at(path)
    return (field and field.description) or "a value"
