"""Tiny tokenizers of three kinds, masked language models for them, and word vectors: made in code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from tests import tiny
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import BPE, Unigram
from transformers import (
    AutoModelForMaskedLM,
    BertTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from bertling.augmentation.word_vectors import WordVectors

WORDS = (
    *("good", "great", "fine", "bad", "dull", "film", "movie", "story", "cafe", "café", "play", "truly"),
    *("the", "was", "not", "a", "Film", "GOOD", "o'clock", "far-off"),
)
# What begins a word in the vocabulary and is none.
NO_WORDS = ("3", "3d", "don'", "a_b", "--", "'")
PUNCTUATION = (",", ".", "(", ")", "!", "-", "'", '"')
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
KINDS = ("wordpiece", "byte-level", "metaspace")
MARKS = {"wordpiece": "", "byte-level": "Ġ", "metaspace": "▁"}


def tokenizer(kind: str, **settings: bool) -> PreTrainedTokenizerBase:
    """``playful`` has several pieces in every kind; everything in ``WORDS`` has one."""
    return {"wordpiece": wordpiece, "byte-level": byte_level, "metaspace": metaspace}[kind](**settings)


def wordpiece(*, do_lower_case: bool = True) -> PreTrainedTokenizerBase:
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *NO_WORDS, *PUNCTUATION, "##ful", "##s"]
    made: PreTrainedTokenizerBase = BertTokenizer(vocab=_numbered(entries), do_lower_case=do_lower_case)
    return made


def byte_level(*, trim_offsets: bool = True) -> PreTrainedTokenizerBase:
    entries = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *map(_bytes, WORDS)]
    entries += [_bytes(f" {word}") for word in (*WORDS, *NO_WORDS, *PUNCTUATION)]
    backend = Tokenizer(BPE(vocab=_numbered(entries), merges=[], ignore_merges=True))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=trim_offsets, add_prefix_space=False
    )
    return _wrapped(backend)


def metaspace() -> PreTrainedTokenizerBase:
    scores = dict.fromkeys(SPECIAL, 0.0)
    scores |= {f"▁{entry}": -2.0 for entry in (*WORDS, *NO_WORDS)}
    scores |= dict.fromkeys((*WORDS, *PUNCTUATION, "ful"), -3.0)
    scores |= {"▁": -5.0, "s": -9.0}
    backend = Tokenizer(Unigram(vocab=list(scores.items()), unk_id=3))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single=["<s>", "$A", "</s>"], special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return _wrapped(backend)


def ids_of(tokenizer: PreTrainedTokenizerBase, kind: str, words: Sequence[str] = WORDS) -> dict[str, int]:
    """The entries for words that have a space before them."""
    entries = [MARKS[kind] + (_bytes(word) if kind == "byte-level" else word) for word in words]
    vocabulary = tokenizer.get_vocab()
    return {word: vocabulary[entry] for word, entry in zip(words, entries, strict=True)}


def masked_lm(
    tokenizer: PreTrainedTokenizerBase, architecture: str = "bert", *, seed: int = 0
) -> PreTrainedModel:
    """Random, with weights large enough that every token shows at every position."""
    settings = {"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    return masked_lm_of(tiny.config(architecture, **settings), seed=seed)


def masked_lm_of(config: PretrainedConfig, *, seed: int = 0) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForMaskedLM.from_config(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(noise * 0.3 if parameter.dim() > 1 else parameter + noise * 0.1)
    model.eval()
    return model


def preferring(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> PreTrainedModel:
    """A masked LM that ranks ``ids`` first, in this order, wherever it is asked."""
    model = masked_lm(tokenizer)
    head = model.get_output_embeddings()
    with torch.no_grad():
        head.weight.zero_()
        head.bias.copy_(-torch.arange(len(tokenizer)) - 100.0)
        head.bias[torch.tensor(ids)] = torch.arange(len(ids), 0, -1.0)
    return model


def vectors(of: Mapping[str, Sequence[float]]) -> WordVectors:
    matrix = np.array(list(of.values()), dtype=np.float32)
    return WordVectors(list(of), matrix / np.linalg.norm(matrix, axis=1, keepdims=True))


def _numbered(entries: Sequence[str]) -> dict[str, int]:
    return {entry: index for index, entry in enumerate(dict.fromkeys(entries))}


def _bytes(text: str) -> str:
    """As byte-level BPE spells it."""
    [(spelled, _)] = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    return spelled


def _wrapped(backend: Tokenizer) -> PreTrainedTokenizerBase:
    made: PreTrainedTokenizerBase = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
    )
    return made
