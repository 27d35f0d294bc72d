"""A student with the vocabulary of its domain: fewer pieces, a smaller embedding, the same answers.

V entries before, K after.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from bertling.data.corpus import corpus_files, read_corpus_file, require_text
from bertling.data.examples import Examples
from bertling.data.loading import text_columns
from bertling.data.tokenized_examples import tokenize_examples
from bertling.data.vocabulary import TrimmedTokenizer, count_pieces, trim_tokenizer, vocabulary_end
from bertling.errors import DataError, ModelError, RunFolderError
from bertling.evaluation.metrics import score
from bertling.evaluation.size import parameter_count
from bertling.files import digest_of_weights, whole_folder
from bertling.models.reading import quiet_transformers
from bertling.models.task_model import load_task_model
from bertling.models.teacher import load_tokenizer
from bertling.models.trimming import load_as_saved, needed_ids, trim_model
from bertling.pipeline.card import trimmed_card
from bertling.pipeline.judging import answer
from bertling.pipeline.students import RunStudent, student_of_run
from bertling.results_of_exports import TRIMMING, Trimming

_COMPARED_TEXTS = 1000
_NO_LIMIT = 1 << 20
_TOKENIZER = "tokenizer.json"


def trim(
    source: str | Path,
    *,
    texts: Sequence[Path] = (),
    output: Path | None = None,
    min_count: int = 1,
    batch_size: int = 64,
) -> Trimming:
    """Drop the pieces that texts do not use from a model's tokenizer and embedding.

    A text whose pieces all stay gives the same ones as before, and the same logits; a piece that is dropped
    gives way to shorter ones, and what stays for that `bertling.data.vocabulary` says.

    Args:
        source: run folder, whose training set is looked at; or folder or hub name of a saved model with or
            without a head.
        texts: files, or folders of them, as `read_corpus` reads them: a text a line, or in .jsonl and
            .parquet in the columns of the run's task, or ``text``. Beside a run's training set.
        output: folder to write, new or an earlier result; default: ``RUN/trimmed``.
        min_count: pieces that occur less often in all these texts are dropped.
        batch_size: texts at a time while the model is scored.

    Raises:
        DataError: no texts, or texts that cannot be read.
        ModelError: no such model, or a tokenizer that cannot be trimmed.
        RunFolderError: the folder to write holds something else.
    """
    student = student_of_run(source)
    name = str(student.model) if student else str(source)
    if min_count < 1:
        raise DataError(f"got min_count = {min_count}; expected 1 or more occurrences")
    if student is None and (not texts or output is None):
        raise DataError(
            f"{name} is no run folder (it has no recipe.toml), so it does not say all that is needed. Give "
            "--texts and --output, or the folder of a run"
        )
    folder = output or Path(source) / "trimmed"
    _refuse_foreign(folder)
    tokenizer, model = load_tokenizer(name), load_as_saved(name)
    written = tokenizer.backend_tokenizer.to_str()  # before a call leaves its length limit in it
    known = _examples_of(student) if student else None
    counts, read = _count(tokenizer, known["train"] if known else None, _Files(texts, student))
    wanted = {*np.flatnonzero(counts >= min_count).tolist(), *needed_ids(model.config)}
    trimmed = trim_tokenizer(written, wanted)
    small = trim_model(model, trimmed.kept.tolist())
    compared = known["test"] if known else _first(_Files(texts, student))
    with whole_folder(folder) as partial:
        with quiet_transformers():
            small.save_pretrained(partial)
        load_tokenizer(name).save_pretrained(partial)
        (partial / _TOKENIZER).write_text(trimmed.json, encoding="utf-8")
        dropped = _compare(tokenizer, trimmed, partial, compared)
        result = Trimming(
            texts=read,
            min_count=min_count,
            pieces_before=len(tokenizer),
            pieces_after=len(trimmed.kept),
            parameters_before=parameter_count(model),
            parameters_after=parameter_count(small),
        )
        if student:
            result = result.model_copy(
                update={
                    "examples": len(compared),
                    "resplit_fraction": dropped,
                    "metric": student.task.metric,
                    "score_before": _score(student, student.model, compared, batch_size),
                    "score_after": _score(student, partial, compared, batch_size),
                    "student_digest": digest_of_weights(student.model),
                }
            )
        (partial / TRIMMING).write_text(result.model_dump_json(indent=1), encoding="utf-8")
        (partial / "README.md").write_text(trimmed_card(result, name), encoding="utf-8")
    return result


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and (
        not folder.is_dir() or (any(folder.iterdir()) and not (folder / TRIMMING).is_file())
    ):
        raise RunFolderError(
            f"{folder} holds something else than a trimmed model, which would be lost: name a new or empty "
            "folder with --output"
        )


def _examples_of(student: RunStudent) -> dict[str, Examples]:
    instead = f"trim {student.model} by itself, moved elsewhere, with --texts and --output"
    return {part: student.kept(part, instead=instead) for part in ("train", "test")}


class _Files:
    """The texts of files, each time anew."""

    def __init__(self, paths: Sequence[Path], student: RunStudent | None) -> None:
        self._paths = paths
        self._columns = text_columns(student.task) if student else ["text"]
        self.count = 0

    def __iter__(self) -> Iterator[str]:
        self.count = 0
        for path in self._paths:
            for text in require_text(str(path), self._texts_in(path)):
                self.count += 1
                yield text

    def _texts_in(self, path: Path) -> Iterator[str]:
        for file, kind in corpus_files(path):
            # Plain text has no columns.
            for column in self._columns[:1] if kind == "text" else self._columns:
                yield from read_corpus_file(file, kind, column=column)


def _count(
    tokenizer: PreTrainedTokenizerBase, train: Examples | None, files: _Files
) -> tuple[npt.NDArray[np.int64], int]:
    """How often each piece occurs, (V,), and in how many texts."""
    counts = count_pieces(tokenizer, files)
    if train is None:
        return counts, files.count
    pieces = np.concatenate(_rows(tokenizer, train))
    return counts + np.bincount(pieces, minlength=vocabulary_end(tokenizer)), files.count + len(train)


def _first(texts: Iterable[str]) -> Examples:
    return Examples(list(islice(texts, _COMPARED_TEXTS)), None, None, None)


def _rows(tokenizer: PreTrainedTokenizerBase, examples: Examples) -> list[npt.NDArray[np.int64]]:
    """The ids of each example, uncut."""
    tokens = tokenize_examples(tokenizer, examples, max_length_tokens=_NO_LIMIT)
    return [np.asarray(tokens[row]["input_ids"], dtype=np.int64) for row in range(len(tokens))]


def _compare(
    tokenizer: PreTrainedTokenizerBase, trimmed: TrimmedTokenizer, folder: Path, examples: Examples
) -> float:
    """The share of pieces, special tokens aside, that are dropped.

    Raises:
        ModelError: a text without them is tokenised otherwise than before.
    """
    small = load_tokenizer(str(folder))
    new_ids = np.full(vocabulary_end(tokenizer), -1)
    new_ids[trimmed.kept] = np.arange(len(trimmed.kept))
    before, after = _rows(tokenizer, examples), _rows(small, examples)
    renumbered = [new_ids[row] for row in before]
    wrong = sum(
        bool((row >= 0).all()) and not np.array_equal(row, other)
        for row, other in zip(renumbered, after, strict=True)
    )
    if wrong or small.get_vocab() != Tokenizer.from_str(trimmed.json).get_vocab():
        raise ModelError(
            f"the trimmed {type(tokenizer).__name__} is not read back as it was written: {wrong} of "
            f"{len(before)} texts whose pieces all stay get others. Nothing was written; leave the "
            "vocabulary as it is, and report this with the tokenizer"
        )
    pieces = np.concatenate(before)
    pieces = pieces[~np.isin(pieces, tokenizer.all_special_ids)]
    return float((new_ids[pieces] < 0).mean()) if len(pieces) else 0.0


def _score(student: RunStudent, folder: Path, examples: Examples, batch_size: int) -> float:
    """The model's score on the run's evaluation set, by its task's metric."""
    task, data = student.task, student.recipe.data
    model = load_task_model(str(folder), task, label_names=examples.label_names, new_head=False)
    answers = answer(
        model,
        load_tokenizer(str(folder)),
        examples,
        task,
        max_length_tokens=data.max_length_tokens,
        stride_tokens=data.stride_tokens,
        batch_size=batch_size,
    )
    return score(task.metric, answers, examples.label_array(), label_names=examples.label_names)
