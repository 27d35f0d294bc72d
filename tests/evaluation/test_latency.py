from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import astuple

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import BertProcessing
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from bertling.errors import DataError, ModelError
from bertling.evaluation import latency
from bertling.evaluation.latency import measure_latency, text_classifier

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "small", "fast", "encoder"]


class Clock:
    """A clock that stands still until a fake model moves it."""

    def __init__(self) -> None:
        self.now_ns = 0

    def model(self, *times_ms: float) -> Callable[[str, str | None], None]:
        times: Iterator[float] = iter(times_ms)

        def run(text: str, text_pair: str | None) -> None:
            self.now_ns += round(next(times) * 1e6)

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(latency, "perf_counter_ns", lambda: clock.now_ns)
    return clock


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerFast:
    backend = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    backend.pre_tokenizer = Whitespace()
    backend.post_processor = BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )


@pytest.fixture
def model() -> BertForSequenceClassification:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        id2label={0: "no", 1: "maybe", 2: "yes"},
        hidden_dropout_prob=0.5,
    )
    return BertForSequenceClassification(config)


def texts(count: int) -> list[tuple[str, str | None]]:
    return [(f"text {index}", None) for index in range(count)]


def test_percentiles_of_known_times(clock: Clock) -> None:
    measured = measure_latency(
        {"slow": clock.model(10, 20, 30, 40, 50), "fast": clock.model(1, 1, 1, 1, 2)},
        texts(5),
        threads=1,
        warmup=0,
    )
    # the 95th percentile lies 0.8 of the way from the fourth to the fifth of five times, the 99th 0.96
    assert list(measured) == ["slow", "fast"]
    assert astuple(measured["slow"]) == pytest.approx((30.0, 48.0, 49.6, 5))
    assert astuple(measured["fast"]) == pytest.approx((1.0, 1.8, 1.96, 5))


def test_warmup_is_not_counted(clock: Clock) -> None:
    measured = measure_latency({"one": clock.model(900, 900, 900, 2, 4)}, texts(2), threads=1, warmup=3)
    assert astuple(measured["one"]) == pytest.approx((3.0, 3.9, 3.98, 2))


def test_models_take_turns_on_each_text_and_another_one_begins() -> None:
    calls: list[tuple[str, str, str | None]] = []
    models = {
        name: lambda text, text_pair, name=name: calls.append((name, text, text_pair))
        for name in ("a", "b", "c")
    }
    measure_latency(models, [("t0", "p0"), ("t1", None), ("t2", "p2")], threads=1, warmup=0)
    assert calls == [
        ("a", "t0", "p0"),
        ("b", "t0", "p0"),
        ("c", "t0", "p0"),
        ("b", "t1", None),
        ("c", "t1", None),
        ("a", "t1", None),
        ("c", "t2", "p2"),
        ("a", "t2", "p2"),
        ("b", "t2", "p2"),
    ]


def test_warmup_starts_again_where_texts_are_few() -> None:
    seen: list[str] = []
    measure_latency({"one": lambda text, _: seen.append(text)}, texts(2), threads=1, warmup=3)
    assert seen == ["text 0", "text 1", "text 0", "text 0", "text 1"]


def test_threads_are_set_while_timing_and_restored() -> None:
    before = torch.get_num_threads()
    seen: list[tuple[int, bool]] = []

    def look(text: str, text_pair: str | None) -> None:
        seen.append((torch.get_num_threads(), torch.is_inference_mode_enabled()))

    measure_latency({"one": look}, texts(1), threads=before + 1, warmup=1)
    assert seen == [(before + 1, True)] * 2
    assert torch.get_num_threads() == before


def test_threads_are_restored_after_an_error() -> None:
    before = torch.get_num_threads()

    def fail(text: str, text_pair: str | None) -> None:
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        measure_latency({"one": fail}, texts(1), threads=before + 1)
    assert torch.get_num_threads() == before


def test_no_texts_is_an_error() -> None:
    with pytest.raises(DataError, match="at least one"):
        measure_latency({"one": lambda text, text_pair: None}, [], threads=1)


def test_a_text_classifier_gives_the_models_logits_without_dropout(
    model: BertForSequenceClassification, tokenizer: PreTrainedTokenizerFast
) -> None:
    model.train()
    classify = text_classifier(model, tokenizer, max_length_tokens=16)
    with torch.inference_mode():
        expected = model(input_ids=torch.tensor([[2, 4, 5, 3]])).logits
        expected_pair = model(
            input_ids=torch.tensor([[2, 4, 3, 7, 3]]), token_type_ids=torch.tensor([[0, 0, 0, 1, 1]])
        ).logits
        torch.testing.assert_close(classify("a small", None), expected)
        torch.testing.assert_close(classify("a", "encoder"), expected_pair)
    assert expected.shape == (1, 3)


def test_a_text_classifier_cuts_long_texts(
    model: BertForSequenceClassification, tokenizer: PreTrainedTokenizerFast
) -> None:
    classify = text_classifier(model, tokenizer, max_length_tokens=4)
    with torch.inference_mode():
        torch.testing.assert_close(classify("a small fast encoder", None), classify("a small", None))


def test_a_text_classifier_refuses_other_precisions(
    model: BertForSequenceClassification, tokenizer: PreTrainedTokenizerFast
) -> None:
    with pytest.raises(ModelError, match="bfloat16"):
        text_classifier(model.bfloat16(), tokenizer, max_length_tokens=4)


def test_real_models_can_be_timed(
    model: BertForSequenceClassification, tokenizer: PreTrainedTokenizerFast
) -> None:
    classify = text_classifier(model, tokenizer, max_length_tokens=8)
    measured = measure_latency(
        {"model": classify}, [("a small", "encoder"), ("fast", None)], threads=1, warmup=1
    )
    assert measured["model"].count == 2
    assert 0 < measured["model"].p50_ms <= measured["model"].p95_ms
