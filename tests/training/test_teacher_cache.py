from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests import tiny
from tests.training import toy
from transformers import PreTrainedModel

from bertling.data.collation import PadToLongest
from bertling.data.examples import Examples
from bertling.data.tokenization import TokenizedTexts
from bertling.data.tokenized_examples import tokenize_examples
from bertling.data.word_tokenization import tokenize_words
from bertling.errors import DataError, ModelError
from bertling.models.capture import observe
from bertling.objectives.presets import TINYBERT_INTERMEDIATE, TINYBERT_PREDICTION
from bertling.states import Parts
from bertling.training import cache_filling
from bertling.training.arguments import training_arguments
from bertling.training.cache_filling import fill_teacher_cache, teacher_cache_bytes
from bertling.training.teacher_cache import TeacherCache, pad_taught
from bertling.training.trainer import DistillationTrainer

EVERYTHING = Parts(
    embedding=True,
    hidden=frozenset({2, 4}),
    attention=frozenset({1, 4}),
    values=frozenset({4}),
    logits=True,
)


def filled(
    folder: Path,
    rows: TokenizedTexts,
    parts: Parts = EVERYTHING,
    teacher: PreTrainedModel | None = None,
    **how: Any,
) -> TeacherCache:
    return fill_teacher_cache(
        teacher or toy.teacher(), rows, parts, folder=folder, tokenizer=tiny.tokenizer(), **how
    )


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class Shows:
    """Counts the rows that a teacher looks at, and may die on the way."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, die_after: int | None = None) -> None:
        self.rows = 0
        self.die_after = die_after

        def counted(model: Any, inputs: Any, **how: Any) -> Any:
            self.rows += len(inputs["input_ids"])
            if self.die_after is not None and self.rows > self.die_after:
                raise KeyboardInterrupt
            return observe(model, inputs, **how)

        monkeypatch.setattr(cache_filling, "observe", counted)


def test_a_cache_shows_what_the_teacher_shows(tmp_path: Path) -> None:
    rows, teacher = toy.texts(20), toy.teacher().eval()
    cache = filled(tmp_path, rows)
    assert len(cache) == 20
    for row in (0, 7, 19):
        ids = torch.as_tensor(rows[row]["input_ids"], dtype=torch.int64)[None]
        with torch.no_grad():
            expected = observe(
                teacher, {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, attention_layers=[1, 4]
            )
        taught = {name: torch.from_numpy(np.array(values))[None] for name, values in cache[row].items()}
        got = cache.states(taught, torch.ones_like(ids, dtype=torch.bool))
        assert_half = partial(torch.testing.assert_close, rtol=1e-3, atol=1e-4)
        assert_half(got.embedding, expected.embedding)
        assert expected.logits is not None
        torch.testing.assert_close(got.logits, expected.logits, rtol=1e-5, atol=1e-6)
        assert got.hidden.keys() == {2, 4}
        for layer, values in got.hidden.items():
            assert_half(values, expected.hidden[layer])
        assert got.attention.keys() == {1, 4}
        for layer, state in got.attention.items():
            assert state.scaling == expected.attention[layer].scaling
            assert_half(state.query, expected.attention[layer].query)
            assert_half(state.key, expected.attention[layer].key)
        assert_half(got.attention[4].value, expected.attention[4].value)
        assert not got.attention[1].value.numel()


@pytest.mark.parametrize("weights", [TINYBERT_INTERMEDIATE, TINYBERT_PREDICTION, toy.EVERY_TERM])
def test_training_from_a_cache_is_training_from_the_teacher(
    tmp_path: Path, weights: dict[str, float]
) -> None:
    rows = toy.texts(13)
    settings: dict[str, Any] = {"epochs": 2.0, "batch_size": 4, "log_steps": 1, "learning_rate": 1e-3}
    plain = toy.trainer(tmp_path / "plain", rows, weights=weights, **settings)
    plain.train()
    objective = toy.objective(weights)
    taught = DistillationTrainer(
        toy.student(),
        objective,
        teacher=filled(tmp_path / "cache", rows, objective.teacher_parts),
        args=training_arguments(tmp_path / "cached", weight_decay=0.0, **settings),
        train_dataset=rows,
        tokenizer=tiny.tokenizer(),
    )
    taught.train()
    expected = [point["loss"] for point in plain.state.log_history if "loss" in point]
    got = [point["loss"] for point in taught.state.log_history if "loss" in point]
    assert len(expected) == 8
    assert got == pytest.approx(expected, rel=1e-3)


def test_a_teacher_of_words_is_kept_token_by_token(tmp_path: Path) -> None:
    rows = tokenize_words(tiny.tokenizer(), [["w1x0", "w2"], ["w3"]], labels=[[1, 0], [1]])
    teacher = tiny.word_classifier()
    parts = Parts(logits=True, hidden=frozenset({2}))
    cache = filled(tmp_path, rows, parts, teacher)
    ids = torch.as_tensor(rows[0]["input_ids"], dtype=torch.int64)[None]
    with torch.no_grad():
        expected = teacher(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0]
    torch.testing.assert_close(torch.tensor(np.asarray(cache[0]["logits"])), expected)
    batch = pad_taught([cache[0], cache[1]], np.arange(5) < np.asarray([[5], [3]]))
    assert batch["logits"].shape == (2, 5, 2)
    assert batch["logits"].dtype == torch.float32
    kept = sum(file.stat().st_size - 128 for file in tmp_path.rglob("*.npy"))
    assert teacher_cache_bytes(teacher, rows, parts, tokenizer=tiny.tokenizer()) == kept


def test_batches_are_the_same_for_any_number_of_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_filling, "_BATCH_TOKENS", 60)
    rows = toy.texts(30)
    filled(tmp_path / "one", rows)
    whole = files(tmp_path / "one")
    # One after the other: the second finds the files of the first and fills in its own share.
    folder = tmp_path / "two"
    published: list[str] = []
    monkeypatch.setattr(cache_filling._Filling, "publish", lambda self: published.append("later"))
    for process in (0, 1):
        with pytest.raises(DataError, match="cannot be read"):
            filled(folder, rows, process=process, processes=2)
    monkeypatch.undo()
    monkeypatch.setattr(cache_filling, "_BATCH_TOKENS", 60)
    for process in (0, 1):
        got = {name: content for name, content in files(folder).items() if name.endswith(".partial")}
        assert {name.removesuffix(".partial"): content for name, content in got.items()} == whole, process


def test_what_is_there_is_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = toy.texts(10)
    filled(tmp_path, rows, Parts(hidden=frozenset({2}), logits=True))
    before = files(tmp_path)
    shows = Shows(monkeypatch)
    filled(tmp_path, rows, Parts(logits=True))
    assert shows.rows == 1  # to see the shapes
    assert files(tmp_path) == before
    filled(tmp_path, rows, Parts(hidden=frozenset({2, 4})))
    assert shows.rows == 1 + 1 + 10
    assert len(files(tmp_path)) == len(before) + 1


def test_a_killed_filling_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_filling, "_BATCH_TOKENS", 60)
    monkeypatch.setattr(cache_filling, "_BATCHES_BETWEEN_NOTES", 2)
    rows = toy.texts(40)
    filled(tmp_path / "undisturbed", rows)
    shows = Shows(monkeypatch, die_after=20)
    with pytest.raises(KeyboardInterrupt):
        filled(tmp_path / "killed", rows)
    # half written files are not taken for whole ones
    assert not list((tmp_path / "killed").rglob("*.npy"))
    shows.rows, shows.die_after = 0, None
    filled(tmp_path / "killed", rows)
    assert shows.rows < 40
    assert files(tmp_path / "killed") == files(tmp_path / "undisturbed")


def test_other_parts_after_a_kill_begin_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_filling, "_BATCH_TOKENS", 60)
    monkeypatch.setattr(cache_filling, "_BATCHES_BETWEEN_NOTES", 1)
    rows = toy.texts(40)
    shows = Shows(monkeypatch, die_after=20)
    with pytest.raises(KeyboardInterrupt):
        filled(tmp_path / "killed", rows, Parts(logits=True))
    shows.die_after = None
    filled(tmp_path / "killed", rows, Parts(logits=True, embedding=True))
    filled(tmp_path / "undisturbed", rows, Parts(logits=True, embedding=True))
    assert files(tmp_path / "killed") == files(tmp_path / "undisturbed")


def test_a_cache_is_known_by_teacher_texts_and_precision(tmp_path: Path) -> None:
    rows, parts = toy.texts(6), Parts(logits=True)

    def folders() -> int:
        return len(list(tmp_path.iterdir()))

    filled(tmp_path, rows, parts)
    filled(tmp_path, rows, parts)
    assert folders() == 1
    changed = toy.teacher()
    with torch.no_grad():
        next(changed.parameters())[7, 3] += 1e-3
    filled(tmp_path, rows, parts, changed)
    assert folders() == 2
    configured = toy.teacher()
    configured.config.layer_norm_eps = 0.1
    filled(tmp_path, rows, parts, configured)
    assert folders() == 3
    filled(tmp_path, toy.texts(6, seed=1), parts)
    assert folders() == 4
    filled(tmp_path, toy.texts(7), parts)
    assert folders() == 5
    filled(tmp_path, rows, parts, precision="bfloat16")
    assert folders() == 6


def test_segments_belong_to_the_text(tmp_path: Path) -> None:
    ids = np.arange(5, 11, dtype=np.int32)
    for segments in ([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 1]):
        rows = TokenizedTexts(ids, np.asarray([0, 6]), segments=np.asarray(segments, dtype=np.uint8))
        filled(tmp_path, rows, Parts(logits=True))
    assert len(list(tmp_path.iterdir())) == 2


def test_the_size_is_known_before(tmp_path: Path) -> None:
    rows = toy.texts(10)
    tokens = int(rows.lengths.sum())
    # embedding, 2 hidden, 2 x 2 queries and keys, 1 values: 32 wide each; 2 logits
    expected = 2 * 32 * (1 + 2 + 4 + 1) * tokens + 4 * 2 * 10
    assert teacher_cache_bytes(toy.teacher(), rows, EVERYTHING, tokenizer=tiny.tokenizer()) == expected
    filled(tmp_path, rows)
    written = sum(path.stat().st_size for path in tmp_path.rglob("*.npy"))
    assert expected < written < expected + 9 * 200  # the headers


def test_no_more_than_allowed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"would take 0\.0 GiB, and 0\.0 GiB are allowed"):
        filled(tmp_path, toy.texts(10), max_bytes=100)
    assert not files(tmp_path)


def test_packed_rows_are_refused(tmp_path: Path) -> None:
    rows = TokenizedTexts(
        np.arange(5, 11, dtype=np.int32), np.asarray([0, 3, 6]), blocks=np.asarray([0, 2], dtype=np.int64)
    )
    with pytest.raises(DataError, match="packed"):
        filled(tmp_path, rows)


def test_a_teacher_without_a_head_gives_no_logits(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no logits"):
        filled(tmp_path, toy.texts(3), Parts(logits=True), tiny.encoder())


def test_states_beyond_half_precision_are_refused(tmp_path: Path) -> None:
    teacher = toy.teacher()
    with torch.no_grad():
        teacher.get_parameter("bert.embeddings.LayerNorm.weight").fill_(1e6)
    with pytest.raises(DataError, match="larger than float16"):
        filled(tmp_path, toy.texts(3), Parts(embedding=True), teacher)
    assert not list(tmp_path.rglob("*.npy"))


def test_a_torn_cache_is_refused(tmp_path: Path) -> None:
    rows = toy.texts(5)
    filled(tmp_path, rows)
    torn = next(tmp_path.rglob("hidden.2.npy"))
    torn.write_bytes(torn.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"cannot be read .* delete it"):
        filled(tmp_path, rows)


def test_a_trainer_refuses_a_cache_that_does_not_fit(tmp_path: Path) -> None:
    rows = toy.texts(5)
    settings: dict[str, Any] = {
        "args": training_arguments(tmp_path / "run"),
        "train_dataset": rows,
        "tokenizer": tiny.tokenizer(),
    }
    logits = filled(tmp_path / "cache", rows, Parts(logits=True))
    with pytest.raises(ModelError, match="its cache keeps"):
        DistillationTrainer(toy.student(), toy.objective(), teacher=logits, **settings)
    other = filled(tmp_path / "cache", toy.texts(6), EVERYTHING)
    with pytest.raises(DataError, match="holds 6 rows and the training set 5"):
        DistillationTrainer(toy.student(), toy.objective(TINYBERT_PREDICTION), teacher=other, **settings)


def test_both_texts_of_a_pair_that_is_encoded_apart_are_kept(tmp_path: Path) -> None:
    pairs = Examples(["w1 w2 w3", "w4", "w8"], ["w5", "w6 w7", "w9 w10 w11 w12"], [0.0, 1.0, 2.0], None)
    rows = tokenize_examples(tiny.tokenizer(), pairs, max_length_tokens=8, apart=True)
    teacher = tiny.encoder(layers=2)
    cache = filled(tmp_path, rows, Parts(hidden=frozenset({2})), teacher)
    chosen = [2, 0]
    batch = PadToLongest(tiny.tokenizer())([rows[row] for row in chosen])
    mask = batch["attention_mask"].bool()
    kept = cache.states(pad_taught([cache[row] for row in chosen], mask.numpy()), mask).hidden[2]
    with torch.no_grad():
        shown = teacher(input_ids=batch["input_ids"], attention_mask=mask.long()).last_hidden_state
    assert kept.shape == shown.shape == (4, 6, 32)
    torch.testing.assert_close(kept[mask], shown[mask], atol=2e-3, rtol=2e-3)
    assert not kept[~mask].any()
