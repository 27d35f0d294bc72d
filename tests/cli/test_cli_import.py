from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tests import tiny

from bertling.cli import main
from bertling.cli.import_ import format_report
from bertling.models.original import ImportReport
from bertling.models.student import Shape
from bertling.models.teacher import load_encoder, load_tokenizer


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    settings = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "vocab_size": tiny.VOCABULARY,
        "max_position_embeddings": 48,
    }
    (folder / "config.json").write_text(json.dumps(settings))
    entries = sorted(tiny.tokenizer().get_vocab().items(), key=lambda entry: entry[1])
    (folder / "vocab.txt").write_text("\n".join(entry for entry, _ in entries))
    tensors = {f"bert.{name}": t for name, t in tiny.encoder().state_dict().items() if "pooler" not in name}
    torch.save(tensors | {"fit_dense.weight": torch.zeros(48, 32)}, folder / "pytorch_model.bin")
    return folder


def test_import_writes_the_model_and_says_what_was_dropped_and_what_is_missing(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target"

    assert main(["import", str(source), str(target)]) == 0

    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert lines[0] == f"wrote {target}"
    assert "projections  dropped: fit_dense.weight 48x32" in lines
    assert any(line.startswith("missing      pooler.dense.bias, pooler.dense.weight: ") for line in lines)
    assert "pooler" not in dict(load_encoder(str(target)).named_children())
    assert load_tokenizer(str(target))("W3")["input_ids"] == [2, 8, 3]


def test_import_of_cased_text(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(source), str(tmp_path / "target"), "--no-lower-case"]) == 0

    assert "vocabulary   200 entries, cased" in capsys.readouterr().out.splitlines()
    assert load_tokenizer(str(tmp_path / "target"))("W3")["input_ids"] == [2, 1, 3]


def test_an_import_that_fails_ends_with_2_and_one_message(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "vocab.txt").unlink()

    assert main(["import", str(source), str(tmp_path / "target")]) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"there is no file vocab.txt in {source}; expected")


def test_the_report_is_one_line_for_each_fact_and_leaves_out_what_there_is_none_of() -> None:
    report = ImportReport(
        shape=Shape(layers=4, width=312, heads=12, ffn=1200),
        vocabulary=30522,
        lower_case=True,
        parameters=14_350_248,
        taken=("a", "b"),
        projections={},
        heads=(),
        unused=(),
        missing=(),
    )

    assert format_report(report) == [
        "model        BERT, 4 layers, 312 wide, 12 heads, ffn 1200",
        "vocabulary   30,522 entries, lower-cased",
        "taken        2 tensors, 14,350,248 parameters",
    ]


def test_the_help_of_import_needs_no_torch() -> None:
    program = """
import sys
from bertling.cli import main
main(["import", "--help"])
print("LOADED", sorted({"torch", "transformers"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines()[-1] == "LOADED []"
    assert "--no-lower-case" in done.stdout
