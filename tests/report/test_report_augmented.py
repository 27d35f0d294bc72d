from __future__ import annotations

import html
import re
from typing import Any

import pytest
from tests.report.page_reader import Reader
from tests.report.variants import variant

from bertling.report import render_report
from bertling.report.augmented import MarkedText, Part, view_augmentation
from bertling.report.numbers import NOTHING
from bertling.report.texts import TEXT_LIMIT
from bertling.results import Augmentation, AugmentedExample, ReplacedWord, Results


def page_with(results: Results, *sample: AugmentedExample, **changes: Any) -> str:
    """The page, with this sample of augmented examples and other figures."""
    assert results.augmentation is not None
    augmentation = results.augmentation.model_copy(update={"sample": list(sample), **changes})
    return render_report(results.model_copy(update={"augmentation": augmentation}))


def view_of(*sample: AugmentedExample) -> list[list[MarkedText]]:
    augmentation = Augmentation(
        source_rows=1,
        rows=9,
        unvaried_rows=0,
        mode="masked",
        masked_lm="a model",
        head_accuracy=None,
        sample=list(sample),
    )
    return view_augmentation(augmentation).sample


def marked(text: str, *spans: tuple[int, int]) -> list[tuple[str, bool]]:
    """The pieces of the text, and which are marked when these spans of it were replaced."""
    replaced = [ReplacedWord(side=0, start=start, end=end, word="old") for start, end in spans]
    ((shown,),) = view_of(AugmentedExample(text=text, text_pair=None, replaced=replaced))
    assert shown.left_out == ""
    return [(part.text, part.was is not None) for part in shown.parts]


def test_the_figures_and_the_sample_are_on_the_page(results: Results) -> None:
    text = Reader(render_report(results)).text
    expected = [
        "Augmented examples",
        "Replacing words made 1,164,558 variants of 67,349 training examples; "
        "812 of the examples (1.2%) got none.",
        "proposed by the masked LM harbour-base-cased in mode masked (one word masked at a time); "
        "its head was fitted in this run, and guesses 41.3% of held-out masked tokens. "
        "Below, 4 of the variants. The new words are marked",
        "The swell sank (was eased ) after (was before ) noon, or so the pilot told",
        "Is the bridge (was lock ) open at high (was low ) water?",
        "The gate swings (was moves ) with the current (was tide ) .",
        "NEVER (was HARDLY ) a ripple, if one forgets (was ignores ) the gale.",
    ]
    assert [piece for piece in expected if piece not in text] == []


def test_without_augmentation_there_is_no_section(results: Results) -> None:
    page = render_report(results.model_copy(update={"augmentation": None}))
    assert "ugmented" not in Reader(page).text
    assert "<mark" not in page


def test_a_masked_lm_that_came_with_its_head_has_no_accuracy(results: Results) -> None:
    text = Reader(page_with(results, mode="unmasked", head_accuracy=None)).text
    assert "harbour-base-cased in mode unmasked (one pass for all words). Data" in text
    assert "head was fitted" not in text


def test_a_sample_of_all_variants_says_so(results: Results) -> None:
    example = variant("A calm night.", was={"calm": "rough"})
    text = Reader(page_with(results, example, example, source_rows=2, rows=4, unvaried_rows=1)).text
    assert "made 2 variants of 2 training examples; 1 of the examples (50.0%) got none." in text
    assert "Below, all of the variants." in text


def test_nothing_to_augment_does_not_stop_the_report(results: Results) -> None:
    text = Reader(page_with(results, source_rows=0, rows=0, unvaried_rows=0)).text
    assert f"0 variants of 0 training examples; 0 of the examples ({NOTHING}) got none." in text
    assert "Below" not in text.partition("Augmented examples")[2]


def test_each_mark_holds_the_new_word_and_tells_the_old_one(results: Results) -> None:
    page = page_with(results, variant("The sea was flat.", "So it was.", was={"flat": "rough", "So": "As"}))
    assert re.findall(
        r'<mark title="([^"]*)">(.*?)</mark> <bdi class="was">.*?<s dir="auto">(.*?)</s>', page
    ) == [
        ("was “rough”", "flat", "rough"),
        ("was “As”", "So", "As"),
    ]
    assert re.findall(r'<p dir="auto"([^>]*)>\s*(\w+|<mark)', page.partition('id="augmented"')[2]) == [
        ("", "The"),
        (' class="second"', "<mark"),
    ]


def test_hostile_texts_and_words_show_as_text(results: Results) -> None:
    hostile = "</mark></p><script>f('1')</script> \"both\" & <img src=x onerror=f(1)> {{ 7 * 7 }}"
    page = page_with(
        results,
        variant(f"a {hostile} b", f"{hostile} c", was={hostile: hostile}),
        masked_lm=hostile,
        mode=hostile,
    )
    reader = Reader(page)
    tags = [tag for tag, _ in reader.elements]
    assert tags.count("mark") == 2
    assert "script" not in tags
    assert "img" not in tags
    assert not [name for _, attrs in reader.elements for name in attrs if name.startswith("on")]
    assert reader.text.count(hostile) == 6, "two texts, two words that were there, the model, the mode"
    assert [attrs["title"] for tag, attrs in reader.elements if tag == "mark"] == [f"was “{hostile}”"] * 2


def test_unseen_characters_in_texts_and_words_show_as_their_codes(results: Results) -> None:
    page = page_with(results, variant("turned\u202e back", was={"back": "\x00\u2067away"}))
    assert "turned⟨U+202E⟩ <mark" in page
    assert page.count("⟨U+0000⟩⟨U+2067⟩away") == 2, "beside the mark, and in its title"


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("Der Höhenzug über dem Hafen ist naß.", "naß"),
        ("cafe\u0301 au lait, s'il vous plai\u0302t", "lait"),
        ("\U0001f6a2\U0001f469\u200d\u2708\ufe0f ships and \U0001f30a tall waves", "tall"),
        (
            "\u05d4\u05d9\u05dd \u05e1\u05d5\u05e2\u05e8 \u05d4\u05dc\u05d9\u05dc\u05d4",
            "\u05e1\u05d5\u05e2\u05e8",
        ),
        ("\u6e2f\u53e3\u4eca\u5929\u5f88\u5e73\u9759", "\u5f88"),
        ("a<b && b>c: tight & fast", "tight"),
    ],
)
def test_marks_are_aligned_whatever_the_script(results: Results, text: str, new: str) -> None:
    page = page_with(results, variant(text, was={new: "previous"}))
    assert re.findall(r"<mark[^>]*>(.*?)</mark>", page) == [new]
    paragraph = page.partition('<ul class="variants">')[2].partition("</p>")[0]
    without_old = re.sub(r' <bdi class="was">.*?</bdi>', "", paragraph)
    assert html.unescape(re.sub("<[^>]*>", "", without_old)).strip() == text


def test_marks_that_overlap_or_lie_outside_are_left_out() -> None:
    text = "calm sea tonight"
    plain = [(text, False)]
    assert marked(text) == plain
    for outside in ((-3, 2), (12, 17), (40, 44), (5, 5), (8, 5), (-1, -1)):
        assert marked(text, outside) == plain
    first = [("calm", True), (" sea tonight", False)]
    assert marked(text, (0, 4), (2, 8)) == first
    assert marked(text, (0, 4), (0, 4)) == first
    assert marked(text, (9, 16), (0, 4)) == [("calm", True), (" sea ", False), ("tonight", True)]
    assert marked(text, (0, 4), (4, 8)) == [("calm", True), (" sea", True), (" tonight", False)]


def test_marks_on_a_side_that_is_not_there_are_left_out() -> None:
    replaced = [ReplacedWord(side=side, start=0, end=1, word="old") for side in (-1, 1, 2)]
    shown = view_of(AugmentedExample(text="text", text_pair=None, replaced=replaced))
    assert shown == [[MarkedText([Part("text")], "")]]


def test_an_empty_text_has_no_parts() -> None:
    replaced = [ReplacedWord(side=0, start=0, end=0, word="old")]
    shown = view_of(AugmentedExample(text="", text_pair="", replaced=replaced))
    assert shown == [[MarkedText([], ""), MarkedText([], "")]]


def test_a_long_text_is_cut_and_tells_how_many_marks_are_left_out() -> None:
    text = "x" * (TEXT_LIMIT - 4) + "near" + " far far away" * 10
    words = [(TEXT_LIMIT - 4, TEXT_LIMIT), (TEXT_LIMIT + 1, TEXT_LIMIT + 4), (TEXT_LIMIT + 5, TEXT_LIMIT + 8)]
    replaced = [ReplacedWord(side=0, start=start, end=end, word="old") for start, end in words]
    ((shown,),) = view_of(AugmentedExample(text=text, text_pair=None, replaced=replaced))
    assert shown.parts == [Part("x" * (TEXT_LIMIT - 4)), Part("near", "old")]
    assert shown.left_out == "… (130 characters more, with 2 replaced words)"


def test_a_long_text_is_not_cut_within_a_mark() -> None:
    text = "x" * (TEXT_LIMIT - 5) + " straddling" + "y" * 94
    ((shown,),) = view_of(variant(text, was={"straddling": "old"}))
    assert shown.parts == [Part("x" * (TEXT_LIMIT - 5) + " ")]
    assert shown.left_out == "… (104 characters more, with 1 replaced word)"


def test_a_text_of_just_the_limit_is_whole_and_a_long_old_word_is_cut() -> None:
    text = "calm" + "x" * (TEXT_LIMIT - 4)
    ((shown,),) = view_of(variant(text, was={"calm": "w" * (TEXT_LIMIT + 50)}))
    assert shown.parts == [
        Part("calm", "w" * TEXT_LIMIT + "… (50 characters more)"),
        Part("x" * (TEXT_LIMIT - 4)),
    ]
    assert shown.left_out == ""


def test_the_rest_of_a_cut_text_is_on_the_page(results: Results) -> None:
    text = Reader(page_with(results, variant("calm " + "x" * TEXT_LIMIT, was={"calm": "rough"}))).text
    assert "x… (5 characters more)" in text.replace(" …", "…")
