"""Saved models on labelled sets, as ``bertling evaluate`` scores them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score
from tests.pipeline import glue_data, words
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from bertling.cli import main
from bertling.data.glue import read_glue
from bertling.errors import DataError, ModelError
from bertling.pipeline.judging import evaluate_model
from bertling.tasks import GLUE

NAMES = ["not_equivalent", "equivalent"]


def plain_logits(model: str, folder: Path, task: str) -> tuple[np.ndarray, np.ndarray]:
    """By transformers alone, one text at a time; and the labels."""
    _, dev = read_glue(folder, task)
    tokenizer = AutoTokenizer.from_pretrained(model)
    classifier = AutoModelForSequenceClassification.from_pretrained(model).eval()
    rows = []
    with torch.inference_mode():
        assert dev.text_pairs is not None
        for text, pair in zip(dev.texts, dev.text_pairs, strict=True):
            rows.append(classifier(**tokenizer(text, pair, return_tensors="pt")).logits[0].numpy())
    return np.stack(rows), np.asarray(dev.labels)


def test_all_figures_of_a_task_are_those_of_scikit_learn(tmp_path: Path) -> None:
    folder = glue_data.write_labelled(tmp_path, "mrpc", dev=24)
    model = glue_data.write_model(tmp_path / "model", names=NAMES)
    (dev,) = evaluate_model(model, folder, GLUE["mrpc"], batch_size=5).sets
    logits, labels = plain_logits(model, folder, "mrpc")
    answers = logits.argmax(1)
    assert list(dev.figures) == ["f1", "accuracy"]
    assert dev.figures["f1"] == pytest.approx(f1_score(labels, answers, zero_division=0))
    assert dev.figures["accuracy"] == pytest.approx(accuracy_score(labels, answers))
    assert dev.examples == 24


def test_a_regression_has_both_correlations(tmp_path: Path) -> None:
    folder = glue_data.write_labelled(tmp_path, "stsb")
    model = glue_data.write_model(tmp_path / "model")
    (dev,) = evaluate_model(model, folder, GLUE["stsb"]).sets
    logits, labels = plain_logits(model, folder, "stsb")
    assert dev.figures["spearman"] == pytest.approx(spearmanr(logits[:, 0], labels).statistic, abs=1e-6)
    assert dev.figures["pearson"] == pytest.approx(pearsonr(logits[:, 0], labels).statistic, abs=1e-5)


def test_outputs_in_another_order_score_the_same(tmp_path: Path) -> None:
    """Names that are turned round belong to the same outputs: right answers become wrong ones."""
    folder = glue_data.write_labelled(tmp_path, "mrpc", dev=25)
    straight = glue_data.write_model(tmp_path / "straight", names=NAMES)
    turned = glue_data.write_model(tmp_path / "turned", names=NAMES[::-1])
    accuracy = [
        evaluate_model(model, folder, GLUE["mrpc"], labels=labels).sets[0].figures["accuracy"]
        for model, labels in ((straight, None), (turned, None), (turned, NAMES))
    ]
    assert accuracy[0] + accuracy[1] == pytest.approx(1)
    assert accuracy[2] == accuracy[0]


def test_models_and_data_of_another_task_are_refused(tmp_path: Path) -> None:
    folder = glue_data.write_labelled(tmp_path, "rte")
    unnamed = glue_data.write_model(tmp_path / "unnamed", outputs=2)
    with pytest.raises(ModelError, match=r"have no names.*or id2label"):
        evaluate_model(unnamed, folder, GLUE["rte"])
    with pytest.raises(ModelError, match="a regression, which takes 1 output; the model has 2"):
        evaluate_model(unnamed, glue_data.write_labelled(tmp_path, "stsb"), GLUE["stsb"])
    named = glue_data.write_model(tmp_path / "named", names=["negative", "positive"])
    with pytest.raises(ModelError, match="are not the task's"):
        evaluate_model(named, folder, GLUE["rte"])
    with pytest.raises(DataError, match=r"has no dev_matched\.tsv and no dev_mismatched\.tsv"):
        evaluate_model(named, folder, GLUE["mnli"])


def test_the_command_takes_glue_s_tasks_and_those_of_recipes(
    task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = glue_data.write_labelled(tmp_path, "mrpc")
    model = glue_data.write_model(tmp_path / "model", names=NAMES)
    assert main(["evaluate", model, str(folder), "--task", "mrpc"]) == 0
    out = capsys.readouterr().out
    assert {"f1", "accuracy", "dev", "16"} <= set(out.split())
    assert "cut at 128 tokens" in out

    words.write_tsv(task / "test.tsv", [("w0 w5", "good"), ("w0", "good"), ("w1", "bad")])
    own = glue_data.write_model(tmp_path / "own", names=["good", "bad"])
    assert main(["evaluate", own, str(task / "test.tsv"), "--task", str(task / "recipe.toml")]) == 0
    out = capsys.readouterr().out
    assert {"test.tsv", "3", "accuracy"} <= set(out.split())
    assert "cut at 8 tokens" in out

    assert main(["evaluate", own, str(task), "--task", str(task / "recipe.toml")]) == 2
    assert "give a file with the columns text, label" in capsys.readouterr().err
    assert main(["evaluate", own, str(task), "--task", "sst-2"]) == 2
    assert "--task: got sst-2; expected one of cola, sst2" in capsys.readouterr().err
