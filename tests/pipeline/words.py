"""A tiny task for whole runs: a text holds the word w0, and is good, or the word w1, and is bad."""

from __future__ import annotations

import io
import json
import os
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from rich.console import Console
from tests import tiny
from transformers import BertTokenizer

from bertling import pipeline
from bertling.recipe.load import load_recipe
from bertling.recipe.schema import Recipe
from bertling.results import Results

ROOT = Path(__file__).parents[2]
STAGES = [
    *("data", "corpus", "teacher", "initialize", "general", "intermediate", "prediction", "baseline"),
    "evaluate",
]
"""of the recipe that ``write_task`` writes"""

SMALL = (
    "general=none",
    "intermediate=none",
    "baseline=none",
    "report=none",
    "evaluate.yardsticks=none",
    "teacher.epochs=2",
    "teacher.accept_weak=true",
    "prediction.epochs=1",
)
"""Overrides that leave the shortest run there is, with a teacher that has learned little."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        recipe: what ran.
        results: what it returned.
        printed: on its console.
    """

    recipe: Recipe
    results: Results
    printed: str

    @property
    def folder(self) -> Path:
        return self.recipe.folder

    @property
    def ran(self) -> list[str]:
        """The stages that were not skipped."""
        lines = [line.split() for line in self.printed.splitlines()]
        return [words[0] for words in lines if words[1:] in (["starts"], ["goes", "on"])]

    @property
    def skipped(self) -> list[str]:
        return [line.split()[0] for line in self.printed.splitlines() if line.endswith("skipped")]


def texts(count: int, *, seed: int) -> list[tuple[str, str]]:
    """Texts of 2 to 8 words, each with its label."""
    chance = random.Random(seed)
    made = []
    for _ in range(count):
        words = [f"w{chance.randrange(2, 98)}" for _ in range(chance.randrange(1, 8))]
        label = chance.choice(["good", "bad"])
        words.insert(chance.randrange(len(words) + 1), "w0" if label == "good" else "w1")
        made.append((" ".join(words), label))
    return made


def write_tsv(
    path: Path, rows: Sequence[Sequence[object]], header: Sequence[str] = ("text", "label")
) -> None:
    lines = ["\t".join(map(str, row)) for row in [header, *rows]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_jsonl(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_teacher(folder: Path, architecture: str = "bert", **settings: Any) -> None:
    """A pretrained encoder of 4 layers, with dropout, and its tokenizer."""
    model = tiny.encoder(architecture, layers=4, dropout=0.1, **settings)
    model.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)


def write_task(folder: Path) -> None:
    """``teacher/``, ``train.tsv``, ``test.tsv``, ``corpus.txt``, and ``recipe.toml`` with every stage."""
    write_teacher(folder / "teacher")
    write_tsv(folder / "train.tsv", texts(64, seed=1))
    write_tsv(folder / "test.tsv", texts(24, seed=2))
    corpus = "".join(f"{text}\n" for text, _ in texts(48, seed=3))
    (folder / "corpus.txt").write_text(corpus, encoding="utf-8")
    training = {"epochs": 2, "batch_size": 16, "learning_rate": 2e-3, "log_steps": 2}
    tables: dict[str, Any] = {
        "name": "words",
        "threads": 1,
        "output": str(folder / "run"),
        "task": {"name": "words"},
        "data": {
            "train": str(folder / "train.tsv"),
            "test": str(folder / "test.tsv"),
            "max_length_tokens": 8,
        },
        "teacher": {"model": str(folder / "teacher"), **training, "epochs": 5},
        "student": {"layers": 2, "width": 16, "heads": 4, "ffn": 24},
        "general": {"corpus": str(folder / "corpus.txt"), "max_length_tokens": 12, **training},
        "intermediate": training,
        "prediction": training,
        "baseline": training,
        "evaluate": {"yardsticks": ["majority", "tfidf"], "latency_texts": 4},
        "report": {},
    }
    (folder / "recipe.toml").write_text(tomli_w.dumps(tables), encoding="utf-8")


def lettered(text: str) -> str:
    """w0, w1, ... as words of letters: wa, wb, ..., which a masked LM may propose."""
    return re.sub(
        r"\b(w|x)(\d+)", lambda m: m[1] + "".join(chr(ord("a") + int(digit)) for digit in m[2]), text
    )


def in_letters(task: Path) -> None:
    """Puts the task's files and its tokenizer into words of letters."""
    for name in ("train.tsv", "test.tsv", "corpus.txt"):
        (task / name).write_text(lettered((task / name).read_text()))
    entries = {lettered(token): index for token, index in tiny.tokenizer().get_vocab().items()}
    BertTokenizer(vocab=entries).save_pretrained(task / "teacher")


def environment() -> dict[str, str]:
    """For processes that run what is tested here."""
    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}


def read(folder: Path, *overrides: str) -> Recipe:
    """The recipe that ``write_task`` wrote, changed as on the command line."""
    return load_recipe(folder / "recipe.toml", overrides)


def run(recipe: Recipe) -> Run:
    console = Console(file=io.StringIO(), width=200)
    results = pipeline.run(recipe, console=console)
    assert isinstance(console.file, io.StringIO)
    return Run(recipe, results, console.file.getvalue())


def contents(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, with its bytes."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
