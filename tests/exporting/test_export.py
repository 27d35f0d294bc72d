"""What is written, what it answers, and what is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from tests import tiny
from tests.exporting import exported
from transformers import AutoModelForSequenceClassification

from bertling import Predictor
from bertling.errors import ExportError
from bertling.exporting.parity import compare, refuse_broken, refuse_fallen
from bertling.results_of_exports import Export

PAIRS = [("w1 w2", "w3"), ("w4", "w5 w6 w7x1 w8 w9 w10 w11"), ("w1 w2 w3 w4 w5 w6 w7", "w8 w9 w10 w11 w12")]


@pytest.fixture
def graph_at_hand(written: tuple[Path, Export], monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A graph that was made before, in the place of a new one; its list may hold what changes it."""
    changes: list[Any] = []

    def write_graph(model: Any, path: Path, **settings: Any) -> None:
        shutil.copyfile(written[0] / "float32" / "model.onnx", path)
        for change in changes:
            change(path)

    monkeypatch.setattr("bertling.exporting.write.write_graph", write_graph)
    return changes


def test_a_folder_for_each_precision_holds_all_that_serving_needs(written: tuple[Path, Export]) -> None:
    folder, export = written
    assert {found.name for found in folder.iterdir()} == {"float32", "int8", "bfloat16"}
    for precision in ("float32", "int8"):
        files = {found.name for found in (folder / precision).iterdir()}
        assert files == {"model.onnx", "tokenizer.json", "predictor.json", "export.json"}
        assert Export.model_validate_json((folder / precision / "export.json").read_text()) == export
    manifest = Predictor(folder / "int8").manifest
    assert (manifest.kind, manifest.pairs, manifest.labels) == ("classification", True, exported.NAMES)
    assert (manifest.max_length_tokens, manifest.precision) == (exported.LIMIT, "int8")
    assert (manifest.text, manifest.text_pair, manifest.model_type) == ("left", "right", "bert")
    assert "token_type_ids" in manifest.inputs
    assert not [found for found in folder.parent.iterdir() if found.name != "export"]


def test_int8_and_bfloat16_are_smaller(written: tuple[Path, Export]) -> None:
    sizes = {row.precision: row.size_bytes for row in written[1].precisions}
    assert sizes["bfloat16"] < 0.6 * sizes["float32"]
    weights = onnx.load(written[0] / "int8" / "model.onnx").graph.initializer
    large = [numpy_helper.to_array(weight) for weight in weights if np.prod(weight.dims) > 1000]
    assert large
    assert {array.dtype.itemsize for array in large} == {1}


@pytest.mark.parametrize("batch_size", [1, 3])
def test_the_predictor_answers_as_the_model_does(written: tuple[Path, Export], batch_size: int) -> None:
    model, tokenizer = exported.model_of("pairs"), tiny.tokenizer()
    inputs = tokenizer(
        [left for left, _ in PAIRS],
        [right for _, right in PAIRS],
        truncation=True,
        max_length=exported.LIMIT,
        padding=True,
        return_tensors="pt",
    )
    with torch.inference_mode():
        theirs = model(**inputs).logits.numpy()
    ours = Predictor(written[0] / "float32", batch_size=batch_size).logits(PAIRS)
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * np.abs(theirs).max())


def test_the_figures_are_those_of_the_files(written: tuple[Path, Export]) -> None:
    folder, export = written
    examples = exported.examples_of("pairs")
    assert examples.text_pairs is not None
    theirs = exported.logits_function(examples)(exported.model_of("pairs"))
    questions = list(zip(examples.texts, examples.text_pairs, strict=True))
    for row in export.precisions:
        if row.precision == "bfloat16":
            loaded = AutoModelForSequenceClassification.from_pretrained(
                folder / "bfloat16", dtype=torch.float32
            )
            ours = exported.logits_function(examples)(loaded)
        else:
            ours = Predictor(folder / row.precision).logits(questions)
        # int8 rounds by what is in a batch
        tolerance = 0.5 if row.precision == "int8" else 1e-3
        assert np.abs(theirs - ours).max() == pytest.approx(
            row.largest_logit_difference, rel=tolerance, abs=1e-4
        )
        assert row.size_bytes == next(
            found.stat().st_size for found in (folder / row.precision).glob("model.*")
        )
    agreement = {row.precision: row.label_agreement for row in export.precisions}
    assert agreement["float32"] == 1.0


def _perturb(path: Path) -> None:
    graph = onnx.load(path)
    weight = max(graph.graph.initializer, key=lambda weight: int(np.prod(weight.dims)))
    array = numpy_helper.to_array(weight)
    noise = np.random.default_rng(0).normal(scale=0.01, size=array.shape).astype(np.float32)
    weight.CopyFrom(numpy_helper.from_array(array + noise, weight.name))
    onnx.save(graph, path)


def _without_padding(path: Path) -> None:
    graph = onnx.load(path)
    for node in graph.graph.node:
        if node.op_type == "Attention":
            node.input[3] = ""
    onnx.save(graph, path)


@pytest.mark.parametrize("breakage", [_perturb, _without_padding])
def test_a_broken_graph_is_refused_and_nothing_written(
    tmp_path: Path, graph_at_hand: list[Any], breakage: Any
) -> None:
    graph_at_hand.append(breakage)
    with pytest.raises(ExportError, match=r"float32 export is broken: a logit differs from PyTorch's by"):
        exported.write(tmp_path / "export", "pairs", exported.model_of("pairs"))
    assert not list(tmp_path.iterdir())


def test_a_score_that_falls_too_far_is_refused_and_the_error_says_by_how_much(
    tmp_path: Path, graph_at_hand: list[Any], written: tuple[Path, Export]
) -> None:
    model = exported.model_of("pairs")
    theirs = exported.logits_function(exported.examples_of("pairs"))(model)

    def score_of(logits: Any) -> float:
        return 0.9 if np.allclose(logits, theirs, atol=1e-3) else 0.85

    with pytest.raises(
        ExportError, match=r"int8 export's score is 85\.00 .* falls by 5\.00 points, and 4\.00"
    ):
        exported.write(tmp_path / "export", "pairs", model, score_of=score_of, max_drop=0.04)
    assert not list(tmp_path.iterdir())
    export = exported.write(tmp_path / "export", "pairs", model, score_of=score_of, max_drop=0.06)
    assert [row.score for row in export.precisions] == [0.9, 0.85, 0.85]
    assert export.score == 0.9
    # and where it is left out, the others are written, in the place of the earlier export
    exported.write(tmp_path / "export", "pairs", model, precisions=["float32"])
    assert [found.name for found in (tmp_path / "export").iterdir()] == ["float32"]


def test_other_files_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ExportError, match=r"holds thesis\.txt, which is no earlier export"):
        exported.write(tmp_path, "pairs", exported.model_of("pairs"))
    with pytest.raises(ExportError, match="is a file"):
        exported.write(tmp_path / "thesis.txt", "pairs", exported.model_of("pairs"))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_unknown_precisions_and_diverged_models_are_refused(tmp_path: Path) -> None:
    model = exported.model_of("pairs")
    for precisions in ([], ["float16"]):
        with pytest.raises(ExportError, match="expected some of float32, int8, bfloat16"):
            exported.write(tmp_path / "export", "pairs", model, precisions=precisions)
    with torch.no_grad():
        model.get_parameter("classifier.bias").fill_(torch.nan)
    with pytest.raises(ExportError, match="NaN or infinity in PyTorch already"):
        exported.write(tmp_path / "export", "pairs", model)
    assert not list(tmp_path.iterdir())


def test_a_drop_to_the_bound_is_allowed() -> None:
    refuse_fallen("int8", score=0.75, reference=0.875, max_drop=0.125)
    refuse_fallen("int8", score=0.9, reference=0.8, max_drop=0.0)
    with pytest.raises(ExportError, match=r"--max-drop 0\.1250"):
        refuse_fallen("int8", score=0.75, reference=0.875, max_drop=0.1)


def test_parity_counts_answers_by_their_kind() -> None:
    theirs = np.array([[1.0, -2.0], [3.0, -1.0]], np.float32)
    ours = np.array([[1.0, 2.0], [3.5, -1.0]], np.float32)
    one = compare(theirs, ours, regression=False, multi_label=False)
    assert (one.largest_logit_difference, one.largest_logit, one.label_agreement) == (4.0, 3.0, 0.5)
    assert compare(theirs, ours, regression=False, multi_label=True).label_agreement == 0.75
    assert compare(theirs, ours, regression=True, multi_label=False).label_agreement is None
    nan = [np.nan, np.nan]
    words = np.array([[[1.0, 0.0], nan], [[0.0, 1.0], [0.0, 1.0]]], np.float32)
    others = np.array([[[1.0, 0.0], nan], [[0.0, 1.0], [1.0, 0.0]]], np.float32)
    assert compare(words, others, regression=False, multi_label=False).label_agreement == pytest.approx(2 / 3)
    with pytest.raises(ExportError, match="answers for other words"):
        compare(words, np.zeros_like(words), regression=False, multi_label=False)
    with pytest.raises(ExportError, match=r"shape \(2, 1\)"):
        compare(theirs, ours[:, :1], regression=False, multi_label=False)


def test_only_float32_has_to_agree_to_rounding() -> None:
    far = compare(
        np.ones((1, 2), np.float32), np.zeros((1, 2), np.float32), regression=True, multi_label=False
    )
    refuse_broken("int8", far)
    with pytest.raises(ExportError, match="broken"):
        refuse_broken("float32", far)


@pytest.mark.faults
def test_a_kill_leaves_no_half_written_folder(tmp_path: Path) -> None:
    """Processes die while a precision is written: there is no folder, or the one that was there before."""
    program = """
        import os, signal, sys
        from pathlib import Path
        from tests.exporting import exported
        import bertling.exporting.write as write

        def die(model, tokenizer, place):
            (place / "model.safetensors").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)

        def killed(folder):
            child = os.fork()
            if child == 0:
                write._save_bfloat16 = die
                export(folder)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

        def export(folder):
            exported.write(folder, "pairs", model, precisions=["bfloat16"])

        model = exported.model_of("pairs")
        folder = Path(sys.argv[1])
        assert killed(folder)
        assert not folder.exists()
        export(folder)
        assert [found.name for found in folder.parent.iterdir()] == ["export"]
        before = (folder / "bfloat16" / "model.safetensors").read_bytes()
        assert killed(folder)
        assert (folder / "bfloat16" / "model.safetensors").read_bytes() == before
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "export")],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
