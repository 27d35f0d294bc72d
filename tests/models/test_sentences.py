"""Sentence encoders: any encoder, and what sentence-transformers keeps beside one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny

from bertling.errors import ModelError
from bertling.models.capture import observe
from bertling.models.sentences import load_sentence_encoder, write_sentence_files
from bertling.models.student import Shape, create_student


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved encoder, with a pooler, and what makes it a sentence encoder."""
    tiny.encoder(width=16).save_pretrained(tmp_path)
    write_sentence_files(tmp_path, width=16, max_length_tokens=40)
    return tmp_path


def write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_every_encoder_embeds_and_gives_a_student_without_a_pooler(architecture: str, tmp_path: Path) -> None:
    tiny.encoder(architecture, layers=3).save_pretrained(tmp_path)
    teacher = load_sentence_encoder(str(tmp_path))
    student = create_student(teacher, Shape(2, 32, 4, 48), initialization="layers")
    batch = tiny.batch([5, 3])
    for model, last in ((teacher, 3), (student, 2)):
        assert not any("pooler" in name.split(".") for name, _ in model.named_parameters())
        with torch.inference_mode():
            # What scores read, and what losses read.
            read = model(**batch).last_hidden_state
            torch.testing.assert_close(observe(model, batch).hidden[last], read)


def test_the_files_are_those_that_sentence_transformers_writes(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    assert [(module["idx"], module["path"], module["type"]) for module in modules] == [
        (0, "", "sentence_transformers.models.Transformer"),
        (1, "1_Pooling", "sentence_transformers.models.Pooling"),
        (2, "2_Normalize", "sentence_transformers.models.Normalize"),
    ]
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text())
    assert pooling.pop("word_embedding_dimension") == 16
    assert [name for name, value in pooling.items() if value] == ["pooling_mode_mean_tokens"]
    assert json.loads((folder / "sentence_bert_config.json").read_text()) == {
        "max_seq_length": 40,
        "do_lower_case": False,
    }


def test_what_is_written_is_read_again(folder: Path) -> None:
    assert load_sentence_encoder(str(folder)).config.hidden_size == 16


def test_newer_names_of_pooling_and_modules_are_known(folder: Path) -> None:
    kind = "sentence_transformers.sentence_transformer.modules"
    write(
        folder / "modules.json",
        [{"path": "", "type": f"{kind}.Transformer"}, {"path": "pool", "type": f"{kind}.Pooling"}],
    )
    (folder / "pool").mkdir()
    write(folder / "pool" / "config.json", {"embedding_dimension": 16, "pooling_mode": "mean"})
    assert load_sentence_encoder(str(folder)).config.hidden_size == 16
    write(folder / "pool" / "config.json", {"embedding_dimension": 16, "pooling_mode": "cls"})
    with pytest.raises(ModelError, match=r"makes embeddings by cls \(pool/config.json\)"):
        load_sentence_encoder(str(folder))


@pytest.mark.parametrize(
    ("chosen", "named"),
    [(["cls_token"], "cls_token"), (["mean_tokens", "max_tokens"], "mean_tokens and max_tokens"), ([], "no")],
)
def test_another_way_to_an_embedding_is_refused(folder: Path, chosen: list[str], named: str) -> None:
    modes = ("cls_token", "mean_tokens", "max_tokens")
    write(folder / "1_Pooling" / "config.json", {f"pooling_mode_{mode}": mode in chosen for mode in modes})
    with pytest.raises(ModelError, match=f"makes embeddings by {named}.*supported is the mean over tokens"):
        load_sentence_encoder(str(folder))


def test_what_else_stands_behind_the_encoder_is_refused(folder: Path) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    dense = {"idx": 3, "name": "3", "path": "3_Dense", "type": "sentence_transformers.models.Dense"}
    write(folder / "modules.json", [*modules, dense])
    with pytest.raises(ModelError, match="has the modules Dense behind its encoder"):
        load_sentence_encoder(str(folder))


@pytest.mark.parametrize("content", ["{", "[]", '"text"'])
def test_a_damaged_file_is_named(folder: Path, content: str) -> None:
    (folder / "1_Pooling" / "config.json").write_text(content)
    with pytest.raises(ModelError, match=r"cannot read .*1_Pooling/config\.json"):
        load_sentence_encoder(str(folder))


def test_a_list_of_something_else_than_modules_is_refused(folder: Path) -> None:
    write(folder / "modules.json", ["sentence_transformers.models.Transformer"])
    with pytest.raises(ModelError, match=r"modules\.json lists something else than modules"):
        load_sentence_encoder(str(folder))
