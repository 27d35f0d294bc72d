"""The tiny task with soft labels in its files, and a teacher that reads characters."""

from __future__ import annotations

from pathlib import Path

from tests import tiny
from tests.pipeline import words
from transformers import BertTokenizer, PreTrainedTokenizerBase

SOFT = (
    "teacher=none",
    "teacher.soft_labels.good=p_good",
    "teacher.soft_labels.bad=p_bad",
)
SHORT = ("general=none", "intermediate=none", "report=none", "evaluate.latency_texts=2")
HEADER = ("text", "label", "p_bad", "p_good")


def source(folder: Path) -> str:
    """An override: the student is made from the task's pretrained encoder."""
    return f"student.source={folder / 'teacher'}"


def soft_rows(count: int, *, seed: int) -> list[tuple[str, str, float, float]]:
    """Texts with their labels, and what a black box that is mostly right says of them."""
    rows = []
    for number, (text, label) in enumerate(words.texts(count, seed=seed)):
        right = 0.9 if number % 10 else 0.4
        rows.append((text, label, *((1 - right, right) if label == "good" else (right, 1 - right))))
    return rows


def write_black_box(folder: Path, *, soft_test: bool = True) -> None:
    """The task with ``p_good`` and ``p_bad`` in its training file and, if wanted, in its test file."""
    words.write_task(folder)
    words.write_tsv(folder / "train.tsv", soft_rows(64, seed=1), HEADER)
    if soft_test:
        words.write_tsv(folder / "test.tsv", soft_rows(24, seed=2), HEADER)


def characters() -> PreTrainedTokenizerBase:
    """WordPiece of single characters: another vocabulary than the student's, and longer texts."""
    entries = [
        "[UNK]",
        "[SEP]",
        "[CLS]",
        "[PAD]",
        "[MASK]",
        "w",
        *(f"##{mark}" for mark in "0123456789abcdefghij"),
    ]
    made: PreTrainedTokenizerBase = BertTokenizer(vocab={entry: index for index, entry in enumerate(entries)})
    return made


def write_reader(folder: Path, *, seed: int = 3) -> None:
    """A pretrained encoder of another shape, with that tokenizer."""
    model = tiny.encoder("bert", layers=1, width=24, heads=2, vocab_size=32, seed=seed)
    model.config.pad_token_id = 3
    model.save_pretrained(folder)
    characters().save_pretrained(folder)
