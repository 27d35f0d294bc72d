"""The README's Python runs as it stands, on a teacher of the shape that it names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from transformers import AutoModelForSequenceClassification

import bertling

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def test_the_python_in_the_readme_distils_a_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {0: "negative", 1: "positive"}
    labels: dict[str, Any] = {"id2label": names, "label2id": {name: index for index, name in names.items()}}
    folder = tmp_path / "teacher"
    tiny.classifier(layers=6, width=384, heads=12, ffn=1536, **labels).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    texts = [f"w{number % 90} w{number % 7} w{number % 11}" for number in range(40)]
    monkeypatch.chdir(tmp_path)

    [block] = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    exec(compile(block, README.name, "exec"), {"folder": str(folder), "texts": texts})

    student = AutoModelForSequenceClassification.from_pretrained(tmp_path / "student")
    assert student.config.num_hidden_layers == 3
    assert student.config.hidden_size == 192
    assert student.config.id2label == names
    assert all(torch.isfinite(parameter).all() for parameter in student.parameters())


def test_every_public_name_is_there() -> None:
    assert {name for name in bertling.__all__ if not hasattr(bertling, name)} == set()
    assert dir(bertling) == sorted(bertling.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error_that_lists_what_is() -> None:
    with pytest.raises(AttributeError, match="create_student"):
        bertling.destil  # noqa: B018


def test_every_benchmark_and_every_file_of_results_is_explained() -> None:
    benchmarks = ROOT / "benchmarks"
    explained = (benchmarks / "README.md").read_text(encoding="utf-8")
    files = [*benchmarks.glob("*.py"), *(benchmarks / "results").glob("*.json")]
    assert len(files) > 20
    assert [path.name for path in files if path.name not in explained] == []
