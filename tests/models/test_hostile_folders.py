"""Model folders that ask for code, for other files, or for more memory than there is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.models.downloads import message

from bertling.models.reading import find_model
from bertling.models.teacher import load_classifier, load_encoder, load_tokenizer, teacher_outputs

pytestmark = pytest.mark.faults


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.classifier(layers=1).save_pretrained(tmp_path / "model")
    tiny.tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def change(folder: Path, **settings: Any) -> str:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return str(folder)


@pytest.mark.parametrize("answer", ["y", "n"])
def test_code_in_a_model_folder_is_never_run_and_nobody_is_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    sprung = folder / "sprung"
    (folder / "trap.py").write_text(f"open({str(sprung)!r}, 'w')\nclass Trap: ...\n")
    auto = dict.fromkeys(("AutoConfig", "AutoModel", "AutoModelForSequenceClassification"), "trap.Trap")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings |= {"tokenizer_class": "Trap", "auto_map": {"AutoTokenizer": ["trap.Trap", "trap.Trap"]}}
    monkeypatch.setattr("builtins.input", lambda *prompt: answer)

    # Of an architecture that is known, the code is left alone; of an unknown one, the folder is refused.
    load_encoder(change(folder, auto_map=auto))
    change(folder, model_type="trap")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    readers: tuple[Callable[[], object], ...] = (
        lambda: load_encoder(str(folder)),
        lambda: load_tokenizer(str(folder)),
        lambda: teacher_outputs(str(folder)),
        lambda: load_classifier(str(folder), label_names=["a", "b"], new_head=True),
    )
    for read in readers:
        message(read)
    assert not sprung.exists()


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"num_labels": 10**9}, "num_labels is above 100,000"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers is above 1,000"),
        ({"vocab_size": 10**8}, "hold 14,|its config.json is of a model of 3,2"),
        ({"hidden_size": 2**31, "num_attention_heads": 1}, "its config.json is of a model of|cannot read"),
        ({"intermediate_size": 2**62}, "cannot read the model"),
        ({"attn_implementation": "somebody/kernels"}, "attn_implementation names code of the hub"),
        ({"attn_implementation": {"": "somebody/kernels"}}, "attn_implementation names code of the hub"),
        ({"transformers_weights": "../other.safetensors"}, "no safetensors of this folder"),
        ({"transformers_weights": "pytorch_model.bin"}, "no safetensors of this folder"),
        ({"hidden_size": "wide"}, "cannot read the model"),
        ({"hidden_act": ["gelu"]}, "cannot read the model"),
        ({"quantization_config": {"quant_method": "gptq"}}, "cannot read the model"),
    ],
)
def test_a_configuration_that_asks_for_too_much_is_refused_before_anything_is_made(
    folder: Path, settings: dict[str, Any], shown: str
) -> None:
    assert re.search(shown, message(lambda: load_encoder(change(folder, **settings))))


@pytest.mark.parametrize("name", ["../model.safetensors", "pytorch_model.bin", None])
def test_a_list_of_weights_cannot_lead_out_of_the_folder_or_to_pickles(folder: Path, name: object) -> None:
    (folder / "model.safetensors").rename(folder / "part.safetensors")
    torch.save({}, folder / "pytorch_model.bin")
    index = {"metadata": {}, "weight_map": {"classifier.bias": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "no safetensors of this folder" in message(lambda: load_encoder(str(folder)))


def test_adapters_which_name_another_model_are_refused(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    assert "holds an adapter" in message(lambda: load_encoder(str(folder)))


@pytest.mark.parametrize("labels", [{"id2label": {"0": 5, "1": "b"}}, {"id2label": {"0": ["a"]}}])
def test_labels_that_are_no_strings_are_refused(folder: Path, labels: dict[str, Any]) -> None:
    assert message(lambda: teacher_outputs(change(folder, **labels)))


@pytest.mark.parametrize("name", ["package:__main__", "~nobody-of-this-name/model", "x" * 5000])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    assert message(lambda: find_model(name))


@pytest.mark.parametrize("names", [[7], 7, [None, "BertForSequenceClassification"]])
def test_architectures_that_are_no_names_tell_nothing_of_a_model(folder: Path, names: object) -> None:
    labels = load_encoder(str(folder)).config.id2label or {}
    model = load_classifier(
        change(folder, architectures=names), label_names=list(labels.values()), new_head=False
    )
    assert model.config.num_labels == len(labels)


def test_a_vocabulary_without_its_unknown_token_is_refused(folder: Path) -> None:
    path = folder / "tokenizer.json"
    read = json.loads(path.read_text())
    del read["model"]["vocab"][read["model"]["unk_token"]]
    read["added_tokens"] = [token for token in read["added_tokens"] if token["content"] != "[UNK]"]
    path.write_text(json.dumps(read))
    assert "cannot read the tokenizer" in message(lambda: load_tokenizer(str(folder)))
