from __future__ import annotations

from typing import Any

import pytest
from tests import tiny
from tests.augmentation import toy
from transformers import PreTrainedTokenizerBase

from bertling.augmentation.candidates import CandidateFinder, Replaceable
from bertling.augmentation.masked_lm_candidates import Mode
from bertling.errors import ModelError

every_kind = pytest.mark.parametrize("kind", toy.KINDS)
every_mode = pytest.mark.parametrize("mode", ["masked", "unmasked"])
STOP = frozenset({"the", "was", "not", "a"})
RANKING = ("dull", "fine", "the", "movie", "story", "film")
VECTORS = {
    "playful": [1.0, 0.0],
    "merry": [1.0, 0.1],
    "Playful": [1.0, 0.2],
    "light-hearted": [1.0, 0.3],
    "sad": [-1.0, 0.1],
}


def finder(kind: str, *, ranking: tuple[str, ...] = RANKING, **settings: Any) -> CandidateFinder:
    tokenizer = toy.tokenizer(kind)
    model = toy.preferring(tokenizer, list(toy.ids_of(tokenizer, kind, ranking).values()))
    given: dict[str, Any] = {"vectors": toy.vectors(VECTORS), "candidates": 2, "stop_words": STOP} | settings
    return CandidateFinder(masked_lm=model, tokenizer=tokenizer, **given)


def random_finder(tokenizer: PreTrainedTokenizerBase, **settings: Any) -> CandidateFinder:
    given: dict[str, Any] = {"vectors": toy.vectors(VECTORS), "stop_words": STOP} | settings
    return CandidateFinder(masked_lm=toy.masked_lm(tokenizer), tokenizer=tokenizer, **given)


def written(text: str, found: list[Replaceable]) -> list[tuple[str, tuple[str, ...]]]:
    return [(text[word.start : word.end], word.candidates) for word in found]


@every_kind
@every_mode
def test_words_of_one_piece_get_the_models_and_others_the_nearest(kind: str, mode: Mode) -> None:
    text = "the film, was (truly) playful: good!"
    [found] = finder(kind, mode=mode).find([text])
    assert written(text, found) == [
        ("film", ("dull", "fine")),
        ("truly", ("dull", "fine")),
        ("playful", ("merry", "light-hearted")),
        ("good", ("dull", "fine")),
    ]


@every_kind
def test_stop_words_are_left_alone_in_any_case(kind: str) -> None:
    texts = ["THE film Was bad", "the film was bad"]
    for text, found in zip(texts, finder(kind).find(texts), strict=True):
        assert [word for word, _ in written(text, found)] == ["film", "bad"]


@every_kind
def test_stop_words_can_replace(kind: str) -> None:
    [[film]] = finder(kind, candidates=3).find(["film"])
    assert film.candidates == ("dull", "fine", "the")


@every_kind
@every_mode
@pytest.mark.parametrize("text", ["", "   ", "the was not a", "3 , ( 3 ) !"])
def test_texts_without_content_words_have_nothing_to_replace(kind: str, mode: Mode, text: str) -> None:
    found = finder(kind, mode=mode).find([text, "good film", text])
    assert [len(words) for words in found] == [0, 2, 0]
    assert finder(kind, mode=mode).find([text]) == [[]]
    assert finder(kind, mode=mode).find([]) == []


@every_kind
def test_without_vectors_words_of_several_pieces_are_left_alone(kind: str) -> None:
    text = "playful film"
    [found] = finder(kind, vectors=None).find([text])
    assert written(text, found) == [("film", ("dull", "fine"))]


@every_kind
def test_words_without_a_vector_are_left_alone(kind: str) -> None:
    text = "films playful"
    [found] = finder(kind).find([text])
    assert written(text, found) == [("playful", ("merry", "light-hearted"))]


@every_kind
def test_a_word_that_occurs_again_can_be_replaced_again(kind: str) -> None:
    text = "good film playful film playful"
    [found] = finder(kind).find([text])
    assert [word.start for word in found] == [0, 5, 10, 18, 23]
    assert found[1].candidates == found[3].candidates
    assert found[2].candidates == found[4].candidates == ("merry", "light-hearted")


def test_words_are_looked_up_among_the_vectors_once(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = toy.vectors(VECTORS)
    asked: list[str] = []
    nearest = vectors.nearest

    def counted(words: list[str], count: int) -> list[list[str]]:
        asked.extend(words)
        return nearest(words, count)

    monkeypatch.setattr(vectors, "nearest", counted)
    finds = finder("wordpiece", vectors=vectors)
    first = finds.find(["playful playful films", "plays"])
    assert finds.find(["playful playful films", "plays"]) == first
    assert asked == ["playful", "films", "plays"]


@every_kind
@every_mode
def test_other_texts_in_the_call_change_nothing(kind: str, mode: Mode) -> None:
    texts = [
        "good film",
        "the story was truly bad and not playful",
        "",
        "good film",
        "a truly great movie (dull)",
        "fine",
        "bad film",
    ]
    finds = random_finder(toy.tokenizer(kind), mode=mode, batch_tokens=40)
    together = finds.find(texts)
    assert [finds.find([text])[0] for text in texts] == together
    assert finds.find(texts[::-1]) == together[::-1]
    assert random_finder(toy.tokenizer(kind), mode=mode).find(texts) == together
    assert together[0] == together[3]
    assert len({word.candidates for found in together for word in found}) > 8


@every_kind
def test_words_beyond_the_limit_are_left_alone(kind: str) -> None:
    text = "good film bad story"
    [found] = finder(kind, max_length_tokens=5).find([text])
    assert [word for word, _ in written(text, found)] == ["good", "film", "bad"]


@pytest.mark.parametrize(("architecture", "tokens"), [("bert", 48), ("roberta", 48 - 2), ("distilbert", 48)])
def test_the_limit_is_never_above_that_of_the_model(architecture: str, tokens: int) -> None:
    """RoBERTa counts positions from behind its padding's id, so it has room for fewer."""
    tokenizer = toy.byte_level()
    finds = CandidateFinder(
        masked_lm=toy.masked_lm(tokenizer, architecture), tokenizer=tokenizer, vectors=None, stop_words=STOP
    )
    [found] = finds.find(["good" + " film" * 100])
    assert len(found) == tokens - 2
    tokenizer.model_max_length = 10
    finds = CandidateFinder(
        masked_lm=toy.masked_lm(tokenizer, architecture), tokenizer=tokenizer, vectors=None, stop_words=STOP
    )
    [found] = finds.find(["good" + " film" * 100])
    assert len(found) == 8


def test_candidates_keep_the_case_of_their_source_and_spans_that_of_the_text() -> None:
    text = "Good Café PLAYFUL"
    [found] = finder("wordpiece", ranking=("Film", "cafe", "GOOD", "bad")).find([text])
    assert written(text, found) == [
        ("Good", ("Film", "cafe")),
        ("Café", ("Film", "GOOD")),
        ("PLAYFUL", ("merry", "light-hearted")),
    ]


def test_a_tokenizer_without_a_mask_token_is_refused() -> None:
    tokenizer = toy.wordpiece()
    model = toy.masked_lm(tokenizer)
    tokenizer.mask_token = None
    with pytest.raises(ModelError, match="no mask token"):
        CandidateFinder(masked_lm=model, tokenizer=tokenizer, vectors=None, stop_words=STOP)


def test_an_encoder_without_a_head_is_refused() -> None:
    with pytest.raises(ModelError, match="no encoder below its head"):
        CandidateFinder(masked_lm=tiny.encoder(), tokenizer=toy.wordpiece(), vectors=None, stop_words=STOP)
