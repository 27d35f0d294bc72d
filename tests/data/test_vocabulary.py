"""Trimmed tokenizers: what stays tokenises as before, and everything still tokenises."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests import tiny
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer

from bertling.data.vocabulary import count_pieces, trim_tokenizer
from bertling.errors import ModelError

LETTERS = "abcde"
SPECIALS = ["<pad>", "<unk>", "<s>", "</s>"]
STRANGE = "xé\N{SNOWMAN}"
"""characters that no vocabulary here has"""


def some_words(count: int, *, seed: int, letters: str = LETTERS) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices(letters, k=draw.randint(1, 7))) for _ in range(count)]


def some_texts(*, seed: int, letters: str = LETTERS) -> list[str]:
    """Short ones, so that many of them use no piece that is dropped."""
    draw = random.Random(seed)
    found = some_words(200, seed=seed + 1, letters=letters)
    return [" ".join(draw.choices(found, k=draw.randint(1, 3))) for _ in range(400)]


def framed(tokenizer: Tokenizer) -> Tokenizer:
    """With special tokens around a text."""
    tokenizer.add_special_tokens(SPECIALS)
    ends = [(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B </s>", special_tokens=ends
    )
    return tokenizer


def wordpiece() -> Tokenizer:
    draw = random.Random(0)
    singles = [form + letter for letter in LETTERS for form in ("", "##")]
    longer = {draw.choice(["", "##"]) + word for word in some_words(60, seed=3) if 1 < len(word) < 5}
    pieces = ["abcdeabcde", *SPECIALS, *singles, *sorted(longer)]
    made = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    return framed(made)


def trained(**settings: Any) -> Tokenizer:
    made = Tokenizer(models.BPE(unk_token=settings.pop("unk_token", None)))
    byte_level = settings.pop("byte_level", False)
    if byte_level:
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        settings["initial_alphabet"] = pre_tokenizers.ByteLevel.alphabet()
    else:
        made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = BpeTrainer(vocab_size=360 if byte_level else 90, special_tokens=SPECIALS, **settings)
    made.train_from_iterator(some_texts(seed=0), trainer)
    return framed(made)


def byte_level_bpe() -> Tokenizer:
    return trained(byte_level=True)


def bpe_of_characters() -> Tokenizer:
    return trained(unk_token="<unk>")


def unigram() -> Tokenizer:
    draw = random.Random(1)
    longer = {word for word in some_words(60, seed=4) if 1 < len(word) < 5}
    longer |= {"\N{LOWER ONE EIGHTH BLOCK}" + word for word in sorted(longer)[::2]}
    pieces = [*SPECIALS, "\N{LOWER ONE EIGHTH BLOCK}", *LETTERS, *sorted(longer)]
    made = Tokenizer(models.Unigram([(piece, -round(draw.uniform(1, 9), 2)) for piece in pieces], unk_id=1))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    return framed(made)


every_kind = pytest.mark.parametrize("make", [wordpiece, byte_level_bpe, bpe_of_characters, unigram])


@every_kind
def test_texts_of_kept_pieces_give_the_same_and_others_are_read_too(make: Callable[[], Tokenizer]) -> None:
    before = make()
    texts = some_texts(seed=5) + some_texts(seed=6, letters=LETTERS + STRANGE)
    unknown = before.token_to_id("<unk>")
    for share in (0.0, 0.4, 0.8):
        draw = random.Random(share)
        wanted = [index for index in before.get_vocab().values() if draw.random() < share]
        trimmed = trim_tokenizer(before.to_str(), wanted)
        after = Tokenizer.from_str(trimmed.json)
        assert len(trimmed.kept) == after.get_vocab_size() < before.get_vocab_size()
        assert set(wanted) <= set(trimmed.kept.tolist())
        new_ids = {index: place for place, index in enumerate(trimmed.kept.tolist())}
        same = 0
        for text in texts:
            ids, others = before.encode(text).ids, after.encode(text).ids
            if set(ids) <= set(new_ids):
                same += 1
                assert others == [new_ids[index] for index in ids], text
            elif unknown not in ids:
                assert new_ids[unknown] not in others, text
                assert after.decode(others).replace(" ", "") == before.decode(ids).replace(" ", "")
        assert 20 < same < len(texts)


def test_all_ancestors_of_a_merged_piece_stay_and_no_other_merge() -> None:
    before = bpe_of_characters()
    longest = max(before.get_vocab(), key=lambda piece: (len(piece) if piece not in SPECIALS else 0, piece))
    trimmed = json.loads(trim_tokenizer(before.to_str(), [before.get_vocab()[longest]]).json)["model"]
    assert [*trimmed["vocab"]][-1] == longest
    assert {"".join(merge) for merge in trimmed["merges"]} == set(trimmed["vocab"]) - {*SPECIALS, *LETTERS}
    assert all(part in trimmed["vocab"] for merge in trimmed["merges"] for part in merge)
    assert len(trimmed["merges"]) < 7


def test_a_piece_that_single_characters_cannot_spell_stays() -> None:
    pieces = ["<unk>", "a", "b", "##a", "ab", "##ab", "aa"]
    before = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"))
    trimmed = trim_tokenizer(before.to_str(), [])
    assert trimmed.kept.tolist() == [0, 1, 2, 3, 4, 5]
    assert Tokenizer.from_str(trimmed.json).encode("aab").tokens == ["a", "##ab"]


def test_the_price_of_an_unknown_character_stays() -> None:
    """It is counted down from the lowest score, and decides between an unknown character and a long piece."""
    pieces = [("<unk>", 0.0), ("a", -1.0), ("b", -1.0), ("axb", -12.0), ("abab", -15.0)]
    before = Tokenizer(models.Unigram(pieces, unk_id=0))
    assert before.encode("axb").tokens == ["axb"]
    trimmed = trim_tokenizer(before.to_str(), [3])
    assert trimmed.kept.tolist() == [0, 1, 2, 3, 4]
    assert Tokenizer.from_str(trimmed.json).encode("axb").ids == [3]


@pytest.mark.parametrize("kind", ["bert", "roberta", "sequence"])
def test_ids_outside_of_the_model_are_renumbered(kind: str) -> None:
    before = wordpiece()
    before.add_tokens([AddedToken("<new>"), AddedToken("<newer>")])
    end, start = (("</s>", before.get_vocab()["</s>"]), ("<s>", before.get_vocab()["<s>"]))
    made: dict[str, Any] = {
        "bert": processors.BertProcessing(end, start),
        "roberta": processors.RobertaProcessing(end, start),
        "sequence": processors.Sequence([processors.ByteLevel(), processors.BertProcessing(end, start)]),
    }
    before.post_processor = made[kind]
    before.enable_padding(pad_id=before.token_to_id("a"), pad_token="a", length=9)
    # The first entry goes, so that every id changes.
    after = Tokenizer.from_str(trim_tokenizer(before.to_str(), range(1, before.get_vocab_size())).json)
    ids = before.encode("abc <newer> e").ids
    assert before.token_to_id("<newer>") in ids
    assert after.encode("abc <newer> e").ids == [index - 1 for index in ids]


def test_pieces_are_counted_in_a_stream_of_texts() -> None:
    tokenizer = tiny.tokenizer()
    counts = count_pieces(tokenizer, (text for text in ["w3 w3x1", "w97", ""]))
    assert counts.shape == (tiny.VOCABULARY,)
    named = {piece: int(counts[index]) for piece, index in tokenizer.get_vocab().items() if counts[index]}
    assert named == {"[CLS]": 2, "[SEP]": 2, "w3": 2, "##x1": 1, "w97": 1}


def test_what_cannot_be_trimmed_is_refused() -> None:
    with pytest.raises(ModelError, match="model is WordLevel, which bertling cannot trim"):
        trim_tokenizer(Tokenizer(models.WordLevel({"a": 0}, unk_token="a")).to_str(), [0])
    prefixed = models.BPE({"a": 0, "##b": 1}, [], continuing_subword_prefix="##")
    with pytest.raises(ModelError, match="model is BPE with a prefix"):
        trim_tokenizer(Tokenizer(prefixed).to_str(), [0])


def test_ids_that_the_tokenizer_does_not_have_are_passed_over() -> None:
    before = wordpiece()
    before.normalizer = normalizers.Lowercase()
    kept = trim_tokenizer(before.to_str(), [10_000, -1]).kept
    assert np.array_equal(kept, trim_tokenizer(before.to_str(), []).kept)
