"""One way to answer texts, measured in a process of its own, which inference.py starts.

    python benchmarks/answering.py '{"model": FOLDER, "texts": FILE, "logits": FILE, ...}'

An exported folder is asked with bertling's predictor, in a process without torch; any other one as a plain
PyTorch service would do it. What it prints last is a line of json.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]
Answer = Callable[[Sequence[str]], Logits]

_WARMUP_TEXTS = 10
_LEAST_SECONDS = 3.0
"""the texts are passed until then"""


class Question(NamedTuple):
    """What is measured.

    Attributes:
        model: folder, exported or as transformers saves it.
        texts: json file with a list of them.
        logits: .npy file for the answers.
        length: longer texts are cut; an export has a limit of its own.
        padded: to that length, in PyTorch.
        threads: for the products of one batch.
        workers: of an export, batches that are computed at the same time.
        batch_size: of an export, texts of like length that are computed together.
    """

    model: str
    texts: str
    logits: str
    length: int
    padded: bool
    threads: int
    workers: int
    batch_size: int


def main() -> None:
    question = Question(**json.loads(sys.argv[1]))
    texts: list[str] = json.loads(Path(question.texts).read_text(encoding="utf-8"))
    exported = (Path(question.model) / "predictor.json").is_file()
    answer = _exported(question) if exported else _pytorch(question)
    answer(texts[:1])
    first_answer = monotonic()
    for text in texts[:_WARMUP_TEXTS]:
        answer([text])
    alone, logits = _passes(answer, [[text] for text in texts])
    whole = alone
    if question.workers > 1 or question.batch_size > 1:
        whole, logits = _passes(answer, [texts])
    np.save(question.logits, np.concatenate(logits))
    p50, p99 = np.percentile(alone, (50, 99)).tolist()
    passes = len(whole) // len(logits)
    figures = {
        "first_answer": first_answer,
        "latency_p50": 1000 * p50,
        "latency_p99": 1000 * p99,
        "throughput": passes * len(texts) / sum(whole),
        "memory": _highest_memory(),
    }
    print(json.dumps(figures))


def _passes(answer: Answer, parts: Sequence[Sequence[str]]) -> tuple[list[float], list[Logits]]:
    """Seconds of each part in each of some whole passes over all of them, and the last one's answers."""
    seconds: list[float] = []
    logits: list[Logits] = []
    while sum(seconds) < _LEAST_SECONDS:
        logits = []
        for part in parts:
            start = perf_counter()
            logits.append(answer(part))
            seconds.append(perf_counter() - start)
    return seconds, logits


def _exported(question: Question) -> Answer:
    from bertling import Predictor

    return Predictor(
        question.model,
        threads=question.threads,
        workers=question.workers,
        batch_size=question.batch_size,
    ).logits


def _pytorch(question: Question) -> Answer:
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(question.threads)
    tokenizer = AutoTokenizer.from_pretrained(question.model)
    model = AutoModelForSequenceClassification.from_pretrained(question.model).eval()
    padding: Any = "max_length" if question.padded else False

    @torch.inference_mode()
    def answer(texts: Sequence[str]) -> Logits:
        rows = []
        for text in texts:
            inputs = tokenizer(
                text, truncation=True, max_length=question.length, padding=padding, return_tensors="pt"
            )
            rows.append(model(**inputs).logits[0].numpy())
        return np.stack(rows)

    return answer


def _highest_memory() -> int:
    """Bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) << 10


if __name__ == "__main__":
    main()
