from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests import tiny
from tests.models.downloads import QUERY, WORDS, download, message, refusal, weights
from transformers import AutoModel, AutoTokenizer

from bertling.errors import ShapeError
from bertling.models.original import ImportReport, import_original
from bertling.models.student import Shape
from bertling.models.teacher import load_classifier, load_encoder, load_tokenizer

BATCH = tiny.batch([7, 3])


@pytest.mark.parametrize("format", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("prefix", ["bert.", ""])
def test_an_encoder_comes_back_as_the_original_code_saved_it(
    tmp_path: Path, format: str, prefix: str
) -> None:
    model = tiny.encoder()
    source = download(tmp_path / "source", weights(model, prefix), format=format)
    report = import_original(source, tmp_path / "target")
    expected = model(**BATCH)
    for loaded in (load_encoder(str(tmp_path / "target")), AutoModel.from_pretrained(tmp_path / "target")):
        got = loaded.eval()(**BATCH)
        assert torch.equal(got.last_hidden_state, expected.last_hidden_state)
        assert torch.equal(got.pooler_output, expected.pooler_output)
    assert report == ImportReport(
        shape=Shape(layers=2, width=32, heads=4, ffn=48),
        vocabulary=200,
        lower_case=True,
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        taken=tuple(model.state_dict()),
        projections={},
        heads=(),
        unused=(),
        missing=(),
    )


def test_layer_norms_have_their_old_names_or_the_new_ones(tmp_path: Path) -> None:
    model = tiny.encoder()
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in weights(model).items()
    }
    assert old.keys() != weights(model).keys()
    import_original(download(tmp_path / "source", old), tmp_path / "target")
    loaded = load_encoder(str(tmp_path / "target"))
    assert torch.equal(loaded(**BATCH).last_hidden_state, model(**BATCH).last_hidden_state)


def test_what_is_not_the_encoder_is_dropped_and_named(tmp_path: Path) -> None:
    tensors = weights(tiny.encoder())
    tensors |= {
        "fit_dense.weight": torch.zeros(48, 32),
        "fit_dense.bias": torch.zeros(48),
        "fit_denses.10.weight": torch.zeros(40, 32),
        "cls.predictions.bias": torch.zeros(200),
        # As in the original: the head's decoder is the embedding table.
        "cls.predictions.decoder.weight": tensors[f"bert.{WORDS}"],
        "cls.seq_relationship.weight": torch.zeros(2, 32),
        "bert.embeddings.position_ids": torch.arange(48)[None],
        "something.else": torch.zeros(1),
    }
    report = import_original(download(tmp_path / "source", tensors), tmp_path / "target")
    assert report.projections == {
        "fit_dense.bias": (48,),
        "fit_dense.weight": (48, 32),
        "fit_denses.10.weight": (40, 32),
    }
    assert report.heads == (
        "cls.predictions.bias",
        "cls.predictions.decoder.weight",
        "cls.seq_relationship.weight",
    )
    assert report.unused == ("embeddings.position_ids", "something.else")
    assert load_file(tmp_path / "target" / "model.safetensors").keys() == set(report.taken)
    assert set(report.taken) == tiny.encoder().state_dict().keys()


def test_a_pooler_that_is_missing_is_left_out(tmp_path: Path) -> None:
    model = tiny.encoder()
    tensors = {name: value for name, value in weights(model).items() if "pooler" not in name}
    report = import_original(download(tmp_path / "source", tensors), tmp_path / "target")
    assert report.missing == ("pooler.dense.bias", "pooler.dense.weight")
    assert not any("pooler" in name for name in load_file(tmp_path / "target" / "model.safetensors"))
    loaded = load_encoder(str(tmp_path / "target"))
    assert "pooler" not in dict(loaded.named_children())
    assert torch.equal(loaded(**BATCH).last_hidden_state, model(**BATCH).last_hidden_state)
    classifier = load_classifier(str(tmp_path / "target"), label_names=["no", "yes"], new_head=True)
    assert classifier(**BATCH).logits.shape == (2, 2)


@pytest.mark.parametrize("name", [QUERY, "pooler.dense.bias", "embeddings.LayerNorm.weight", WORDS])
def test_any_other_weight_that_is_missing_is_refused_and_named(tmp_path: Path, name: str) -> None:
    tensors = weights(tiny.encoder())
    del tensors[f"bert.{name}"]
    text = refusal(tmp_path, tensors)
    assert "pytorch_model.bin" in text
    assert name in text


def test_the_tokenizer_reads_the_vocabulary(tmp_path: Path) -> None:
    import_original(download(tmp_path / "source", weights(tiny.encoder())), tmp_path / "target")
    ours, theirs = (
        load_tokenizer(str(tmp_path / "target")),
        AutoTokenizer.from_pretrained(tmp_path / "target"),
    )
    assert ours.get_vocab() == theirs.get_vocab() == tiny.tokenizer().get_vocab()
    assert ours("w1x2 W3", "w5")["input_ids"] == [2, 6, 105, 8, 3, 10, 3]
    assert ours.model_max_length == 48
    assert theirs("W3")["input_ids"] == [2, 8, 3]


@pytest.mark.parametrize(
    ("tokenizer_config", "lower_case", "expected"),
    [
        (None, True, True),
        (None, False, False),
        ({"do_lower_case": False}, True, False),
        ({"do_lower_case": True}, False, True),
        ({"model_max_length": 512}, False, False),
    ],
)
def test_lower_casing_is_as_the_source_says_or_else_as_asked(
    tmp_path: Path, tokenizer_config: dict[str, Any] | None, lower_case: bool, expected: bool
) -> None:
    source = download(tmp_path / "source", weights(tiny.encoder()))
    if tokenizer_config is not None:
        (source / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    report = import_original(source, tmp_path / "target", lower_case=lower_case)
    assert report.lower_case is expected
    ids = load_tokenizer(str(tmp_path / "target"))("W3")["input_ids"]
    assert ids == ([2, 8, 3] if expected else [2, 1, 3])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_of_other_precision_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    model = tiny.encoder()
    source = download(tmp_path / "source", {name: t.to(dtype) for name, t in weights(model).items()})
    import_original(source, tmp_path / "target")
    saved = load_file(tmp_path / "target" / "model.safetensors")
    for name, tensor in saved.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, model.state_dict()[name].to(dtype).float())


def test_foreign_settings_are_left_behind_and_ours_are_kept(tmp_path: Path) -> None:
    source = download(tmp_path / "source", weights(tiny.encoder()), layer_norm_eps=1e-7, auto_map={"x": "y"})
    import_original(source, tmp_path / "target")
    saved = json.loads((tmp_path / "target" / "config.json").read_text())
    assert not {"cell", "emb_size", "structure", "pre_trained", "training", "auto_map"} & saved.keys()
    assert (saved["model_type"], saved["architectures"]) == ("bert", ["BertModel"])
    assert (saved["layer_norm_eps"], saved["intermediate_size"]) == (1e-7, 48)


def test_one_tensor_under_two_names_is_refused(tmp_path: Path) -> None:
    model = tiny.encoder()
    text = refusal(tmp_path, weights(model) | {WORDS: torch.zeros(200, 32)})
    assert f"holds {WORDS} twice, under two names" in text


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({"model_type": "roberta"}, "model_type is 'roberta'; a TinyBERT is a bert"),
        ({"model_type": None}, "model_type is None"),
        ({"hidden_size": None}, "hidden_size is None, expected a whole number of at least 1"),
        ({"hidden_size": "32"}, "hidden_size is '32'"),
        ({"hidden_size": 32.0}, r"hidden_size is 32.0"),
        ({"num_hidden_layers": True}, "num_hidden_layers is True"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0"),
        ({"vocab_size": -1}, "vocab_size is -1"),
        ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob is 1.5, expected a number from 0 to 1"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps is nan"),
        ({"hidden_act": "os.system"}, "hidden_act is 'os.system', which is no activation function"),
        ({"hidden_act": ["gelu"]}, "hidden_act is ['gelu']"),
    ],
)
def test_settings_that_make_no_bert_are_refused(tmp_path: Path, settings: dict[str, Any], shown: str) -> None:
    assert shown in refusal(tmp_path, weights(tiny.encoder()), **settings)


def test_heads_that_do_not_share_the_width_are_refused(tmp_path: Path) -> None:
    source = download(tmp_path / "source", weights(tiny.encoder()), num_attention_heads=5)
    with pytest.raises(ShapeError, match="width 32 is not a multiple of heads 5"):
        import_original(source, tmp_path / "target")


def without(token: str) -> Callable[[str], str]:
    return lambda text: text.replace(f"{token}\n", "another\n")


@pytest.mark.parametrize(
    ("edit", "shown"),
    [
        (lambda text: text.removesuffix("##x96\n"), "has 199 entries, config.json says vocab_size 200"),
        (lambda text: text + "more\n", "has 201 entries, config.json says vocab_size 200"),
        (lambda text: text.replace("w1\n", "w2\n", 1), "1 entries come twice"),
        (without("[MASK]"), r"lacks [MASK]"),
        (without("[PAD]"), r"lacks [PAD]"),
    ],
)
def test_a_vocabulary_of_another_model_is_refused(
    tmp_path: Path, edit: Callable[[str], str], shown: str
) -> None:
    source = download(tmp_path / "source", weights(tiny.encoder()))
    text = (source / "vocab.txt").read_text()
    (source / "vocab.txt").write_text(edit(text))
    assert shown in message(lambda: import_original(source, tmp_path / "target"))


def test_a_vocabulary_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    source = download(tmp_path / "source", weights(tiny.encoder()))
    (source / "vocab.txt").write_bytes(b"[PAD]\n\xff\n")
    assert "vocab.txt cannot be read" in message(lambda: import_original(source, tmp_path / "target"))


def test_only_line_feeds_end_an_entry_of_the_vocabulary(tmp_path: Path) -> None:
    source = download(tmp_path / "source", weights(tiny.encoder()))
    entries = (source / "vocab.txt").read_text().split("\n")
    entries[5], entries[6] = "\u2028", "\x85"
    (source / "vocab.txt").write_bytes("\r\n".join(entries).encode())
    import_original(source, tmp_path / "target")
    vocabulary = load_tokenizer(str(tmp_path / "target")).get_vocab()
    assert (vocabulary["\u2028"], vocabulary["\x85"], vocabulary["w2"]) == (5, 6, 7)


def test_padding_is_where_the_vocabulary_has_it(tmp_path: Path) -> None:
    source = download(tmp_path / "source", weights(tiny.encoder()))
    entries = (source / "vocab.txt").read_text().split("\n")
    entries[0], entries[5] = entries[5], entries[0]
    (source / "vocab.txt").write_text("\n".join(entries))
    import_original(source, tmp_path / "target")
    assert load_encoder(str(tmp_path / "target")).config.pad_token_id == 5
    assert load_tokenizer(str(tmp_path / "target")).pad_token_id == 5


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"3" * 10_000])
@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_damaged_settings_are_a_model_error(tmp_path: Path, name: str, content: bytes) -> None:
    source = download(tmp_path / "source", weights(tiny.encoder()))
    (source / name).write_bytes(content)
    assert name in message(lambda: import_original(source, tmp_path / "target"))


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "pytorch_model.bin"])
def test_a_file_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    source = download(tmp_path / "source", weights(tiny.encoder()))
    (source / name).unlink()
    text = message(lambda: import_original(source, tmp_path / "target"))
    assert f"in {source}; expected the folder of a downloaded General TinyBERT" in text
    assert name in text
    (source / name).mkdir()
    assert name in message(lambda: import_original(source, tmp_path / "target"))
    assert "there is no file config.json" in message(
        lambda: import_original(tmp_path / "nowhere", tmp_path / "target")
    )


def test_an_empty_folder_is_written_to_and_one_that_holds_something_never(tmp_path: Path) -> None:
    source = download(tmp_path / "source", weights(tiny.encoder()))
    (tmp_path / "empty").mkdir()
    import_original(source, tmp_path / "empty")
    assert load_encoder(str(tmp_path / "empty")).config.hidden_size == 32
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for taken in ("full", "file", "empty", "source"):
        before = sorted(tmp_path.rglob("*"))
        text = message(lambda taken=taken: import_original(source, tmp_path / taken))  # type: ignore[misc]
        assert "exists already; name a folder that is new or empty" in text
        assert sorted(tmp_path.rglob("*")) == before


def test_the_folders_on_the_way_are_made_and_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    source = download(tmp_path / "source", weights(tiny.encoder()))
    import_original(source, tmp_path / "a" / "b" / "c")
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["c"]
    (tmp_path / "file").write_text("")
    assert "cannot write" in message(lambda: import_original(source, tmp_path / "file" / "target"))


def test_an_import_says_nothing_by_itself(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = download(tmp_path / "source", weights(tiny.encoder()))
    capfd.readouterr()
    import_original(source, tmp_path / "target")
    assert capfd.readouterr() == ("", "")
