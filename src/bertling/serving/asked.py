"""What a request asks: its body as texts, within limits, or a refusal that says what to send instead."""

from __future__ import annotations

import json
from typing import Any

from starlette.exceptions import HTTPException

from bertling.data.problems import did_you_mean
from bertling.inference.manifest import Manifest
from bertling.inference.texts import Text, problem_of
from bertling.serving.limits import Limits

_KEY = "texts"


def read_asked(body: bytes, manifest: Manifest, limits: Limits) -> list[Text]:
    """The texts of a request.

    Args:
        body: json, ``{"texts": [...]}``, in UTF-8.
        manifest: of the model, which says whether a text is a string, a pair or a list of words.
        limits: for their number and lengths.

    Raises:
        HTTPException: 400 where this is no json, 413 beyond a limit, 422 where the json is something else.
    """
    expected = f"expected {example(manifest)}"
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is no json ({error}): {expected}") from error
    if not isinstance(value, dict):
        raise HTTPException(422, f"the body is a json {type(value).__name__}: {expected}")
    for key in value:
        if key != _KEY:
            near = did_you_mean(key, [_KEY])
            raise HTTPException(422, f"the key {ascii(key)[:60]} is not known.{near} One was {expected}")
    texts = value.get(_KEY)
    if not isinstance(texts, list):
        got = f"{_KEY} is a json {type(texts).__name__}" if _KEY in value else f"there is no key {_KEY!r}"
        raise HTTPException(422, f"{got}: {expected}")
    if len(texts) > limits.texts:
        raise HTTPException(
            413, f"got {len(texts)} texts, and a request may hold {limits.texts}: send several requests"
        )
    for index, text in enumerate(texts):
        if problem := problem_of(text, manifest):
            raise HTTPException(422, f"{_KEY}[{index}] {problem}: {expected}, without empty texts")
        if (characters := _characters(text)) > limits.characters:
            raise HTTPException(
                413,
                f"{_KEY}[{index}] has {characters} characters, and {limits.characters} are allowed: shorten "
                f"it; the model reads {manifest.max_length_tokens} tokens of it",
            )
    return texts


def example(manifest: Manifest) -> str:
    """A body that the model can be asked with."""
    text: Any = "a text"
    if manifest.kind == "words":
        text = ["each", "word"]
    elif manifest.pairs:
        text = ["a text", "its second text"]
    return json.dumps({_KEY: [text]})


def _characters(text: Text) -> int:
    return len(text) if isinstance(text, str) else sum(map(len, text))
