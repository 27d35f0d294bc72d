"""What a model answers, over the windows of a context."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests import tiny
from torch import Tensor, nn

from bertling.data.answer_tokenization import tokenize_questions
from bertling.data.examples import Answer
from bertling.errors import ModelError
from bertling.evaluation.answers import MOST_ANSWER_TOKENS, answer_questions, best_span

QUESTIONS = ["w0 w1", "w2"]
CONTEXTS = ["w10 w11 w12 w13 w14 w15 w16 w17 w18 w19", "w20x3 w21"]


class Scripted(nn.Module):
    """Gives chosen token ids their logits of start and end, and all others 0."""

    def __init__(self, starts: dict[str, float], ends: dict[str, float], **special: float) -> None:
        super().__init__()
        self.device = torch.device("cpu")
        self.name_or_path = "scripted"
        ids = tiny.tokenizer().get_vocab()
        self._tables = [torch.zeros(tiny.VOCABULARY) for _ in range(2)]
        for table, chosen in zip(self._tables, (starts, ends), strict=True):
            for word, value in {**chosen, "[CLS]": special.get("null", 0.0) / 2}.items():
                table[ids[word]] = value

    def forward(self, input_ids: Tensor, **others: Any) -> SimpleNamespace:
        starts, ends = (table[input_ids] for table in self._tables)
        return SimpleNamespace(start_logits=starts, end_logits=ends)


def answered(model: Scripted, *, unanswerable: bool = True) -> Any:
    rows = tokenize_questions(tiny.tokenizer(), QUESTIONS, CONTEXTS, max_length_tokens=10, stride_tokens=2)
    assert len(rows) > len(QUESTIONS)
    return answer_questions(
        model,  # type: ignore[arg-type]
        tiny.tokenizer(),
        rows,
        CONTEXTS,
        unanswerable=unanswerable,
        batch_size=2,
    )


def test_the_best_part_of_any_window_is_the_answer_as_it_stands_in_the_context() -> None:
    model = Scripted({"w17": 5.0, "w12": 4.0, "w20": 1.0}, {"w18": 5.0, "w13": 4.0, "##x3": 1.0}, null=3.0)
    found = answered(model)
    assert found["text"].tolist() == ["w17 w18", "w20x3"]
    assert found["null_odds"].tolist() == [-7.0, 1.0]


def test_tokens_of_the_question_are_no_answer() -> None:
    found = answered(Scripted({"w0": 9.0, "w11": 1.0}, {"w1": 9.0, "w11": 1.0}))
    assert found["text"][0] == "w11"


def test_without_unanswerable_questions_there_is_always_an_answer() -> None:
    found = answered(Scripted({"w11": 1.0}, {"w11": 1.0}, null=50.0), unanswerable=False)
    assert found["text"][0] == "w11"
    assert (found["null_odds"] == -np.inf).all()


def test_confidence_is_the_probability_of_both_ends_in_their_window() -> None:
    found = answered(Scripted({"w20": 2.0}, {"w21": 2.0}))
    # [CLS] w2 [SEP] w20 ##x3 w21 [SEP]: one of seven tokens has the logit 2.
    assert found["confidence"][1] == pytest.approx((math.exp(2) / (math.exp(2) + 6)) ** 2)
    none = answered(Scripted({}, {}, null=4.0))
    assert none["confidence"][1] == pytest.approx((math.exp(2) / (math.exp(2) + 6)) ** 2)


def test_outputs_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ModelError, match=r"NaN or infinite outputs for 1 of 2 questions"):
        answered(Scripted({"w21": math.nan}, {}))


@pytest.mark.parametrize("seed", range(3))
def test_the_best_span_is_that_of_a_search_through_all(seed: int) -> None:
    chance = np.random.default_rng(seed)
    starts, ends = chance.normal(size=(2, 50))
    allowed = chance.random(50) < 0.7
    ends[49], starts[2], allowed[[2, 49]] = 9.0, 9.0, True  # too far apart for one answer
    spans = [
        (starts[begin] + ends[end], begin, end)
        for begin in range(50)
        for end in range(begin, min(50, begin + MOST_ANSWER_TOKENS))
        if allowed[begin] and allowed[end]
    ]
    score, begin, end = best_span(starts, ends, allowed)
    assert score == pytest.approx(max(spans)[0])
    assert (begin, end) == max(spans)[1:]
    assert best_span(starts, ends, np.zeros(50, dtype=bool))[0] == -np.inf


def test_a_real_model_gives_the_same_answers_for_any_batch_size() -> None:
    rows = tokenize_questions(
        tiny.tokenizer(), QUESTIONS, CONTEXTS, answers=[[Answer("w11", 4)], []], max_length_tokens=10
    )
    model = tiny.answerer()
    found = [
        answer_questions(model, tiny.tokenizer(), rows, CONTEXTS, unanswerable=True, batch_size=size)
        for size in (1, 8)
    ]
    assert found[0]["text"].tolist() == found[1]["text"].tolist()
    assert found[0]["null_odds"] == pytest.approx(found[1]["null_odds"], abs=1e-4)
