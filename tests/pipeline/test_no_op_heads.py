"""Heads left out of the attention loss: measured once, kept with the stage, the same when it goes on."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from tests import tiny
from tests.pipeline import words
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from bertling.errors import ModelError, RecipeError
from bertling.evaluation.attention_figures import attention_to_special_tokens
from bertling.models.teacher import load_encoder
from bertling.pipeline.no_op_heads import FILE, counting_heads
from bertling.pipeline.processes import Processes
from bertling.results_of_attention import NoOpHeads


def batches() -> list[dict[str, torch.Tensor]]:
    made = tiny.batch([9, 6, 12])
    for row, length in zip(made["input_ids"], (9, 6, 12), strict=True):
        row[0], row[length - 1] = 2, 3  # [CLS] and [SEP]
    return [made]


def context(batches: list[dict[str, torch.Tensor]] | None) -> Any:
    """As much of one as is looked at; without batches nothing can be measured."""
    return SimpleNamespace(
        processes=Processes(),
        tokenizer=tiny.tokenizer(),
        calibration=lambda dataset: batches,
        console=Console(file=io.StringIO(), width=200),
    )


def counted(folder: Path, context: Any, teacher: PreTrainedModel, threshold: float | None) -> Any:
    section: Any = SimpleNamespace(no_op_threshold=threshold)
    dataset: Any = None
    return counting_heads(context, folder, section, teacher=teacher, dataset=dataset, layers={1: 1, 2: 3})


@pytest.fixture(scope="module")
def teacher() -> PreTrainedModel:
    return tiny.encoder(layers=3)


@pytest.fixture(scope="module")
def shares(teacher: PreTrainedModel) -> list[list[float]]:
    found: list[list[float]] = attention_to_special_tokens(teacher, tiny.tokenizer(), batches()).tolist()
    return found


def test_heads_above_the_threshold_do_not_count(
    tmp_path: Path, teacher: PreTrainedModel, shares: list[list[float]]
) -> None:
    ordered = sorted(share for row in shares for share in row)
    threshold = (ordered[5] + ordered[6]) / 2  # half of the twelve heads
    seen = context(batches())
    got = counted(tmp_path, seen, teacher, threshold)
    expected = {
        layer: [head for head, share in enumerate(row, start=1) if share <= threshold]
        for layer, row in enumerate(shares, start=1)
    }
    assert got == expected
    record = NoOpHeads.model_validate_json((tmp_path / FILE).read_text())
    assert (record.threshold, record.texts) == (threshold, 3)
    assert record.special_tokens == ["[CLS]", "[SEP]"]
    assert record.to_special == shares
    assert sum(map(len, record.left_out.values())) == 6
    printed = seen.console.file.getvalue()
    assert "left out of the attention loss" in printed
    out = [layer for layer in (1, 3) if layer in record.left_out]
    assert all(f"{layer}: " in printed for layer in out)


def test_a_stage_that_goes_on_takes_the_heads_that_it_had(tmp_path: Path, teacher: PreTrainedModel) -> None:
    before = NoOpHeads(
        threshold=0.5,
        texts=3,
        special_tokens=["[SEP]"],
        to_special=[[0.9, 0.1], [0.8, 0.9], [0.1, 0.2]],
        left_out={1: [1], 2: [1, 2]},
    )
    (tmp_path / FILE).write_text(before.model_dump_json())
    assert counted(tmp_path, context(None), teacher, 0.5) == {1: [2], 2: [], 3: [1, 2]}


def test_without_a_threshold_all_heads_count_and_nothing_is_measured(
    tmp_path: Path, teacher: PreTrainedModel
) -> None:
    assert counted(tmp_path, context(None), teacher, None) is None
    assert not list(tmp_path.iterdir())


def test_no_head_at_all_is_an_error_that_says_how_high_the_threshold_has_to_be(
    tmp_path: Path, teacher: PreTrainedModel, shares: list[list[float]]
) -> None:
    (folder := tmp_path / "intermediate.partial").mkdir()
    least = min(shares[0] + shares[2])
    message = (
        rf"\[intermediate\] no_op_threshold = 0\.001 leaves no head .* layers 1, 3 .* the least {least:.2f}"
    )
    with pytest.raises(ModelError, match=message):
        counted(folder, context(batches()), teacher, 0.001)


def test_a_run_leaves_heads_out_and_keeps_which(finished: words.Run, run: Path) -> None:
    task = finished.folder.parent
    teacher = load_encoder(str(finished.folder / "stages" / "teacher" / "model"))
    inputs = dict(
        tiny.tokenizer()([text for text, _ in words.texts(64, seed=1)], return_tensors="pt", padding=True)
    )
    shares = attention_to_special_tokens(teacher, tiny.tokenizer(), [inputs])
    threshold = round(float(shares[[1, 3]].median()), 3)  # of the layers that are compared
    overrides = (f"output={run}", f"intermediate.no_op_threshold={threshold}")
    again = words.run(words.read(task, *overrides))
    # Without the setting the stages are what they were before there was one.
    assert again.ran == ["intermediate", "prediction", "evaluate"]
    record = NoOpHeads.model_validate_json((again.folder / "stages" / "intermediate" / FILE).read_text())
    assert [len(row) for row in record.to_special] == [4] * 4
    assert record.left_out == {
        layer: heads
        for layer, row in enumerate(record.to_special, start=1)
        if (heads := [head for head, share in enumerate(row, start=1) if share > threshold])
    }
    assert f"more than {threshold:g} of the attention on [CLS] and [SEP]" in again.printed
    weights = [
        (folder / "student" / "model.safetensors").read_bytes() for folder in (again.folder, finished.folder)
    ]
    assert weights[0] != weights[1]
    assert words.run(words.read(task, *overrides)).ran == []


def test_a_tokenizer_without_special_tokens_is_refused_before_anything_is_trained(task: Path) -> None:
    vocabulary = {"[PAD]": 0, "w0": 1, "w1": 2}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(vocabulary, unk_token="w0")), pad_token="[PAD]"
    )
    tokenizer.save_pretrained(task / "teacher")
    with pytest.raises(
        RecipeError, match=r"\[intermediate\] no_op_threshold: the tokenizer of .* neither sep_token"
    ):
        words.run(words.read(task, "intermediate.no_op_threshold=0.8"))
    assert not (task / "run" / "stages").exists()
