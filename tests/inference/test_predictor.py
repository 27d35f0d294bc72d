"""The predictor on graphs whose answers are known by hand."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.inference import graphs

from bertling import Predictor
from bertling.errors import BertlingError, DataError, ModelError
from bertling.inference.answers import ClassAnswer, LabelsAnswer, NumberAnswer, WordsAnswer
from bertling.inference.manifest import GRAPH, MANIFEST, TOKENIZER
from bertling.inference.predictor import _CHUNK_TEXTS

TEXTS = [" ".join(f"w{(3 * row + place) % 98}" for place in range(1 + row % 6)) for row in range(100)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return graphs.write_folder(tmp_path_factory.mktemp("export") / "float32")


@pytest.mark.parametrize(("workers", "batch_size"), [(1, 1), (1, 7), (3, 7), (4, 32)])
def test_answers_come_in_the_order_of_the_texts(folder: Path, workers: int, batch_size: int) -> None:
    predictor = Predictor(folder, workers=workers, batch_size=batch_size)
    by_hand = np.stack([graphs.expected(text) for text in TEXTS])
    np.testing.assert_allclose(predictor.logits(TEXTS), by_hand, atol=1e-4)
    labels = [graphs.LABELS["classification"][index] for index in by_hand.argmax(1)]
    for answers in (predictor.predict(TEXTS), predictor.stream(iter(TEXTS))):
        assert [answer.label for answer in answers if isinstance(answer, ClassAnswer)] == labels


def test_the_python_in_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graphs.write_folder(tmp_path / "runs" / "sst2" / "export" / "int8")
    monkeypatch.chdir(tmp_path)
    document = Path(__file__).parents[2] / "docs" / "serving.md"
    [block] = re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    values: dict[str, Any] = {}
    exec(compile(block, document.name, "exec"), values)
    assert values["answer"].label in graphs.LABELS["classification"]


def test_a_class_comes_with_the_probability_of_each(folder: Path) -> None:
    [answer] = Predictor(folder).predict(["w3 w4"])
    assert isinstance(answer, ClassAnswer)
    powers = np.exp(graphs.expected("w3 w4").astype(np.float64))
    assert list(answer.probabilities.values()) == pytest.approx((powers / powers.sum()).tolist(), rel=1e-5)
    assert answer.probability == max(answer.probabilities.values())


def test_pairs_are_cut_at_the_longer_text(tmp_path: Path) -> None:
    predictor = Predictor(graphs.write_folder(tmp_path, pairs=True))
    pair = ("w1 w2 w3 w4 w5 w6 w7", "w8 w9")
    assert len(graphs.tokens(*pair)) == 8
    np.testing.assert_allclose(predictor.logits([pair])[0], graphs.expected(*pair), atol=1e-5)


def test_a_regression_answers_numbers(tmp_path: Path) -> None:
    predictor = Predictor(graphs.write_folder(tmp_path, kind="regression"))
    by_hand = float(graphs.expected("w5 w6", kind="regression")[0])
    [answer] = predictor.predict(["w5 w6"])
    assert isinstance(answer, NumberAnswer)
    assert answer.value == pytest.approx(by_hand, abs=1e-5)


def test_several_labels_are_those_above_a_half(tmp_path: Path) -> None:
    predictor = Predictor(graphs.write_folder(tmp_path, kind="multi_label"))
    for text, answer in zip(TEXTS, predictor.predict(TEXTS), strict=True):
        assert isinstance(answer, LabelsAnswer)
        logits = graphs.expected(text)
        assert answer.labels == [graphs.LABELS["multi_label"][index] for index in np.flatnonzero(logits > 0)]
        each = list(answer.probabilities.values())
        assert each == pytest.approx((1 / (1 + np.exp(-logits))).tolist(), abs=1e-5)


def test_each_word_is_labelled_at_its_first_piece_and_none_behind_the_cut(tmp_path: Path) -> None:
    predictor = Predictor(graphs.write_folder(tmp_path, kind="words"))
    # 8 tokens: [CLS], w1, ##x3, w2, w4, w5, w6, [SEP]
    words = ["w1x3", "w2", "w4", "w5", "w6", "w7"]
    answers = predictor.predict([words, ["w9"]])
    first = [graphs.tokens(word)[1] for word in ("w1", "w2", "w4", "w5", "w6")]
    best = [graphs.LABELS["words"][index] for index in graphs.table("words")[first].argmax(1)]
    assert isinstance(answers[0], WordsAnswer)
    assert answers[0].labels == [*best, None]
    assert answers[0].probabilities[-1] is None
    assert isinstance(answers[1], WordsAnswer)
    assert len(answers[1].labels) == 1
    logits = predictor.logits([words, ["w9"]])
    assert logits.shape == (2, 6, 3)
    assert np.isnan(logits[0, 5]).all()
    assert np.isnan(logits[1, 1:]).all()


def test_a_stream_keeps_few_texts_in_memory(folder: Path) -> None:
    drawn = 0
    threads = threading.active_count()

    def endless() -> Iterator[str]:
        nonlocal drawn
        while True:
            drawn += 1
            yield "w1 w2"

    for workers in (1, 2):
        drawn = 0
        answers = Predictor(folder, workers=workers).stream(endless())
        next(answers)
        assert drawn <= (workers + 1) * _CHUNK_TEXTS
        answers.close()  # type: ignore[attr-defined]
    assert threading.active_count() == threads


@pytest.mark.parametrize(
    ("kind", "pairs", "text", "problem"),
    [
        ("classification", False, "", "text 1, counted from 0, is empty"),
        ("classification", False, " \t", "is empty"),
        ("classification", False, None, "is missing, expected text"),
        ("classification", False, 3, "is int, expected text"),
        ("classification", False, "\ud800", "lone surrogate"),
        ("classification", True, "w1", "is a single text, expected a pair"),
        ("classification", True, ("w1", "w2", "w3"), "a tuple of 3, expected a pair"),
        ("classification", True, ("w1", ""), "has a side that is empty"),
        ("words", False, "w1 w2", "is a single text, expected a list of words"),
        ("words", False, [], "holds no word"),
        ("words", False, ["w1", " "], "holds a word that is empty"),
    ],
)
def test_what_is_no_text_is_refused(tmp_path: Path, kind: str, pairs: bool, text: Any, problem: str) -> None:
    good: Any = ["w1"] if kind == "words" else ("w1", "w2") if pairs else "w1"
    predictor = Predictor(graphs.write_folder(tmp_path, kind=kind, pairs=pairs))
    with pytest.raises(DataError, match=problem):
        predictor.predict([good, text])


def test_a_single_string_is_no_list_of_texts(folder: Path) -> None:
    with pytest.raises(DataError, match=r"predict\(\[text\]\)"):
        Predictor(folder).predict("w1 w2")


def test_no_texts_have_no_answers(folder: Path) -> None:
    assert Predictor(folder).predict([]) == []


def test_nan_is_no_answer(tmp_path: Path) -> None:
    weights = graphs.table()
    weights[graphs.tokens("w7")[1]] = np.nan
    predictor = Predictor(graphs.write_folder(tmp_path, weights=weights))
    assert len(predictor.predict(["w1"])) == 1
    with pytest.raises(ModelError, match=r"NaN or infinity for the text 'w7'"):
        predictor.predict(["w1", "w7"])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"format": 2}, "of format 2"),
        ({"kind": "clustering"}, "kind 'clustering'"),
        ({"labels": []}, "0 labels for the kind classification"),
        ({"labels": ["red", "green"]}, "3 outputs for 2 labels"),
        ({"labels": [1, 2, 3]}, "no strings"),
        ({"max_length_tokens": "8"}, "'8' as max_length_tokens"),
        ({"max_length_tokens": 2}, "no room"),
        ({"inputs": ["input_ids"]}, "reads input_ids, attention_mask"),
        ({"pairs": None}, "None as pairs"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(
    tmp_path: Path, change: dict[str, Any], problem: str
) -> None:
    file = graphs.write_folder(tmp_path) / MANIFEST
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ModelError, match=problem):
        Predictor(tmp_path)


@pytest.mark.parametrize("name", [MANIFEST, GRAPH, TOKENIZER])
@pytest.mark.parametrize("content", [None, b"", b"\x00\xff damaged"])
def test_a_damaged_folder_is_refused(tmp_path: Path, name: str, content: bytes | None) -> None:
    graphs.write_folder(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match="export"):
        Predictor(tmp_path)


def test_a_folder_of_exports_says_which_there_are(tmp_path: Path) -> None:
    graphs.write_folder(tmp_path / "run" / "export" / "int8")
    with pytest.raises(ModelError, match="holds the exports int8"):
        Predictor(tmp_path / "run" / "export")
    with pytest.raises(ModelError, match="is a run folder"):
        Predictor(tmp_path / "run")
    with pytest.raises(ModelError, match="does not exist"):
        Predictor(tmp_path / "nowhere")


@pytest.mark.parametrize("setting", ["threads", "workers", "batch_size"])
def test_numbers_begin_at_one(folder: Path, setting: str) -> None:
    with pytest.raises(BertlingError, match=f"{setting} = 0"):
        Predictor(folder, **{setting: 0})


def test_a_predictor_needs_neither_torch_nor_the_command_line(folder: Path) -> None:
    """As with ``pip install --no-deps``: what is not there must not be asked for."""
    program = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    names = {"torch", "transformers", "accelerate", "datasets", "pyarrow", "pydantic", "scipy", "sklearn",
             "safetensors", "huggingface_hub", "cyclopts", "rich", "psutil", "jinja2", "filelock"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from pathlib import Path
from bertling import Predictor
from bertling.inference.inputs import read_texts
predictor = Predictor(sys.argv[1], workers=2)
print(*[answer.label for answer in predictor.stream(read_texts(Path(sys.argv[2]), predictor.manifest))])
"""
    source = folder.parent / "texts.txt"
    source.write_text("\n".join(TEXTS))
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), str(source)], capture_output=True, text=True, check=True
    )
    answers = Predictor(folder).predict(TEXTS)
    assert done.stdout.split() == [answer.label for answer in answers if isinstance(answer, ClassAnswer)]
