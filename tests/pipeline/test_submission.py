"""The files that GLUE's server takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests import tiny
from tests.pipeline import glue_data
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from bertling.cli import main
from bertling.data.glue import read_glue_test
from bertling.errors import DataError, ModelError
from bertling.pipeline.submission import TaskModel, find_models, submission_words, submit
from bertling.tasks import GLUE, SUBMISSIONS

BY_FILE = {submission.file: submission for submission in SUBMISSIONS}
AX, WNLI = BY_FILE["AX.tsv"], BY_FILE["WNLI.tsv"]
INFERENCE = ["entailment", "neutral", "contradiction"]


def answers(path: Path) -> list[str]:
    """The words of a file, whose header and indices are checked."""
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    assert header == "index\tprediction"
    assert [line.split("\t")[0] for line in lines] == [str(row) for row in range(len(lines))]
    return [line.split("\t")[1] for line in lines]


def test_the_server_s_eleven_files() -> None:
    assert list(BY_FILE) == [
        *("CoLA.tsv", "SST-2.tsv", "MRPC.tsv", "STS-B.tsv", "QQP.tsv", "MNLI-m.tsv", "MNLI-mm.tsv"),
        *("QNLI.tsv", "RTE.tsv", "WNLI.tsv", "AX.tsv"),
    ]
    assert (AX.task, AX.rows) == ("mnli", 1104)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("mnli", INFERENCE),
        ("qnli", ["entailment", "not_entailment"]),
        ("rte", ["entailment", "not_entailment"]),
        *((task, ["0", "1"]) for task in ("cola", "sst2", "mrpc", "qqp", "wnli")),
    ],
)
def test_classes_are_written_in_the_words_of_the_label_column(task: str, words: list[str]) -> None:
    assert submission_words(np.arange(len(words)), GLUE[task]) == words


def test_numbers_stay_on_the_scale_and_have_three_decimals() -> None:
    numbers = np.asarray([-0.2, 0.0004, 2.71828, 5.0, 7.5], dtype=np.float32)
    assert submission_words(numbers, GLUE["stsb"]) == ["0.000", "0.000", "2.718", "5.000", "5.000"]


def test_a_model_s_own_label_order_gives_the_right_words_in_the_file_s_order(tmp_path: Path) -> None:
    glue_data.write_test(tmp_path / "data", AX)
    permuted = ["contradiction", "entailment", "neutral"]
    model = glue_data.write_model(tmp_path / "model", names=permuted)
    written = submit({"mnli": TaskModel(model, 128)}, tmp_path / "data", tmp_path / "out")
    assert written.files == [tmp_path / "out" / "AX.tsv"]
    words = answers(tmp_path / "out" / "AX.tsv")
    assert len(words) == AX.rows
    assert len(set(words)) > 1
    tokenizer = AutoTokenizer.from_pretrained(model)
    classifier = AutoModelForSequenceClassification.from_pretrained(model).eval()
    test = read_glue_test(tmp_path / "data" / AX.source, AX)
    with torch.inference_mode():
        for row in range(0, AX.rows, 50):
            assert test.text_pairs is not None
            pair = tokenizer(test.texts[row], test.text_pairs[row], return_tensors="pt")
            assert words[row] == permuted[int(classifier(**pair).logits.argmax())]


def test_what_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    glue_data.write_test(tmp_path / "data", WNLI)
    wnli = glue_data.write_model(tmp_path / "wnli", names=["not_entailment", "entailment"])
    rte = glue_data.write_model(tmp_path / "rte", names=["entailment", "not_entailment"])
    arguments = ["submit", f"wnli={wnli}", f"rte={rte}", "--data", str(tmp_path / "data")]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert f"wrote {tmp_path / 'out' / 'WNLI.tsv'}" in out
    assert "the server wants 11 files" in out
    assert f"RTE.tsv: no file {tmp_path / 'data' / 'RTE' / 'test.tsv'}" in out
    assert "AX.tsv: no model for mnli" in out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["WNLI.tsv"]
    assert set(answers(tmp_path / "out" / "WNLI.tsv")) <= {"0", "1"}


def test_a_test_file_that_is_not_whole_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    glue_data.write_test(tmp_path / "data", WNLI)
    glue_data.write_test(tmp_path / "data", BY_FILE["RTE.tsv"], rows=7)
    model = glue_data.write_model(tmp_path / "model", names=["not_entailment", "entailment"])
    models = {task: TaskModel(model, 64) for task in ("wnli", "rte")}
    with pytest.raises(DataError, match=r"has 7 rows, and GLUE's own has 3,000"):
        submit(models, tmp_path / "data", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_that_cannot_answer_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    for submission in (WNLI, AX):
        glue_data.write_test(tmp_path / "data", submission)
    wnli = glue_data.write_model(tmp_path / "wnli", names=["not_entailment", "entailment"])
    mnli = glue_data.write_model(tmp_path / "mnli", names=["LABEL_0", "LABEL_1", "LABEL_2"])
    models = {"wnli": TaskModel(wnli, 128), "mnli": TaskModel(mnli, 128)}
    with pytest.raises(ModelError, match="have no names"):
        submit(models, tmp_path / "data", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nan_is_no_answer(tmp_path: Path) -> None:
    glue_data.write_test(tmp_path / "data", WNLI)
    names = ["not_entailment", "entailment"]
    model = tiny.classifier(num_labels=2)
    model.config.id2label = dict(enumerate(names))
    model.config.label2id = {name: index for index, name in enumerate(names)}
    model.get_parameter("classifier.weight").data[0, 0] = float("nan")
    model.save_pretrained(tmp_path / "model")
    tiny.tokenizer().save_pretrained(tmp_path / "model")
    with pytest.raises(ModelError, match="NaN or infinite outputs for 146 of 146 texts"):
        submit({"wnli": TaskModel(str(tmp_path / "model"), 128)}, tmp_path / "data", tmp_path / "out")


def test_nothing_to_answer_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)nothing to submit.*CoLA\.tsv: no model for cola"):
        submit({"rte": TaskModel("x", 64)}, tmp_path, tmp_path / "out")


def test_models_are_found_in_run_folders_with_their_length(tmp_path: Path) -> None:
    for task, length in (("cola", 48), ("rte", 96)):
        run = tmp_path / "root" / task
        (run / "student").mkdir(parents=True)
        text = f'name = "glue/{task}"\n[task]\nname = "{task}"\n[data]\nfolder = "x"\n'
        text += (
            f'max_length_tokens = {length}\n[teacher]\nmodel = "t"\n[student]\nmodel = "s"\n[prediction]\n'
        )
        (run / "recipe.toml").write_text(text)
    root = tmp_path / "root"
    expected = {
        "cola": TaskModel(str(root / "cola" / "student"), 48),
        "rte": TaskModel(str(root / "rte" / "student"), 96),
    }
    assert find_models([str(root)]) == expected
    assert find_models([str(root / "rte"), str(root / "cola"), "sst2=a/b"]) == {
        **expected,
        "sst2": TaskModel("a/b", 64),
    }
    with pytest.raises(ModelError, match="two models for the task rte"):
        find_models([str(root), "rte=other"])
    (root / "again").mkdir()
    (root / "again" / "recipe.toml").write_text((root / "rte" / "recipe.toml").read_text())
    (root / "again" / "student").mkdir()
    with pytest.raises(ModelError, match="two models for the task rte"):
        find_models([str(root)])
    (root / "rte" / "student").rmdir()
    with pytest.raises(ModelError, match="has no student yet"):
        find_models([str(root / "rte")])
    with pytest.raises(ModelError, match="is no run folder and holds none"):
        find_models([str(tmp_path / "nowhere")])
