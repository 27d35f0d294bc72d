"""A tokenizer with fewer pieces: those that stay tokenise as before, and any text still tokenises.

Works on the tokenizers library's JSON. V entries before, K after. What stays beside the pieces that are asked
for, and why texts whose pieces all stay give the same ones:

    WordPiece  all single characters, in both forms, and pieces that these cannot spell. The longest match at
               a place is still the longest once others are gone.
    BPE        what no merge makes (bytes, characters), and the parts that a piece is merged of. A merge stays
               if what it makes stays, so the merges of such a text are those of before, in their order.
    Unigram    all single characters, and the piece with the lowest score, which prices unknown characters.
               The best segmentation is still the best once others are gone.

Special and added tokens stay. A WordPiece vocabulary that has a character inside of pieces alone, and not by
itself, may find pieces for a word that was unknown before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from bertling.data.pieces import chunks, cut
from bertling.errors import ModelError

_NO_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class TrimmedTokenizer:
    """A tokenizer with K of its V entries.

    Attributes:
        json: as the tokenizers library reads it.
        kept: (K,) the id that each entry had, ascending: the entries' new ids are their places here.
    """

    json: str
    kept: npt.NDArray[np.int64]


def count_pieces(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> npt.NDArray[np.int64]:
    """How often each id occurs in texts, (V,); they may be a stream."""
    counts = np.zeros(vocabulary_end(tokenizer), dtype=np.int64)
    for chunk in chunks(texts):
        ids, _ = cut(tokenizer, chunk, max_length_tokens=_NO_LIMIT)
        counts += np.bincount(ids, minlength=len(counts))
    return counts


def vocabulary_end(tokenizer: PreTrainedTokenizerBase) -> int:
    """The smallest number above all ids."""
    return 1 + max(tokenizer.get_vocab().values())


def trim_tokenizer(tokenizer_json: str, wanted: Iterable[int]) -> TrimmedTokenizer:
    """Leave out all entries but those that are wanted and those that the module's docstring names.

    Args:
        tokenizer_json: of a WordPiece, BPE or Unigram model, as `tokenizers.Tokenizer.to_str` gives it.
        wanted: ids; others than the tokenizer's are passed over.

    Raises:
        ModelError: a tokenizer of another kind, or one whose entries cannot be renumbered.
    """
    state = json.loads(tokenizer_json)
    model = state["model"]
    if model["type"] not in _NEEDED or (model["type"] == "BPE" and model.get("continuing_subword_prefix")):
        what = model["type"] + (" with a prefix" if model["type"] in _NEEDED else "")
        raise ModelError(
            f"the tokenizer's model is {what}, which bertling cannot trim; expected WordPiece, BPE without a "
            "prefix of continuing pieces, or Unigram. Leave the vocabulary as it is"
        )
    listed = model["vocab"]
    pieces: dict[str, int] = (
        listed if isinstance(listed, dict) else {piece: index for index, (piece, _) in enumerate(listed)}
    )
    added = {token["content"]: int(token["id"]) for token in state["added_tokens"]}
    everything = pieces | added
    places = list(_places_of_ids(state))
    kept = set(wanted) & set(everything.values())
    kept |= {place[key] for place, key in places} | {pieces[piece] for piece in _unknown(model)}
    kept |= _NEEDED[model["type"]](model, pieces, kept)
    order = sorted(kept)
    new_ids = {before: after for after, before in enumerate(order)}
    for place, key in places:
        place[key] = new_ids[place[key]]
    if isinstance(listed, dict):
        model["vocab"] = {piece: new_ids[index] for piece, index in listed.items() if index in new_ids}
    else:
        model["vocab"] = [entry for index, entry in enumerate(listed) if index in new_ids]
        model["unk_id"] = new_ids.get(model["unk_id"])
    if "merges" in model:
        model["merges"] = [merge for merge in model["merges"] if "".join(_parts(merge)) in model["vocab"]]
    trimmed = json.dumps(state, ensure_ascii=False)
    expected = {piece: new_ids[index] for piece, index in everything.items() if index in new_ids}
    if Tokenizer.from_str(trimmed).get_vocab() != expected:
        raise ModelError(
            "the tokenizer numbers its added tokens otherwise than the file says, so its entries cannot be "
            "renumbered: leave the vocabulary as it is, and report this with the tokenizer"
        )
    return TrimmedTokenizer(trimmed, np.asarray(order, dtype=np.int64))


def _unknown(model: Mapping[str, Any]) -> list[str]:
    """The piece that stands for unknown ones, if there is one."""
    if model["type"] == "Unigram":
        return [] if model["unk_id"] is None else [model["vocab"][model["unk_id"]][0]]
    return [model["unk_token"]] if model.get("unk_token") in model["vocab"] else []


def _of_wordpiece(model: Mapping[str, Any], pieces: Mapping[str, int], kept: set[int]) -> set[int]:
    prefix = model["continuing_subword_prefix"]

    def spelled(piece: str) -> bool:
        """Whether it has several characters, each of which is a piece, too."""
        inside = piece.startswith(prefix) and len(piece) > len(prefix)
        characters = piece.removeprefix(prefix) if inside else piece
        singles = [(prefix if inside or place else "") + one for place, one in enumerate(characters)]
        return len(characters) > 1 and all(single in pieces for single in singles)

    return {index for piece, index in pieces.items() if not spelled(piece)}


def _of_bpe(model: Mapping[str, Any], pieces: Mapping[str, int], kept: set[int]) -> set[int]:
    made_of: dict[str, list[str]] = {}
    for merge in model["merges"]:
        parts = _parts(merge)
        made_of.setdefault("".join(parts), []).extend(parts)
    names = {index: piece for piece, index in pieces.items()}
    needed = {index for piece, index in pieces.items() if piece not in made_of}
    waiting = [names[index] for index in kept if index in names]
    while waiting:
        for part in made_of.get(waiting.pop(), ()):
            if pieces[part] not in needed:
                needed.add(pieces[part])
                waiting.append(part)
    return needed


def _of_unigram(model: Mapping[str, Any], pieces: Mapping[str, int], kept: set[int]) -> set[int]:
    # Bytes, where unknown characters fall back to them, are written so: <0x0A>.
    single = {i for piece, i in pieces.items() if len(piece) == 1 or (piece[:3] == "<0x" and len(piece) == 6)}
    scores = [score for _, score in model["vocab"]]
    return single | {scores.index(min(scores))}


_NEEDED: dict[str, Callable[[Mapping[str, Any], Mapping[str, int], set[int]], set[int]]] = {
    "WordPiece": _of_wordpiece,
    "BPE": _of_bpe,
    "Unigram": _of_unigram,
}
"""kind of model -> ids that stay beside those that are ``kept``"""


def _parts(merge: str | list[str]) -> list[str]:
    """Two parts, which older files write as one string."""
    return merge.split(" ") if isinstance(merge, str) else merge


def _places_of_ids(state: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Where a tokenizer's JSON holds ids outside of its model: what holds them, and by which key."""
    for token in state["added_tokens"]:
        yield token, "id"
    if state.get("padding"):
        yield state["padding"], "pad_id"
    waiting = [state["post_processor"]] if state.get("post_processor") else []
    while waiting:
        processor = waiting.pop()
        kind = processor["type"]
        if kind == "Sequence":
            waiting += processor["processors"]
        elif kind == "TemplateProcessing":
            for special in processor["special_tokens"].values():
                yield from ((special["ids"], place) for place in range(len(special["ids"])))
        elif kind in ("BertProcessing", "RobertaProcessing"):
            yield from ((processor[end], 1) for end in ("sep", "cls"))
        elif kind != "ByteLevel":
            raise ModelError(
                f"the tokenizer's post-processor is {kind}, and where that holds ids bertling does not know: "
                "leave the vocabulary as it is"
            )
