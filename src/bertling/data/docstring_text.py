"""From one documentation string to plain sentences: reST, numpydoc, Google style and Markdown."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

MASK = "library"
"""What stands in a sentence for the name of a library."""

# Distinctive names are masked with the letters around them (PyTorch, TorchScript), the others as words.
_NAMES = re.compile(
    r"(?<![a-z])(?:[a-z]*(?:torch|numpy|scipy|sklearn|pandas|hugging[ -]?face|python)[a-z]*"
    r"|(?:scikit[- ]learn|transformers|datasets|np|pd|hf)(?![a-z]))",
    re.IGNORECASE,
)
_REPEATED_MASK = re.compile(rf"\b{MASK}(?:[ ./'-]+{MASK})+\b", re.IGNORECASE)

_FENCE = re.compile(r"^ *(`{3,}|~{3,}).*?(?:^ *\1 *$|\Z)", re.MULTILINE | re.DOTALL)
_UNDERLINE = re.compile(r"^([=\-~^\"'#*+_.`])\1{2,}$")
_CODE_OR_TABLE = re.compile(r"^(?:>>>|In \[\d+\]|\$ |[|+])|\|$|^[=\-]{2,} +[=\-]{2,}| \| ")
_DIRECTIVE = re.compile(r"^\.\. *([\w:-]+?)::(.*)$")
_PROSE_DIRECTIVES = frozenset({"note", "warning", "tip", "hint", "important", "caution", "attention"})
_VERSION_DIRECTIVES = frozenset({"versionadded", "versionchanged", "deprecated"})
_SECTION = re.compile(r"^(?:#+ .*|(?:\w+ ){0,3}\w+:)$")
_TYPE = re.compile(  # x : int, or x: int
    r"^[\w*`'\"][\w.`*, /'\"-]{0,60} : .*$|^[\w.*`, ]+ :$|^\w+: [a-z][\w.\[\]]*(?:,? [\w.=]+){0,3}$"
)
# What stands before prose on its line: a bullet, ":param x:", "x (Tensor, optional):", "x:", "`Tensor`:".
_LABEL = re.compile(
    r"^(?:[-*+•] +|\(?(?:\d{1,2}|[a-z])[.)] +"
    r"|:\w+(?: [^:`]+)?:(?: +|$)"
    r"|(?:[`*]*[a-z_][\w.`*, /]* ?)?\((?:[^()]|\([^()]*\))*\) ?:(?: +|$)"
    r"|[`*]*[a-z_]\w*[`*]*: +|\[?`[^`]*`\]?: +)+"
)

_MARKUP = frozenset("[`*<_")
_INLINE = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"!?\[([^\]]+)\]\([^)]*\)", r"\1"),  # [text](url)
        (r"\[(`[^`\]]*`)\]", r"\1"),  # [`Class`]
        (r"(?::[\w:+-]+:)?`([^`<]+?) *<[^`>]*>`_{0,2}", r"\1"),  # :role:`text <target>`, `text <url>`_
        (r":[\w:+-]+:`[~!]?([^`]*)`", r"\1"),  # :role:`target`
        (r"(?<! in|see| of|rom| by|and|the) \[(?:\d+|[A-Z]\w*)\]_?(?=[\s.,;:)]|$)", ""),  # [1]_
        (r"``?[~!]?([^`]*?)``?_{0,2}", r"\1"),
        (r"(?<![\w*])\*{1,2}(?=\S)([^*]*?\S)\*{1,2}(?!\w)", r"\1"),
        (r"</?[a-zA-Z][^<>]*>", ""),
        (r"(?<=\w)_(?=[\s.,;)])", ""),  # reference_
    )
)
_BOUNDARY = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')]))\s+(?=[\"'(]?(?:[A-Z0-9]|[a-z]+_))")
_ABBREVIATION = re.compile(
    r"\b(?:[eE]\.g|[iI]\.e|etc|vs|cf|al|[eE]qs?|[fF]igs?|[sS]ec|[rR]efs?|No|approx|resp|ed|pp|vol|[A-Z])\.$"
)
_UNWANTED = re.compile(
    r"[\\{}<>|$^`*@#~\[\]]|[^\x20-\x7e]|\.\.|==| = |::|--|__|%\w|:\w+:|\b[ei]\.[eg]\.$"
    r"|://|www\.|\bdoi\b|[Cc]opyright|sphx_"
)
_PLAIN_WORD = re.compile(r"[\"'(]?[A-Za-z]+(?:['/-][A-Za-z]+)*[\"')]*[.,;:!?]?[\"')]*")


def sentences(docstring: str) -> list[str]:
    """The plain sentences of a documentation string, with library names masked.

    Code, tables, headings, references and formulas are left out, and so is what does not read as a whole
    sentence: it starts with a capital, ends with a full stop, question or exclamation mark, has 5 to 60
    words, and four words in five are plain ASCII words.
    """
    found = []
    for paragraph in _paragraphs(docstring):
        for pattern, replacement in () if _MARKUP.isdisjoint(paragraph) else _INLINE:
            paragraph = pattern.sub(replacement, paragraph)
        running = " ".join(paragraph.split())
        found += [mask_names(sentence) for sentence in _split(running) if _is_plain(sentence)]
    return found


def mask_names(text: str) -> str:
    """The text with names and usual aliases of the libraries replaced by a neutral word."""
    masked = _REPEATED_MASK.sub(MASK, _NAMES.sub(MASK, text))
    return masked[:1].upper() + masked[1:]


def _paragraphs(docstring: str) -> Iterator[str]:
    """Runs of prose lines, joined."""
    held: list[str] = []
    held_indent = 0
    hanging = False  # begun by a bullet or a label: lines that are indented deeper continue it
    for indent, text in [*_prose_lines(docstring), (0, "")]:
        label = _LABEL.match(text)
        if held and (label or not text or indent < held_indent or (indent > held_indent and not hanging)):
            yield " ".join(held)
            held = []
        if not held:
            hanging = label is not None
            text = text[label.end() :] if label else text
        held_indent = indent
        if text or hanging:
            held.append(text)


def _prose_lines(docstring: str) -> Iterator[tuple[int, str]]:
    """(indent, stripped text) of the lines that may be prose; an empty text where something was left out."""
    deeper_than: int | None = None  # after "::" and most directives: leave out what is indented deeper
    to_blank = False  # in code or in a table
    lines = _FENCE.sub("", inspect.cleandoc(docstring)).splitlines()
    for line, following in zip(lines, [*lines, ""][1:], strict=True):
        text = line.strip()
        indent = len(line) - len(line.lstrip())
        if not text:
            to_blank = False
            yield 0, ""
            continue
        if deeper_than is not None and indent <= deeper_than:
            deeper_than = None
        to_blank = to_blank or bool(_CODE_OR_TABLE.search(text))
        heading = _UNDERLINE.match(text) or _UNDERLINE.match(following.strip())
        if deeper_than is not None or to_blank or heading or _SECTION.match(text) or _TYPE.match(text):
            yield 0, ""
        elif text.startswith(".. "):
            directive = _DIRECTIVE.match(text)
            name, argument = directive.groups() if directive else ("", "")
            if name not in _PROSE_DIRECTIVES | _VERSION_DIRECTIVES:
                deeper_than = indent
            yield 0, ""
            if name in _PROSE_DIRECTIVES:
                yield indent + 3, argument.strip()
        elif text.endswith("::"):
            deeper_than = indent
            yield indent, text[:-1]
        else:
            yield indent, text


def _split(text: str) -> Iterator[str]:
    """The sentences of running text."""
    start = 0
    for boundary in _BOUNDARY.finditer(text):
        if not _ABBREVIATION.search(text, start, boundary.start()):
            yield text[start : boundary.start()]
            start = boundary.end()
    yield text[start:]


def _is_plain(sentence: str) -> bool:
    words = sentence.split()
    if not 5 <= len(words) <= 60 or not re.match("[A-Z]", sentence) or sentence[-1] not in ".?!":
        return False
    if _UNWANTED.search(sentence) or sentence.count("(") != sentence.count(")"):
        return False
    plain = sum(_PLAIN_WORD.fullmatch(word) is not None for word in words)
    return plain >= 0.8 * len(words)
