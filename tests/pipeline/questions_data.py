"""Tiny questions for whole runs: in a text of words, w90 to w97 are what answers them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import tomli_w
from tests.pipeline import words


def articles(count: int, *, seed: int, unanswerable: bool = True) -> list[dict[str, Any]]:
    """Articles of two paragraphs with a question each, in SQuAD's layout.

    A context of 4 to 12 words holds one answer of one or two words or, where that may be, none.
    """
    chance = random.Random(seed)
    return [
        {"title": f"article {number}", "paragraphs": [_paragraph(chance, unanswerable) for _ in range(2)]}
        for number in range(count)
    ]


def _paragraph(chance: random.Random, unanswerable: bool) -> dict[str, Any]:
    before, behind = (
        "".join(f"w{chance.randrange(3, 90)} " for _ in range(chance.randrange(2, 6))) for _ in "ab"
    )
    answer = " ".join(f"w{chance.randrange(90, 98)}" for _ in range(chance.randrange(1, 3)))
    asked: dict[str, Any] = {"id": "1", "question": f"w{chance.randrange(3)}", "answers": []}
    if unanswerable and chance.random() < 0.4:
        return {"context": before + behind.strip(), "qas": [asked | {"is_impossible": True}]}
    asked["answers"] = [{"text": answer, "answer_start": len(before)}]
    return {"context": f"{before}{answer} {behind}".strip(), "qas": [asked]}


def write_squad(path: Path, data: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps({"version": "v2.0", "data": data}), encoding="utf-8")
    return path


def write_task(folder: Path, *, unanswerable: bool = True) -> None:
    """``teacher/``, ``train.json``, ``test.json``, and ``recipe.toml`` with both task stages."""
    write_squad(folder / "train.json", articles(32, seed=1, unanswerable=unanswerable))
    write_squad(folder / "test.json", articles(16, seed=2, unanswerable=unanswerable))
    words.write_teacher(folder / "teacher")
    training = {"epochs": 3, "batch_size": 8, "learning_rate": 5e-3, "log_steps": 2}
    tables: dict[str, Any] = {
        "name": "questions",
        "threads": 1,
        "output": str(folder / "run"),
        "task": {"name": "questions", "question_answering": True, "unanswerable": unanswerable},
        "data": {
            "train": str(folder / "train.json"),
            "test": str(folder / "test.json"),
            "max_length_tokens": 12,
            "stride_tokens": 3,
        },
        "teacher": {"model": str(folder / "teacher"), **training, "learning_rate": 3e-3, "epochs": 6},
        "student": {"layers": 2, "width": 16, "heads": 4, "ffn": 24},
        "intermediate": training,
        "prediction": {**training, "terms": {"prediction": 1.0, "labels": 0.5}},
        "evaluate": {"yardsticks": ["overlap"] + ["no_answer"] * unanswerable, "latency_texts": 2},
        "report": {},
    }
    (folder / "recipe.toml").write_text(tomli_w.dumps(tables), encoding="utf-8")
