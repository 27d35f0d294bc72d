"""A corpus as token shards: written once, by several processes if wanted, and mapped from disk.

A folder of shards holds ``settings.json``, written first; ``shard-00000`` and so on, each there only when it
is whole; and ``index.json``, written last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from transformers import PreTrainedTokenizerBase

from bertling.data.pieces import id_dtype, special_tokens
from bertling.data.shard_writer import ShardWriter, shard_writing
from bertling.data.tokenization import JoinedTexts, TokenizedTexts
from bertling.errors import DataError, ShapeError, WorkerError
from bertling.files import write_whole

SHARD_CHARACTERS = 8_000_000
"""of a shard: some two million tokens of English"""

_SETTINGS = "settings.json"
_INDEX = "index.json"

_Kind = TypeVar("_Kind", bound=BaseModel)


class ShardSettings(BaseModel):
    """``settings.json``: what all shards of a folder have in common.

    Attributes:
        max_length_tokens: of a row.
        packed: whether a row is a block of several pieces.
        dtype: of the token ids.
        shard_characters: of a shard, about.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_length_tokens: int
    packed: bool
    dtype: Literal["uint16", "int32"]
    shard_characters: int


class ShardIndex(ShardSettings):
    """``index.json``: the shards that are there.

    Attributes:
        shards: how many shards.
        texts: that were read.
        blocks: rows of all shards: blocks if packed, else pieces.
        tokens: of all shards, special tokens included.
    """

    shards: int
    texts: int
    blocks: int
    tokens: int


def write_shards(
    texts: Iterable[str],
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    max_length_tokens: int,
    packed: bool = False,
    workers: int = 1,
    shard_characters: int = SHARD_CHARACTERS,
) -> None:
    """Tokenise a stream of texts into shards that `load_shards` maps.

    A shard is a function of the texts and the settings, not of ``workers``. A text longer than the limit
    gives several pieces, none is cut off. Packed, pieces are put together into blocks (see `pack`), each
    still with its own special tokens.

    A run that was stopped goes on in the same folder: it has to be given the same texts, reads them again and
    keeps the shards that are there. A folder whose shards are all there is left as it is.

    With several workers the processes start afresh and import the program's main module: a script of your own
    needs its ``if __name__ == "__main__":``.

    Args:
        texts: as from `read_corpus`; they pass through memory a few shards at a time.
        tokenizer: a fast tokenizer.
        folder: is made if needed.
        max_length_tokens: of a piece and of a block, special tokens included.
        packed: put several pieces into a block.
        workers: processes that tokenise; 1 is this one, where the tokenizer may use several threads.
        shard_characters: a shard ends with the text that reaches so many.

    Raises:
        DataError: there is no text, the limit is too low, the folder holds shards made with other settings;
            and what reading the texts raises.
        WorkerError: a process died.
        ShapeError: there are no workers.
    """
    if workers < 1:
        raise ShapeError(f"workers = {workers}, expected at least 1")
    special_tokens(tokenizer, max_length_tokens, pair=False)
    settings = ShardSettings.model_validate(
        {
            "max_length_tokens": max_length_tokens,
            "packed": packed,
            "dtype": id_dtype(tokenizer).name,
            "shard_characters": shard_characters,
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    _check_settings(folder, settings)
    finished = _read(folder / _INDEX, ShardIndex)
    if finished and all(_shard(folder, number).exists() for number in range(finished.shards)):
        return
    write_whole(folder / _SETTINGS, settings.model_dump_json(indent=1) + "\n")
    shards = read = 0
    try:
        with shard_writing(ShardWriter(tokenizer, max_length_tokens, packed), workers) as write:
            for shards, texts_of_shard in enumerate(_cut(texts, shard_characters), start=1):
                read += len(texts_of_shard)
                target = _shard(folder, shards - 1)
                if not target.exists():
                    write(texts_of_shard, target)
    except BrokenProcessPool as error:
        done = sum(not shard.suffix for shard in folder.glob("shard-*"))
        raise WorkerError(
            "a tokenising process died: it was ended from outside, as the system does when memory runs out, "
            "or could not start. Run the same command again, with fewer workers if memory is short: "
            f"{done} {'shard is' if done == 1 else 'shards are'} done and will be kept."
        ) from error
    blocks = tokens = 0
    for number in range(shards):  # one after the other, so that memory does not grow with their number
        shard = TokenizedTexts.load(_shard(folder, number))
        blocks += len(shard)
        tokens += int(shard.lengths.sum(dtype=np.int64))
    if not tokens:
        raise DataError("the corpus holds no text; expected at least one non-empty line")
    index = ShardIndex(**settings.model_dump(), shards=shards, texts=read, blocks=blocks, tokens=tokens)
    write_whole(folder / _INDEX, index.model_dump_json(indent=1) + "\n")


def load_shards(folder: Path) -> JoinedTexts:
    """Map what `write_shards` wrote; memory grows with the number of rows alone, by a few bytes for each.

    Raises:
        DataError: not all shards were written, or one is missing or not whole.
    """
    index = _read(folder / _INDEX, ShardIndex)
    if index is None:
        raise DataError(
            f"{folder} holds no finished shards: {_INDEX} is missing or not write_shards' own. Write them "
            "there; what is done is kept."
        )
    loaded = JoinedTexts([TokenizedTexts.load(_shard(folder, number)) for number in range(index.shards)])
    found = {
        "blocks": len(loaded),
        "tokens": int(loaded.lengths.sum(dtype=np.int64)),
        "packed": loaded.packed,
    }
    expected = index.model_dump(include=set(found))
    if found != expected:
        raise DataError(
            f"the shards in {folder} are not those of its {_INDEX}: found {_listed(found)}, expected "
            f"{_listed(expected)}. Delete the folder and write them again."
        )
    return loaded


def _cut(texts: Iterable[str], shard_characters: int) -> Iterator[list[str]]:
    shard: list[str] = []
    characters = 0
    for text in texts:
        shard.append(text)
        characters += len(text) + 1  # so that a shard ends even if texts are empty
        if characters >= shard_characters:
            yield shard
            shard, characters = [], 0
    if shard:
        yield shard


def _check_settings(folder: Path, settings: ShardSettings) -> None:
    before = _read(folder / _SETTINGS, ShardSettings)
    there = before.model_dump() if before else {}
    asked = settings.model_dump()
    if differing := {name for name, value in there.items() if value != asked[name]}:
        raise DataError(
            f"{folder} holds shards made with {_listed({name: there[name] for name in sorted(differing)})}, "
            f"but asked for is {_listed({name: asked[name] for name in sorted(differing)})}. Name another "
            "folder, or delete this one."
        )


def _shard(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:05}"


def _read(path: Path, kind: type[_Kind]) -> _Kind | None:
    """What the file holds, or None if there is none or it holds something else."""
    try:
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in values.items())
