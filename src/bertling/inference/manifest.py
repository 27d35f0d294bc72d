"""``predictor.json``: what an exported folder says of the model in it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args

from bertling.data.problems import text_problem
from bertling.errors import ModelError

MANIFEST, GRAPH, TOKENIZER = "predictor.json", "model.onnx", "tokenizer.json"
"""the files of an exported folder"""
FORMAT = 1
"""of the manifest; another number is refused"""

Kind = Literal["classification", "regression", "multi_label", "words"]
"""one class a text, a number, any number of labels, or a class for each word"""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What is needed to feed the graph and to read its answers.

    Attributes:
        task: its name.
        kind: of the answers.
        pairs: whether it reads two texts at a time.
        labels: names of the graph's outputs in their order; empty for a regression.
        text: column of the (first) text, or of the words, in files of the task.
        text_pair: column of the second text, or None.
        max_length_tokens: longer texts are cut, special tokens included; pairs at the longer of the two.
        truncation_side: where they are cut, ``right`` or ``left``.
        pad_token_id: what fills a batch's shorter rows.
        inputs: names of the graph's inputs.
        precision: of its weights, ``float32`` or ``int8``.
        model_type: the architecture.
        versions: package -> version that made the export.
        format: of this file.
    """

    task: str
    kind: Kind
    pairs: bool
    labels: list[str]
    text: str
    text_pair: str | None
    max_length_tokens: int
    truncation_side: str
    pad_token_id: int
    inputs: list[str]
    precision: str
    model_type: str
    versions: dict[str, str]
    format: int = FORMAT

    def to_json(self) -> str:
        """The file's text."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read a folder's manifest.

        Raises:
            ModelError: no such folder, no export in it, or a manifest that is damaged or of another format.
        """
        file = folder / MANIFEST
        if not file.is_file():
            raise ModelError(f"{folder} {_what_is_there(folder)}")
        try:
            values = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ModelError(f"{file} cannot be read ({error}): export the model again") from error
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            found = values.get("format") if isinstance(values, dict) else None
            raise ModelError(
                f"{file} is of format {found!r}, and this version of bertling reads {FORMAT}: export the "
                "model again with this version, or use the version that made it"
            )
        names = {field.name for field in fields(cls)}
        if problem := _problem(values, names):
            raise ModelError(f"{file} {problem}: export the model again")
        return cls(**{name: values[name] for name in names})


def _what_is_there(folder: Path) -> str:
    if not folder.is_dir():
        return f"does not exist (looked in {Path.cwd()}). Give the folder that bertling export wrote"
    if inside := sorted(found.parent.name for found in folder.glob(f"*/{MANIFEST}")):
        return f"holds the exports {', '.join(inside)}: name one of them, such as {folder / inside[-1]}"
    if (folder / "export").is_dir():
        return f"is a run folder: name an export in it, such as {folder / 'export' / 'int8'}"
    return f"is no exported model: it has no {MANIFEST}. Make one with: bertling export"


_MOST = 2**31
_TYPES: dict[str, Any] = {
    "task": str,
    "kind": str,
    "pairs": bool,
    "labels": list,
    "text": str,
    "text_pair": str | None,
    "max_length_tokens": int,
    "truncation_side": str,
    "pad_token_id": int,
    "inputs": list,
    "precision": str,
    "model_type": str,
    "versions": dict,
    "format": int,
}


def _problem(values: dict[str, Any], names: set[str]) -> str | None:
    if missing := sorted(names - values.keys()):
        return f"has no {', '.join(missing)}"
    for name in sorted(names):
        value = values[name]
        if not isinstance(value, _TYPES[name]):
            shown = f"a {type(value).__name__}" if isinstance(value, list | dict) else repr(value)[:60]
            return f"has {shown} as {name}"
    if values["kind"] not in get_args(Kind):
        return f"has the kind {values['kind']!r}, expected one of {', '.join(get_args(Kind))}"
    for name in ("labels", "inputs"):
        if not all(isinstance(value, str) for value in values[name]):
            return f"has {name} that are no strings"
    if any(text_problem(value) for value in (*values["labels"], values["task"])):
        return "has an empty label, or one with half a character in it"
    if values["truncation_side"] not in ("left", "right"):
        return f"has {values['truncation_side']!r} as truncation_side, expected left or right"
    for name in ("max_length_tokens", "pad_token_id"):
        if not 0 <= values[name] < _MOST:
            return f"has {values[name]!r} as {name}, expected a number from 0 to {_MOST - 1}"
    if bool(values["labels"]) is (values["kind"] == "regression"):
        return f"has {len(values['labels'])} labels for the kind {values['kind']}"
    return None
