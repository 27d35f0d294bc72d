from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from bertling.augmentation.candidates import Replaceable
from bertling.augmentation.variants import (
    Replacement,
    Variant,
    WordVariant,
    make_variants,
    make_word_variants,
    row_generator,
)
from bertling.errors import ShapeError

NASTY_TEXTS = [
    "",
    "plain words",
    '  "quoted",\tand  spaced ... out!\n',
    r"a \1 group, {braces}, %s and $& signs",
    "family 👩‍👩‍👧‍👦 and a flag 🇩🇪 here",
    "cafe\u0301 and nai\u0308ve, decomposed",
    "İstanbul ve ß, ﬁne ǅungla",
    "日本語 text\u2028with a separator\0",
]


def spans(text: str, **candidates: tuple[str, ...]) -> list[Replaceable]:
    """What can be replaced: the first place of each word in the text."""
    places = ((text.index(word), word) for word in candidates)
    return [Replaceable(start, start + len(word), candidates[word]) for start, word in sorted(places)]


def every_word(text: str, *candidates: str) -> list[Replaceable]:
    words, read = [], 0
    for word in text.split():
        start = text.index(word, read)
        read = start + len(word)
        words.append(Replaceable(start, read, candidates))
    return words


def restored(text: str, replaced: list[Replacement]) -> str:
    """The text with the words put back that were replaced."""
    for replacement in reversed(replaced):
        assert text[replacement.start : replacement.end] == replacement.replacement
        text = text[: replacement.start] + replacement.word + text[replacement.end :]
    return text


def of_side(variant: Variant, side: int) -> list[Replacement]:
    return [replacement for replacement in variant.replaced if replacement.side == side]


def replaced_word(word: str, candidate: str) -> str:
    """What a candidate becomes in the place of a word."""
    made = make_variants(
        [word], [[Replaceable(0, len(word), (candidate,))]], probability=1.0, random=row_generator(0, 0)
    )
    return made[-1].text


def test_the_original_comes_first_and_numbers_have_no_gaps() -> None:
    text = "a film of two halves"
    made = make_variants([text], [every_word(text, "b", "c")], variants=30, random=row_generator(0, 0))
    assert made[0] == (0, text, None, ())
    assert [variant.number for variant in made] == list(range(len(made)))
    assert len(made) > 20


@pytest.mark.parametrize("text", NASTY_TEXTS)
def test_everything_but_the_replaced_words_survives(text: str) -> None:
    words = every_word(text, r"\g<0>", "{0} %s", "ẞ", "e\u0301", "🙂")
    for row in range(5):
        for variant in make_variants([text], [words], probability=0.6, random=row_generator(1, row)):
            assert restored(variant.text, list(variant.replaced)) == text
            ends = [0, *(end for word in variant.replaced for end in (word.start, word.end))]
            assert all(first <= second for first, second in pairwise(ends))


def test_probability_one_replaces_every_word_and_zero_none() -> None:
    text = "three short words"
    words = every_word(text, "x", "y")
    always = make_variants([text], [words], probability=1.0, random=row_generator(0, 0))
    assert all(len(variant.replaced) == 3 for variant in always[1:])
    assert len(always) > 5
    never = make_variants([text], [words], probability=0.0, random=row_generator(0, 0))
    assert [variant.text for variant in never] == [text]


def test_no_variants_or_no_candidates_leave_the_original() -> None:
    random = row_generator(0, 0)
    assert len(make_variants(["some text"], [every_word("some text", "b")], variants=0, random=random)) == 1
    assert make_variants(["some text"], [[]], random=random) == [(0, "some text", None, ())]
    without = [Replaceable(0, 4, ())]
    assert make_variants(["some text"], [without], random=random) == [(0, "some text", None, ())]
    assert make_variants([""], [[]], random=random) == [(0, "", None, ())]


def test_words_are_replaced_with_the_probability_by_any_candidate_alike() -> None:
    text = " ".join(["word"] * 20)
    candidates = [f"c{number}" for number in range(10)]
    made = make_variants(
        [text], [every_word(text, *candidates)], variants=1000, probability=0.4, random=row_generator(7, 0)
    )
    assert len(made) == 1001
    counts = Counter(replacement.replacement for variant in made for replacement in variant.replaced)
    total = sum(counts.values())
    # 20,000 words: the standard deviations are 0.0035 and 0.0034
    assert total / 20_000 == pytest.approx(0.4, abs=0.014)
    assert set(counts) == set(candidates)
    assert all(count / total == pytest.approx(0.1, abs=0.014) for count in counts.values())


def test_what_comes_out_twice_is_left_out() -> None:
    made = make_variants(
        ["one word"], [spans("one word", word=("term",))], probability=0.5, random=row_generator(0, 0)
    )
    assert [variant.text for variant in made] == ["one word", "one term"]


def test_replacements_that_make_the_original_again_leave_it_the_original() -> None:
    words = [Replaceable(0, 1, ("aa",)), Replaceable(1, 3, ("b",))]
    made = make_variants(["aab"], [words], probability=1.0, random=row_generator(0, 0))
    assert made == [(0, "aab", None, ())]


def test_both_texts_of_a_pair_vary_in_each_variant_and_stay_together() -> None:
    texts = ("the left side of it", "a right one")
    words = [every_word(texts[0], "l1", "l2", "l3"), every_word(texts[1], "r1", "r2", "r3")]
    made = make_variants(texts, words, variants=50, probability=0.5, random=row_generator(0, 0))
    assert len({(variant.text, variant.text_pair) for variant in made}) == len(made) > 30
    for variant in made:
        assert restored(variant.text, of_side(variant, 0)) == texts[0]
        assert restored(variant.text_pair or "", of_side(variant, 1)) == texts[1]
        assert all(word.replacement[0] == "lr"[word.side] for word in variant.replaced)
    varied = [{word.side for word in variant.replaced} for variant in made[1:]]
    assert varied.count({0, 1}) > 25
    # a partner does not hang on from the variant before
    assert len({variant.text_pair for variant in made}) > 10


def test_a_pair_counts_as_a_duplicate_only_as_a_whole() -> None:
    words = [Replaceable(0, 3, ("two",))]
    made = make_variants(["one", "one"], [words, words], probability=0.5, random=row_generator(0, 0))
    assert sorted((variant.text, variant.text_pair) for variant in made) == [
        ("one", "one"),
        ("one", "two"),
        ("two", "one"),
        ("two", "two"),
    ]


@pytest.mark.parametrize(
    ("word", "candidate", "expected"),
    [
        ("film", "movie", "movie"),
        ("film", "Movie", "movie"),
        ("Film", "movie", "Movie"),
        ("Film", "NASA", "NASA"),
        ("FILM", "movie", "MOVIE"),
        ("Don't", "can't", "Can't"),
        ("I", "we", "We"),
        ("iPhone", "phone", "phone"),
        ("McCoy", "smith", "smith"),
        ("2019", "Last", "Last"),
        ("映画", "Film", "Film"),
        ("STRASSE", "groß", "GROSS"),
        ("Straße", "ßa", "Ssa"),
        ("straße", "İst", "i̇st"),
        ("İstanbul", "\u0131l\u0131k", "Il\u0131k"),
        ("Weg", "ǆungla", "ǅungla"),
        ("ǅungla", "weg", "Weg"),
        ("ΟΔΟΣ", "δρόμος", "ΔΡΌΜΟΣ"),
    ],
)
def test_a_replacement_takes_the_case_of_its_word(word: str, candidate: str, expected: str) -> None:
    assert replaced_word(word, candidate) == expected


def test_a_candidate_that_is_the_word_but_for_its_case_is_none() -> None:
    text = "Film about film"
    made = make_variants(
        [text], [every_word(text, "FILM", "film")], probability=1.0, random=row_generator(0, 0)
    )
    replaced = {(word.word, word.replacement) for variant in made for word in variant.replaced}
    assert replaced == {("Film", "FILM"), ("about", "film")}


def test_candidates_alike_but_for_their_case_count_once() -> None:
    text = " ".join(["word"] * 10)
    candidates = [*(f"{'A' * upper}{'a' * (9 - upper)}" for upper in range(9)), "b"]
    made = make_variants(
        [text], [every_word(text, *candidates)], variants=900, probability=1.0, random=row_generator(3, 0)
    )
    drawn = Counter(word.replacement for variant in made for word in variant.replaced)
    assert drawn["b"] / drawn.total() == pytest.approx(0.5, abs=0.05)


def test_seed_and_row_alone_decide() -> None:
    text = "four words to vary"
    words = every_word(text, "a", "b", "c", "d")

    def made(seed: int, row: int) -> list[Variant]:
        return make_variants([text], [words], random=row_generator(seed, row))

    before = made(1, 5)
    np.random.default_rng().random(3)
    assert made(1, 5) == before
    others = [made(1, 4), made(1, 6), made(1, 7), made(2, 5), made(5, 1)]
    assert all(other != before for other in others)


def test_fewer_variants_are_the_first_of_more() -> None:
    text = "four words to vary"
    words = every_word(text, "a", "b", "c", "d")
    few = make_variants([text], [words], variants=5, random=row_generator(1, 5))
    many = make_variants([text], [words], variants=20, random=row_generator(1, 5))
    assert many[: len(few)] == few


@pytest.mark.parametrize(
    "words",
    [
        [Replaceable(0, 5, ("x",)), Replaceable(4, 7, ("y",))],
        [Replaceable(6, 9, ("x",)), Replaceable(0, 5, ("y",))],
        [Replaceable(6, 12, ("x",))],
        [Replaceable(-3, 2, ("x",))],
        [Replaceable(2, 2, ("x",))],
    ],
)
def test_words_that_overlap_or_are_not_in_the_text_are_refused(words: list[Replaceable]) -> None:
    with pytest.raises(ShapeError, match="expected words within the text, in order, without overlap"):
        make_variants(["some words"], [words], random=row_generator(0, 0))


def test_what_makes_no_sense_is_refused() -> None:
    random = row_generator(0, 0)
    with pytest.raises(ShapeError, match="'some' has an empty candidate"):
        make_variants(["some"], [[Replaceable(0, 4, ("any", ""))]], random=random)
    with pytest.raises(ShapeError, match="probability from 0 to 1"):
        make_variants(["some"], [[]], probability=1.5, random=random)
    with pytest.raises(ShapeError, match="-1 variants"):
        make_variants(["some"], [[]], variants=-1, random=random)
    with pytest.raises(ShapeError, match="2 texts, and replaceable words of 1"):
        make_variants(["some", "more"], [[]], random=random)
    with pytest.raises(ShapeError, match="3 texts"):
        make_variants(["some", "more", "most"], [[], [], []], random=random)


def word_variants(words: list[str], replaceable: list[Replaceable], row: int = 0) -> list[WordVariant]:
    return make_word_variants(words, replaceable, variants=40, probability=0.5, random=row_generator(2, row))


def test_variants_of_labelled_words_keep_their_number_and_places() -> None:
    words = ["Anna", "lives", "in", "New", "York", "."]
    text = " ".join(words)
    made = word_variants(words, spans(text, Anna=("x", "longer"), lives=("is",), York=("Delhi", "Y")))
    assert made[0] == (0, words, ())
    assert len(made) > 8
    for variant in made:
        assert len(variant.words) == len(words)
        first, second, *kept, fifth, last = variant.words
        assert (kept, last) == (["in", "New"], ".")
        assert first in ("Anna", "X", "Longer")
        assert second in ("lives", "is")
        assert fifth in ("York", "Delhi", "Y")
        joined = " ".join(variant.words)
        assert restored(joined, list(variant.replaced)) == text
    assert {variant.words[4] for variant in made} == {"York", "Delhi", "Y"}


def test_two_replacements_in_one_labelled_word_stay_in_it() -> None:
    words = ["a", "well-known", "case"]
    made = word_variants(words, spans("a well-known case", well=("little",), known=("seen", "very far")))
    assert {tuple(variant.words) for variant in made} == {
        ("a", f"{first}-{second}", "case")
        for first in ("well", "little")
        for second in ("known", "seen", "very far")
    }


def test_what_reaches_over_two_labelled_words_is_left_alone() -> None:
    words = ["New", "York", "City"]
    made = word_variants(words, [Replaceable(0, 8, ("Delhi",)), Replaceable(9, 13, ("Town",))])
    assert [variant.words for variant in made] == [words, ["New", "York", "Town"]]


def test_labelled_words_may_be_empty_or_none() -> None:
    assert word_variants([], []) == [(0, [], ())]
    made = word_variants(
        ["", "some", "", "words", ""], [Replaceable(1, 5, ("a",)), Replaceable(7, 12, ("b",))]
    )
    assert {tuple(variant.words) for variant in made} == {
        ("", first, "", second, "") for first in ("some", "a") for second in ("words", "b")
    }
