"""Tiny tasks with labels of words, and with several labels of a text, for whole runs."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import tomli_w
from tests.pipeline import words

TAGS = ["B-A", "B-B", "I-A", "O"]
TOPICS = ["first", "second", "third"]


def sentences(count: int, *, seed: int) -> list[list[tuple[str, str]]]:
    """2 to 7 words, each with its tag: w0 begins a chunk and w1 goes on with it, w2 is one by itself."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        sentence: list[tuple[str, str]] = []
        while len(sentence) < 2 or (len(sentence) < 6 and chance.random() < 0.6):
            sentence += chance.choice(
                [
                    [("w0x3", "B-A"), ("w1", "I-A")],
                    [("w2", "B-B")],
                    [(f"w{chance.randrange(3, 98)}", "O")],
                ]
            )
        made.append(sentence)
    return made


def write_conll(path: Path, rows: list[list[tuple[str, str]]]) -> None:
    lines = ["\n".join(f"{word} X {tag}" for word, tag in row) for row in rows]
    path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")


def write_words_task(folder: Path) -> None:
    """``teacher/``, ``train.txt``, ``test.txt``, and ``recipe.toml`` with both task stages."""
    write_conll(folder / "train.txt", sentences(64, seed=1))
    write_conll(folder / "test.txt", sentences(24, seed=2))
    _write_recipe(folder, {"word_labels": True}, train="train.txt", test="test.txt")


def write_topics_task(folder: Path) -> None:
    """The same with several labels of a text, w0, w1 and w2 being one each; no test file."""
    chance = random.Random(1)
    rows = []
    for _ in range(240):
        chosen = [label for label in range(3) if chance.random() < 0.5]
        text = [f"w{label}" for label in chosen] + [f"w{chance.randrange(3, 98)}" for _ in range(3)]
        rows.append({"text": " ".join(text), "label": [TOPICS[label] for label in chosen]})
    words.write_jsonl(folder / "train.jsonl", rows)
    _write_recipe(folder, {"multi_label": True}, train="train.jsonl", held_out_fraction=0.25)


def _write_recipe(folder: Path, task: dict[str, Any], **data: Any) -> None:
    words.write_teacher(folder / "teacher")
    data |= {key: str(folder / data[key]) for key in ("train", "test") if key in data}
    training = {"epochs": 3, "batch_size": 16, "learning_rate": 3e-3, "log_steps": 2}
    tables: dict[str, Any] = {
        "name": "kinds",
        "threads": 1,
        "output": str(folder / "run"),
        "task": {"name": "kinds", **task},
        "data": {**data, "max_length_tokens": 12},
        "teacher": {"model": str(folder / "teacher"), **training, "epochs": 12},
        "student": {"layers": 2, "width": 16, "heads": 4, "ffn": 24},
        "intermediate": training,
        "prediction": {**training, "terms": {"prediction": 1.0, "labels": 0.5}},
        "evaluate": {"yardsticks": ["majority"], "latency_texts": 2},
        "report": {},
    }
    (folder / "recipe.toml").write_text(tomli_w.dumps(tables), encoding="utf-8")
