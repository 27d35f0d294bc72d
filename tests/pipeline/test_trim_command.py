"""``bertling trim`` of runs and saved models, and what is done with its results."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from tests import tiny
from tests.data import test_vocabulary
from tests.pipeline import glue_data, words
from transformers import AutoModelForSequenceClassification, CamembertTokenizer, RobertaTokenizer

import bertling
from bertling.cli import main
from bertling.errors import DataError, ModelError, RunFolderError
from bertling.models.teacher import load_tokenizer
from bertling.results_of_exports import exports_of_run


@pytest.fixture
def run(run: Path) -> Path:
    """A finished run whose student reads single characters, too. Either set has some of w2 to w97."""
    # Without single characters of w and x no piece of this vocabulary could be dropped.
    vocabulary = tiny.tokenizer().get_vocab()
    entries = [
        piece for piece, index in sorted(vocabulary.items(), key=lambda entry: entry[1]) if index < 150
    ]
    singles = [form + one for one in "wx0123456789" for form in ("", "##")]
    type(tiny.tokenizer())(
        vocab={piece: index for index, piece in enumerate([*entries, *singles])}
    ).save_pretrained(run / "student")
    return run


def train_and_test_words(task: Path) -> tuple[list[str], list[str]]:
    first, second = (
        [word for line in (task / f"{part}.tsv").read_text().splitlines()[1:] for word in line.split()[:-1]]
        for part in ("train", "test")
    )
    return first, second


def test_a_run_s_student_keeps_the_pieces_of_its_training_set(
    run: Path, task: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    student = (run / "student" / "model.safetensors").read_bytes()
    assert main(["trim", str(run)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    used, asked = train_and_test_words(task)
    dropped = [word for word in asked if word not in used]
    assert 0 < len(dropped) < len(asked) / 2

    result = json.loads((run / "trimmed" / "trimming.json").read_text())
    assert result["pieces_before"] == 174
    assert result["pieces_after"] == 5 + len(set(used)) + 24
    assert result["parameters_before"] - result["parameters_after"] == 16 * (200 - result["pieces_after"])
    assert result["resplit_fraction"] == pytest.approx(len(dropped) / len(asked))
    assert result["student_digest"] == hashlib.sha256(hashlib.sha256(student).digest()).hexdigest()
    assert (result["texts"], result["examples"], result["metric"]) == (64, 24, "accuracy")
    for expected in (
        "word pieces 174",
        f"{100 * len(dropped) / len(asked):.2f}% of whose pieces",
        f"next: bertling export {run / 'trimmed'}",
    ):
        assert expected in printed
    names = {found.name for found in (run / "trimmed").iterdir()}
    assert names >= {"config.json", "model.safetensors", "tokenizer.json", "README.md"}
    assert not [name for name in names if "vocab" in name]
    assert (run / "student" / "model.safetensors").read_bytes() == student


def test_scores_before_and_after_are_those_of_the_two_models(
    run: Path, task: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = bertling.trim(run)
    for folder, score in (("student", result.score_before), ("trimmed", result.score_after)):
        assert (
            main(["evaluate", str(run / folder), str(task / "test.tsv"), "--task", str(run / "recipe.toml")])
            == 0
        )
        assert score is not None
        assert f"accuracy {100 * score:.1f}" in " ".join(capsys.readouterr().out.split())


def test_texts_beside_the_training_set_keep_what_they_use(run: Path, task: Path) -> None:
    """With those of the reported set no piece of it goes, and every answer is the same, bit for bit."""
    before = load_tokenizer(str(run / "student"))
    texts = [line.split("\t")[0] for line in (task / "test.tsv").read_text().splitlines()[1:]]
    words.write_jsonl(task / "more.jsonl", [{"text": text} for text in texts])
    result = bertling.trim(run, texts=[task / "more.jsonl"], output=task / "smaller")
    assert result.texts == 64 + 24
    assert result.resplit_fraction == 0
    after = load_tokenizer(str(task / "smaller"))
    old, new = (
        AutoModelForSequenceClassification.from_pretrained(folder).eval()
        for folder in (run / "student", task / "smaller")
    )
    for text in texts:
        first, second = before(text, return_tensors="pt"), after(text, return_tensors="pt")
        assert before.convert_ids_to_tokens(first["input_ids"][0]) == after.convert_ids_to_tokens(
            second["input_ids"][0]
        )
        assert old(**first).logits.tolist() == new(**second).logits.tolist()


def test_rare_pieces_are_dropped_where_that_is_asked_for(run: Path, task: Path) -> None:
    used, _ = train_and_test_words(task)
    result = bertling.trim(run, min_count=3)
    assert result.pieces_after == 5 + len({word for word in used if used.count(word) >= 3}) + 24
    with pytest.raises(DataError, match="got min_count = 0; expected 1"):
        bertling.trim(run, min_count=0)


def test_a_trimmed_student_is_exported_and_trimmed_again(run: Path) -> None:
    bertling.trim(run)
    export = bertling.export(run / "trimmed", precisions=["bfloat16"])
    assert (export.task, export.examples) == ("words", 24)
    assert exports_of_run(run) == {"trimmed student": export}
    config = json.loads((run / "trimmed" / "export" / "bfloat16" / "config.json").read_text())
    first = json.loads((run / "trimmed" / "config.json").read_text())
    assert config["vocab_size"] == first["vocab_size"] < 200
    assert bertling.trim(run / "trimmed", output=run / "again").pieces_after == config["vocab_size"]
    # The export was of the student that is replaced.
    bertling.trim(run, min_count=2)
    assert not (run / "trimmed" / "export").exists()


def test_a_saved_model_is_trimmed_to_the_texts_of_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = glue_data.write_model(tmp_path / "model", names=["no", "yes"])
    (tmp_path / "texts.txt").write_text("w1 w2\nw3x4\n")
    arguments = ["trim", model, "--texts", str(tmp_path / "texts.txt"), "--output", str(tmp_path / "small")]
    assert main(arguments) == 0
    assert "next" not in capsys.readouterr().out
    # Pieces such as w7 are not made of single characters here, so none can go; what is left are rows without.
    assert len(load_tokenizer(str(tmp_path / "small"))) == tiny.VOCABULARY
    result = json.loads((tmp_path / "small" / "trimming.json").read_text())
    assert (result["texts"], result["score_before"], result["resplit_fraction"]) == (2, None, None)


@pytest.mark.parametrize("architecture", ["roberta", "camembert"])
def test_tokenizers_that_transformers_builds_anew_are_read_back_as_they_were_written(
    architecture: str, tmp_path: Path
) -> None:
    """Byte-level BPE and Unigram, whose classes take pieces and merges from the file and add the rest."""
    if architecture == "roberta":
        bpe = json.loads(test_vocabulary.byte_level_bpe().to_str())["model"]
        pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        pieces += [piece for piece in bpe["vocab"] if piece not in pieces]
        vocabulary = {piece: index for index, piece in enumerate(pieces)}
        merges: Any = [tuple(merge) for merge in bpe["merges"]]
        tokenizer: Any = RobertaTokenizer(vocab=vocabulary, merges=merges)
    else:
        entries = json.loads(test_vocabulary.unigram().to_str())["model"]["vocab"][4:]
        specials = [(piece, 0.0) for piece in ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<unk>NOTUSED")]
        tokenizer = CamembertTokenizer(vocab=[*specials, *map(tuple, entries), ("<mask>", 0.0)])
    # Some have more rows of embeddings than pieces.
    model = tiny.classifier(architecture, vocab_size=len(tokenizer) + 3, pad_token_id=1)
    for part in (model, tokenizer):
        part.save_pretrained(tmp_path / "model")
    texts = test_vocabulary.some_texts(seed=9)[:12]
    (tmp_path / "texts.txt").write_text("\n".join(texts))
    result = bertling.trim(tmp_path / "model", texts=[tmp_path / "texts.txt"], output=tmp_path / "small")
    assert result.pieces_after < result.pieces_before == len(tokenizer)
    logits = []
    for folder in (tmp_path / "model", tmp_path / "small"):
        read = AutoModelForSequenceClassification.from_pretrained(folder).eval()
        asked = load_tokenizer(str(folder))(texts, padding=True, return_tensors="pt")
        logits.append(read(**asked).logits.tolist())
    assert logits[0] == logits[1]


def test_bad_sources_and_folders_are_refused(run: Path, tmp_path: Path) -> None:
    model = glue_data.write_model(tmp_path / "model", names=["no", "yes"])
    with pytest.raises(DataError, match=r"is no run folder.*Give --texts and --output"):
        bertling.trim(model)
    (run / "trimmed").mkdir()
    (run / "trimmed" / "notes.txt").touch()
    with pytest.raises(RunFolderError, match="holds something else than a trimmed model"):
        bertling.trim(run)
    (run / "trimmed" / "notes.txt").unlink()
    (tmp_path / "empty.txt").write_text("\n")
    with pytest.raises(DataError, match="holds no text"):
        bertling.trim(run, texts=[tmp_path / "empty.txt"])
    (run / "stages" / "data" / "train.parquet").unlink()
    with pytest.raises(DataError, match=r"no longer holds the set that it trained on"):
        bertling.trim(run)
    (run / "student").rename(run / "elsewhere")
    with pytest.raises(ModelError, match="no student yet"):
        bertling.trim(run)
    assert not (run / "trimmed" / "trimming.json").exists()
