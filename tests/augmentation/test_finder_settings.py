from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest
import torch
from tests import tiny
from transformers import AutoModelForMaskedLM, BertTokenizer

from bertling.augmentation.augmented import load_augmented, shard_path
from bertling.augmentation.finder_settings import FinderSettings
from bertling.augmentation.job import augment
from bertling.augmentation.workers import augment_with_workers
from bertling.data.examples import Examples
from bertling.errors import DataError, ModelError

WORDS = ["river", "stone", "green", "morning", "window", "quick", "silver", "garden", "paper", "winter"]
EXAMPLES = Examples(
    [f"{first} {second} evergreen, {first}!" for first in WORDS for second in WORDS[:3]], None, None, None
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> FinderSettings:
    """A tiny masked LM that knows a few words, to which "evergreen" is two pieces, and vectors."""
    folder = tmp_path_factory.mktemp("finder")
    entries = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "ever", "##green", "!", ","]
    BertTokenizer(vocab={entry: index for index, entry in enumerate(entries)}).save_pretrained(folder / "lm")
    model = AutoModelForMaskedLM.from_config(tiny.config(vocab_size=len(entries)))
    model.save_pretrained(folder / "lm")
    vectors = folder / "vectors.txt"
    vectors.write_text("evergreen 1 0.1\npine 0.9 0.2\nspruce 0.8 0.1\nengine -1 0.3\n")
    return FinderSettings(str(folder / "lm"), vectors, candidates=2, stop_words=frozenset({"river"}))


def test_settings_build_a_finder_of_both_kinds_of_candidates(settings: FinderSettings) -> None:
    (found,) = settings.build().find(["river stone evergreen"])
    assert [(word.start, word.end) for word in found] == [(6, 11), (12, 21)]
    assert len(found[0].candidates) == 2
    assert set(found[0].candidates) < {*WORDS, "ever"}
    assert set(found[1].candidates) == {"pine", "spruce"}


def test_without_vectors_words_of_several_pieces_are_left_alone(settings: FinderSettings) -> None:
    (found,) = dataclasses.replace(settings, vectors=None).build().find(["river stone evergreen"])
    assert [(word.start, word.end) for word in found] == [(6, 11)]


def test_every_setting_reaches_the_finder(settings: FinderSettings) -> None:
    text = "river stone evergreen"
    before = settings.build().find([text])

    def found(**changes: object) -> object:
        return dataclasses.replace(settings, **changes).build().find([text])  # type: ignore[arg-type]

    assert found(candidates=1) != before
    assert found(stop_words=frozenset()) != before
    assert found(max_length_tokens=4) != before
    assert found(mode="unmasked") != before
    assert found(batch_tokens=4) == before


def test_the_vectors_are_kept_where_it_is_asked(settings: FinderSettings, tmp_path: Path) -> None:
    dataclasses.replace(settings, cache=tmp_path / "cache").build()
    assert list((tmp_path / "cache").glob("vectors-*"))


def test_what_is_missing_is_said(settings: FinderSettings, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        dataclasses.replace(settings, masked_lm=str(tmp_path / "absent")).build()
    with pytest.raises(DataError, match=r"no file absent\.txt"):
        dataclasses.replace(settings, vectors=tmp_path / "absent.txt").build()


def test_settings_can_be_sent_to_another_process(settings: FinderSettings) -> None:
    assert pickle.loads(pickle.dumps(settings)) == settings
    build = pickle.loads(pickle.dumps(settings.build))
    assert build().find(EXAMPLES.texts) == settings.build().find(EXAMPLES.texts)


@pytest.mark.slow
def test_real_candidates_are_the_same_from_any_number_of_workers(
    settings: FinderSettings, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    augment(EXAMPLES, settings.build, one, seed=1, shard_rows=4)
    augment_with_workers(EXAMPLES, settings.build, two, workers=2, seed=1, shard_rows=4)
    assert len(load_augmented(one)) > 3 * len(EXAMPLES)
    for number in range(8):
        assert shard_path(one, number).read_bytes() == shard_path(two, number).read_bytes()


def test_the_masked_lm_runs_in_the_precision_that_is_asked_for(
    settings: FinderSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        "bertling.augmentation.finder_settings.CandidateFinder",
        lambda *, masked_lm, **others: seen.append(masked_lm.dtype),
    )
    for precision in ("float32", "bfloat16"):
        dataclasses.replace(settings, precision=precision).build()
    assert seen == [torch.float32, torch.bfloat16]
