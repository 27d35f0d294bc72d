"""Changes that know the format: values of json, lines, archives; all others are left to the fuzzer."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from collections.abc import Callable
from typing import Any

Mutate = Callable[[bytes, int], bytes]

_VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**12, 10**400, 0.5, -0.0, 1e308, float("nan")),
    *(float("inf"), "", " ", "0", "../../../tmp/x", "/etc/passwd", "a/b", "x\0y", "\x1b[2J", "\ud800"),
    *("<script>alert(1)</script>", "\u202e", "ﬁ", "9" * 5000, [], {}, [[]], [None], {"": ""}),
    *({"auto_map": {"AutoModel": "evil.Model"}}, ["a", 1, None], "x" * 5000),
]
_LINES = [
    b"",
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b'"',
    b"\r",
    b"\t\t\t",
    b"9" * 5000,
    b"[" * 3000,
    b"\x1c\x85",
]
_LINES += ["\u2028\u0661\u00b2".encode(), b"nan", b"1e999", b"[[a]]", b"a.b = 1", b"x = 0x" + b"f" * 5000]


def mutate(data: bytes, size: int, seed: int, plain: Mutate) -> bytes:
    """An input changed; its first byte chooses the variant and the second the kind of task.

    Args:
        data: the input.
        size: the most bytes that may come out.
        seed: of the change.
        plain: bit flips, splices and the like.
    """
    chance = random.Random(seed)
    head, body = data[:2], data[2:]
    if chance.random() < 0.05:
        head = bytes(chance.randrange(256) for _ in range(2))
    if body[:2] == b"\x1f\x8b" and chance.random() < 0.7:
        try:
            body = gzip.compress(_changed(gzip.decompress(body), size, chance, plain), 1)
        except (OSError, EOFError, zlib.error):
            body = plain(body, size - 2)
    else:
        body = _changed(body, size - 2, chance, plain)
    return (head + body)[:size]


def _changed(body: bytes, size: int, chance: random.Random, plain: Mutate) -> bytes:
    if chance.random() < 0.5:
        return plain(body, size)
    try:
        if body[:1] in b"{[":
            return _changed_json(body, chance)
    except (ValueError, RecursionError):
        pass
    return _changed_lines(body, chance)


def _changed_json(body: bytes, chance: random.Random) -> bytes:
    whole, _, rest = body.partition(b"\n")
    try:
        value, tail = json.loads(whole), rest
    except ValueError:
        value, tail = json.loads(body), b""
    for _ in range(chance.randint(1, 3)):
        value = _replaced(value, chance)
    text = json.dumps(value) if chance.random() < 0.9 else json.dumps(value, ensure_ascii=False)
    return text.encode("utf-8", "surrogatepass") + b"\n" + tail


def _replaced(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(list(value))
        kept = dict(value)
        dice = chance.random()
        if dice < 0.1:
            del kept[key]
        elif dice < 0.15:
            kept[f"{key}x"] = kept.pop(key)
        else:
            kept[key] = _replaced(kept[key], chance)
        return kept
    if isinstance(value, list) and value and chance.random() < 0.9:
        index = chance.randrange(len(value))
        dice = chance.random()
        if dice < 0.1:
            return value[:index] + value[index + 1 :]
        if dice < 0.15:
            return [*value, *value]
        return [*value[:index], _replaced(value[index], chance), *value[index + 1 :]]
    if isinstance(value, int) and chance.random() < 0.4:
        return value + chance.choice([-1, 1, 7, 10**6])
    if isinstance(value, str) and chance.random() < 0.2:
        return [value]
    return chance.choice(_VALUES)


def _changed_lines(body: bytes, chance: random.Random) -> bytes:
    lines = body.split(b"\n")
    place = chance.randrange(len(lines))
    dice = chance.random()
    if dice < 0.2:
        lines.insert(place, chance.choice(_LINES))
    elif dice < 0.3:
        del lines[place]
    elif dice < 0.4:
        lines.insert(place, chance.choice(lines))
    else:
        words = lines[place].split(chance.choice([b" ", b"\t", b",", b"=", b'"']))
        words[chance.randrange(len(words))] = chance.choice(_LINES)
        lines[place] = chance.choice([b" ", b"\t", b",", b"=", b'"']).join(words)
    return b"\n".join(lines)
