"""Stage ``corpus``: unlabelled text as token shards, which distillation reads by random access.

``general/`` holds the blocks of the general stage; ``unlabelled/`` those that task stages learn from, as long
as the task's own texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from bertling.data.corpus import read_corpus
from bertling.data.hub import read_hub_corpus
from bertling.data.shards import load_shards, write_shards
from bertling.data.tokenization import TokenRows
from bertling.pipeline.context import Context
from bertling.pipeline.fingerprint import hash_path
from bertling.pipeline.stages import Clock

_WHICH_BLOCKS = {
    "corpus_hub",
    "corpus_split",
    "corpus_column",
    "corpus_texts",
    "max_length_tokens",
    "packed",
}


def prepare_corpus(context: Context) -> None:
    """Tokenise what the recipe's stages read: nothing for most recipes without a general stage."""
    recipe, general = context.recipe, context.recipe.general
    unlabelled = reads_unlabelled(context)
    if not (general or unlabelled):
        return

    def work(folder: Path, clock: Clock) -> None:
        if general:
            write_shards(
                general_texts(context),
                context.tokenizer,
                folder / "general",
                max_length_tokens=general.max_length_tokens,
                packed=general.packed,
                workers=general.workers,
            )
        if unlabelled:
            write_shards(
                read_corpus(recipe.data.unlabelled) if recipe.data.unlabelled else general_texts(context),
                context.tokenizer,
                folder / "unlabelled",
                max_length_tokens=recipe.data.max_length_tokens,
                workers=general.workers if general else 1,
            )

    context.stages.run(
        "corpus",
        version=1,
        settings=[
            general and general.model_dump(mode="json", include=_WHICH_BLOCKS),
            unlabelled and recipe.data.max_length_tokens,
        ],
        inputs={"model": context.pretrained_hash, **_source_hashes(context)},
        work=work,
    )


def general_tokens(context: Context) -> TokenRows:
    """The general stage's blocks, mapped from disk."""
    return load_shards(context.stages.done["corpus"].folder / "general")


def unlabelled_tokens(context: Context) -> TokenRows:
    """What task stages with ``unlabelled = true`` learn from beside the training set, mapped from disk."""
    return load_shards(context.stages.done["corpus"].folder / "unlabelled")


def reads_unlabelled(context: Context) -> bool:
    """Whether a task stage learns from unlabelled text."""
    stages = (context.recipe.intermediate, context.recipe.prediction)
    return any(section is not None and section.unlabelled for section in stages)


def general_texts(context: Context) -> Iterator[str]:
    """The texts of the general stage."""
    general = context.recipe.general
    assert general is not None
    if general.corpus_hub:
        texts = read_hub_corpus(general.corpus_hub, split=general.corpus_split, column=general.corpus_column)
    else:
        texts = read_corpus(corpus_path(context), column=general.corpus_column)
    return islice(texts, general.corpus_texts)


def _source_hashes(context: Context) -> dict[str, str]:
    """By content; a data set on the hub stands for itself, by the name in the settings."""
    hashes = {}
    if context.recipe.general and not context.recipe.general.corpus_hub:
        hashes["general"] = hash_path(corpus_path(context))
    if context.recipe.data.unlabelled and reads_unlabelled(context):
        hashes["unlabelled"] = hash_path(context.recipe.data.unlabelled)
    return hashes


def corpus_path(context: Context) -> Path:
    """File or folder of the general stage's texts, where they do not come from a hub."""
    assert context.recipe.general is not None
    return context.recipe.general.corpus or context.stages.done["data"].folder / "corpus.txt"
