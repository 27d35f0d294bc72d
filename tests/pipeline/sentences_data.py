"""Tiny pairs of texts for whole runs: they are as similar as they have words in common."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import tomli_w
from tests.pipeline import words


def pairs(count: int, *, seed: int) -> list[tuple[str, str, float]]:
    """Two texts of 4 words, and 0 to 5 for the share of words that they share."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        first = chance.sample(range(2, 98), 4)
        shared = chance.randrange(5)
        second = first[:shared] + [word for word in chance.sample(range(2, 98), 8) if word not in first]
        texts = [" ".join(f"w{word}" for word in chosen) for chosen in (first, second[:4])]
        made.append((texts[0], texts[1], 5 * shared / 4))
    return made


def write_task(folder: Path) -> None:
    """``teacher/``, ``train.tsv``, ``test.tsv``, ``corpus.txt``; ``recipe.toml`` with both task stages."""
    words.write_teacher(folder / "teacher")
    for name, count, seed in (("train", 64, 1), ("test", 32, 2)):
        header = ("text", "text_pair", "label")
        words.write_tsv(folder / f"{name}.tsv", pairs(count, seed=seed), header)
    corpus = "".join(f"{text}\n" for text, _, _ in pairs(24, seed=3))
    (folder / "corpus.txt").write_text(corpus, encoding="utf-8")
    training = {"epochs": 3, "batch_size": 8, "learning_rate": 3e-3, "log_steps": 2}
    tables: dict[str, Any] = {
        "name": "sentences",
        "threads": 1,
        "output": str(folder / "run"),
        "task": {"name": "sentences", "sentence_embeddings": True},
        "data": {
            "train": str(folder / "train.tsv"),
            "test": str(folder / "test.tsv"),
            "unlabelled": str(folder / "corpus.txt"),
            "max_length_tokens": 8,
        },
        "teacher": {"model": str(folder / "teacher"), "fine_tune": False},
        "student": {"layers": 2, "width": 16, "heads": 4, "ffn": 24},
        "intermediate": {**training, "unlabelled": True},
        "prediction": {**training, "unlabelled": True},
        "baseline": training,
        "evaluate": {"yardsticks": ["tfidf_cosine", "tfidf", "majority"], "latency_texts": 2},
        "report": {},
    }
    (folder / "recipe.toml").write_text(tomli_w.dumps(tables), encoding="utf-8")
