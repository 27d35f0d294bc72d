"""Latency: how long one text takes, with the models timed in turn so that all see the same machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from time import perf_counter_ns

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from bertling.errors import DataError, ModelError
from bertling.objectives.sentence_losses import text_embeddings

Text = tuple[str, str | None]
"""A text and, for pairs, the second text."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds for one text, over ``count`` texts.

    Attributes:
        p50_ms: median.
        p95_ms: 95th percentile, interpolated between neighbouring times.
        p99_ms: 99th percentile, likewise.
        count: texts that were timed.
    """

    p50_ms: float
    p95_ms: float
    p99_ms: float
    count: int


def measure_latency(
    models: Mapping[str, Callable[[str, str | None], object]],
    texts: Sequence[Text],
    *,
    threads: int,
    warmup: int = 10,
) -> dict[str, Latency]:
    """Time every model on every text, one text at a time (batch 1).

    All models take the first text, then all take the second, and so on, and another model begins on each
    text: a machine that slows down or is shared slows all of them alike, and none always runs on caches
    that the same other one left behind. Runs in inference mode.

    Args:
        models: name -> function of a text and its second text, such as ``text_classifier`` makes.
        texts: what is timed, each text once.
        threads: torch's threads while timing; the number before is restored.
        warmup: rounds that run first and are not timed, over the first texts, from the start again where
            there are fewer.

    Returns:
        name -> its latency, in the order of ``models``.

    Raises:
        DataError: no texts.
    """
    if not texts:
        raise DataError("got no texts to time; latency needs at least one")
    times_ns: dict[str, list[int]] = {name: [] for name in models}
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            for text, text_pair in islice(cycle(texts), warmup):
                for classify in models.values():
                    classify(text, text_pair)
            for index, (text, text_pair) in enumerate(texts):
                for name in _rotated(list(models), index):
                    classify = models[name]
                    start = perf_counter_ns()
                    classify(text, text_pair)
                    times_ns[name].append(perf_counter_ns() - start)
    finally:
        torch.set_num_threads(threads_before)
    return {name: _summary(times) for name, times in times_ns.items()}


def text_classifier(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length_tokens: int
) -> Callable[[str, str | None], Tensor]:
    """A function from a text, and its second text or None, to the model's logits, for ``measure_latency``.

    What a user waits for counts: tokenisation, the forward pass, and the logits' way back from an
    accelerator. Puts ``model`` in eval mode.

    Args:
        model: a float32 model with a classification or regression head, on the device to measure.
        tokenizer: its tokenizer.
        max_length_tokens: longer texts are cut.

    Returns:
        the function; its logits are (1, C), on the CPU.

    Raises:
        ModelError: the model is not float32.
    """
    _require_float32(model)
    model.eval()

    def classify(text: str, text_pair: str | None) -> Tensor:
        inputs = tokenizer(
            text, text_pair, truncation=True, max_length=max_length_tokens, return_tensors="pt"
        )
        logits: Tensor = model(**inputs.to(model.device)).logits
        return logits.cpu()  # on an accelerator this waits for the result, as its user does

    return classify


def text_embedder(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, max_length_tokens: int
) -> Callable[[str, str | None], Tensor]:
    """A function from a text to its embedding, for ``measure_latency``; the second text is not read.

    Args:
        model: a float32 encoder, on the device to measure; it is put in eval mode.
        tokenizer: its tokenizer.
        max_length_tokens: longer texts are cut.

    Returns:
        the function; its embeddings are (1, D), on the CPU.

    Raises:
        ModelError: the model is not float32.
    """
    _require_float32(model)
    model.eval()

    def embed(text: str, text_pair: str | None) -> Tensor:
        inputs = tokenizer(text, truncation=True, max_length=max_length_tokens, return_tensors="pt")
        states = model(**inputs.to(model.device)).last_hidden_state
        return text_embeddings(states, inputs["attention_mask"].bool()).cpu()

    return embed


def question_answerer(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, max_length_tokens: int, stride_tokens: int
) -> Callable[[str, str | None], Tensor]:
    """A function from a question and its context to the logits of all windows, for ``measure_latency``.

    Args:
        model: a float32 model that answers questions, on the device to measure; it is put in eval mode.
        tokenizer: its tokenizer.
        max_length_tokens: of a window.
        stride_tokens: that neighbouring windows share.

    Returns:
        the function; its logits are (windows, T, 2), on the CPU.

    Raises:
        ModelError: the model is not float32.
    """
    _require_float32(model)
    model.eval()

    def answer(question: str, context: str | None) -> Tensor:
        inputs = tokenizer(
            question,
            context,
            truncation="only_second",
            max_length=max_length_tokens,
            stride=stride_tokens,
            return_overflowing_tokens=True,
            padding=True,
            return_tensors="pt",
        )
        inputs.pop("overflow_to_sample_mapping")
        output = model(**inputs.to(model.device))
        return torch.stack([output.start_logits, output.end_logits], dim=-1).cpu()

    return answer


def _require_float32(model: PreTrainedModel) -> None:
    if model.dtype != torch.float32:
        raise ModelError(
            f"got a model in {model.dtype}; latencies compare models in float32. "
            "Load it with dtype=torch.float32"
        )


def _rotated(names: list[str], by: int) -> list[str]:
    return [names[(position + by) % len(names)] for position in range(len(names))]


def _summary(times_ns: list[int]) -> Latency:
    p50, p95, p99 = np.percentile(np.asarray(times_ns) / 1e6, (50, 95, 99))
    return Latency(p50_ms=float(p50), p95_ms=float(p95), p99_ms=float(p99), count=len(times_ns))
