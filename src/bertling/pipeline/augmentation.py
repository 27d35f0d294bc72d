"""The stages ``masked-lm`` and ``augment``: the training set grown by word replacement."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from bertling.augmentation.augmented import read_sizes, sample_augmented
from bertling.augmentation.finder_settings import FinderSettings
from bertling.augmentation.word_vectors import WordVectors
from bertling.augmentation.words import ENGLISH
from bertling.augmentation.workers import augment_with_workers
from bertling.data.tokenization import TokenRows
from bertling.files import write_whole
from bertling.models.masked_lm import fit_masked_lm_head, has_masked_lm_head
from bertling.pipeline.context import Context, hash_model, settings
from bertling.pipeline.corpus import general_tokens
from bertling.pipeline.fingerprint import hash_path
from bertling.pipeline.stages import Clock, scratch
from bertling.recipe.schema import AugmentSection
from bertling.results import Augmentation, AugmentedExample, ReplacedWord

_SHOWN_EXAMPLES = 12
_NOT_ABOUT_HEADS = ("masked_lm", "word_vectors", "head_steps")


def augment(context: Context) -> None:
    """Write variants of every training text, if the recipe asks for them."""
    recipe, section = context.recipe, context.recipe.augment
    if section is None:
        return
    masked_lm, inputs = _masked_lm(context, section)
    if section.word_vectors:
        inputs["word_vectors"] = hash_path(section.word_vectors)

    def work(folder: Path, clock: Clock) -> None:
        cache = scratch(folder) / "vectors"
        if section.word_vectors:
            WordVectors.load(section.word_vectors, cache)  # here, and not in each of the workers
        augment_with_workers(
            context.train,
            FinderSettings(
                masked_lm=masked_lm,
                vectors=section.word_vectors,
                cache=cache,
                candidates=section.candidates,
                mode=section.mode,
                stop_words=stop_words(section),
                max_length_tokens=recipe.data.max_length_tokens,
                precision=section.precision,
            ).build,
            folder / "rows",
            workers=section.workers,
            variants=section.variants,
            probability=section.probability,
            seed=recipe.seed,
            progress=_ProgressLines(context, clock),
        )

    context.stages.run(
        "augment",
        version=1,
        settings=[settings(section, without=_NOT_ABOUT_HEADS), recipe.data.max_length_tokens, recipe.seed],
        inputs={**context.digest("data"), **inputs},
        work=work,
    )


def summarize(context: Context) -> Augmentation | None:
    """What the report says about the augmentation; None without one."""
    section = context.recipe.augment
    if section is None:
        return None
    sizes = read_sizes(context.augmented_rows)
    fitted = context.stages.done.get("masked-lm")
    return Augmentation(
        source_rows=sizes.source_rows,
        rows=sizes.rows,
        unvaried_rows=sizes.unvaried_rows,
        mode=section.mode,
        masked_lm=section.masked_lm or context.recipe.source,
        head_accuracy=json.loads((fitted.folder / "fit.json").read_text())["accuracy"] if fitted else None,
        sample=[
            AugmentedExample(
                text=row.text,
                text_pair=row.text_pair,
                replaced=[
                    ReplacedWord(side=word.side, start=word.start, end=word.end, word=word.word)
                    for word in row.replaced
                ],
            )
            for row in sample_augmented(context.augmented_rows, _SHOWN_EXAMPLES, seed=context.recipe.seed)
        ],
    )


def stop_words(section: AugmentSection) -> frozenset[str]:
    """The words that are never replaced."""
    if section.stop_words == "english":
        return ENGLISH
    return frozenset() if section.stop_words == "none" else frozenset(section.stop_words)


def _masked_lm(context: Context, section: AugmentSection) -> tuple[str, dict[str, str]]:
    """The model that proposes words, and what its content depends on."""
    name = section.masked_lm or context.recipe.source
    if section.masked_lm or has_masked_lm_head(name):
        return name, {"masked_lm": hash_model(name)}

    def work(folder: Path, clock: Clock) -> None:
        fit = fit_masked_lm_head(
            name,
            _head_texts(context),
            context.tokenizer,
            steps=section.head_steps,
            seed=context.recipe.seed,
        )
        context.save(fit.model, folder / "model")
        write_whole(folder / "fit.json", json.dumps(asdict(fit.after)))
        context.console.print(
            f"{'':>14}{name} has no masked-LM head; one was fitted: it guesses {fit.after.accuracy:.1%} of "
            f"held-out words, {fit.before.accuracy:.1%} before",
            soft_wrap=True,
        )
        if section.mode == "masked":
            context.console.print(
                f"{'':>14}such a head is of little use in mode = 'masked', since the encoder may never have "
                "seen a mask token: look at the sample in the report, or set mode = 'unmasked'",
                soft_wrap=True,
            )

    context.stages.run(
        "masked-lm",
        version=1,
        settings=[section.head_steps, context.recipe.seed],
        inputs={"model": hash_model(name), **context.digest("corpus" if _has_corpus(context) else "data")},
        work=work,
    )
    return context.model_of("masked-lm"), context.digest("masked-lm")


def _has_corpus(context: Context) -> bool:
    """Whether there are texts to fit a head on that stand in rows of their own."""
    return context.recipe.general is not None and not context.recipe.general.packed


def _head_texts(context: Context) -> TokenRows:
    return general_tokens(context) if _has_corpus(context) else context.train_tokens


class _ProgressLines:
    """A line at the start and at each tenth; each shard is a place to go on from, so the time is noted."""

    def __init__(self, context: Context, clock: Clock) -> None:
        self._console = context.console
        self._clock = clock
        self._shown = -1

    def __call__(self, done: int, total: int) -> None:
        self._clock.note()
        if (tenth := 10 * done // total) > self._shown:
            self._shown = tenth
            self._console.print(f"{'':>14}{done:,} of {total:,} texts")
