from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from tests import tiny
from tests.data import tokenising
from transformers import BertTokenizer, PreTrainedTokenizerBase

from bertling.data.shards import load_shards, write_shards
from bertling.data.tokenization import TokenizedTexts, TokenRows, tokenize_corpus
from bertling.errors import DataError, ShapeError, WorkerError

ROOT = Path(__file__).parents[2]
LIMIT = 12
SHARD = 700


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return tiny.tokenizer()


def write(
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    texts: Iterable[str] | None = None,
    *,
    packed: bool = False,
    workers: int = 1,
) -> None:
    write_shards(
        tokenising.texts() if texts is None else texts,
        tokenizer,
        folder,
        max_length_tokens=LIMIT,
        packed=packed,
        workers=workers,
        shard_characters=SHARD,
    )


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def shards(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("shard-*") if not path.suffix)


def rows(texts: TokenRows) -> list[list[int]]:
    return [texts[index]["input_ids"].tolist() for index in range(len(texts))]


def pieces(texts: TokenRows) -> list[list[int]]:
    """The pieces of packed rows."""
    found = []
    for index in range(len(texts)):
        item = texts[index]
        ends = np.cumsum(item["piece_lengths"])
        found += [piece.tolist() for piece in np.split(item["input_ids"], ends[:-1])]
        assert ends[-1] == len(item["input_ids"])
    return found


def index_of(folder: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads((folder / "index.json").read_text())
    return read


def test_shards_hold_what_the_texts_hold(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    write(tmp_path, tokenizer)
    loaded = load_shards(tmp_path)
    whole = tokenize_corpus(tokenizer, tokenising.texts(), max_length_tokens=LIMIT)
    assert rows(loaded) == rows(whole)
    assert loaded.lengths.tolist() == whole.lengths.tolist()
    assert not loaded.packed
    assert len(shards(tmp_path)) > 8
    assert index_of(tmp_path) == {
        "max_length_tokens": LIMIT,
        "packed": False,
        "dtype": "uint16",
        "shard_characters": SHARD,
        "shards": len(shards(tmp_path)),
        "texts": len(list(tokenising.texts())),
        "blocks": len(whole),
        "tokens": int(whole.lengths.sum()),
    }


def test_shards_are_mapped_and_not_read(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    write(tmp_path, tokenizer, packed=True)
    assert isinstance(load_shards(tmp_path)[0]["input_ids"].base.base, np.memmap)


def test_blocks_hold_each_piece_of_their_shard_once(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    write(tmp_path / "plain", tokenizer)
    write(tmp_path / "packed", tokenizer, packed=True)
    plain, packed = load_shards(tmp_path / "plain"), load_shards(tmp_path / "packed")
    assert packed.packed
    assert packed.lengths.max() <= LIMIT
    assert len(packed) < len(plain)
    assert index_of(tmp_path / "packed")["tokens"] == index_of(tmp_path / "plain")["tokens"]
    for one, other in zip(shards(tmp_path / "plain"), shards(tmp_path / "packed"), strict=True):
        texts = TokenizedTexts.load(one)
        assert sorted(pieces(TokenizedTexts.load(other))) == sorted(rows(texts))


@pytest.mark.parametrize("seed", range(6))
def test_no_token_is_lost_whatever_the_texts(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, seed: int
) -> None:
    draw = random.Random(seed)
    words = [f"w{number}x{number}" for number in range(97)] + ["unknown", "é", "\u200b", "[SEP]", "..."]
    texts = [" ".join(draw.choices(words, k=draw.choice([0, 1, 2, 7, 30]))) for _ in range(120)]
    limit = draw.randrange(3, 40)
    for packed in (False, True):
        folder = tmp_path / str(packed)
        write_shards(
            iter(texts),
            tokenizer,
            folder,
            max_length_tokens=limit,
            packed=packed,
            shard_characters=draw.randrange(1, 2000),
        )
        loaded = load_shards(folder)
        made = pieces(loaded) if packed else rows(loaded)
        assert all(piece[0] == 2 and piece[-1] == 3 and len(piece) <= limit for piece in made)
        assert loaded.lengths.max() <= limit
        got = [number for piece in made for number in piece[1:-1]]
        expected = [
            number for text in texts for number in tokenizer(text, add_special_tokens=False)["input_ids"]
        ]
        assert (sorted(got) == sorted(expected)) if packed else (got == expected)


@pytest.mark.slow
@pytest.mark.parametrize("packed", [False, True])
def test_shards_do_not_depend_on_the_number_of_workers(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, packed: bool
) -> None:
    for workers in (1, 2, 3):
        write(tmp_path / str(workers), tokenizer, packed=packed, workers=workers)
    by_one = contents(tmp_path / "1")
    assert len(by_one) > 16
    assert contents(tmp_path / "2") == by_one
    assert contents(tmp_path / "3") == by_one


@pytest.mark.faults
@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_stopped_run_goes_on_and_keeps_the_shards_that_are_there(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, workers: int
) -> None:
    write(tmp_path, tokenizer)
    whole = contents(tmp_path)
    (tmp_path / "index.json").unlink()
    shutil.rmtree(tmp_path / "shard-00002")
    # As it is while it is written, and not yet renamed.
    (tmp_path / "shard-00005").rename(tmp_path / "shard-00005.partial")
    (tmp_path / "shard-00005.partial" / "tokens.npy").write_bytes(b"half")
    (tmp_path / "shard-00005.partial" / "more.npy").write_bytes(b"half")
    kept = {shard: shard.stat().st_mtime_ns for shard in shards(tmp_path)}
    write(tmp_path, tokenizer, workers=workers)
    assert contents(tmp_path) == whole
    assert {shard: shard.stat().st_mtime_ns for shard in kept} == kept


def test_a_finished_folder_is_left_as_it_is(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    write(tmp_path, tokenizer)
    write(tmp_path, tokenizer, map(pytest.fail, ["nothing is to be read"]))


@pytest.mark.faults
def test_a_shard_that_was_deleted_is_made_again(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    write(tmp_path, tokenizer)
    whole = contents(tmp_path)
    shutil.rmtree(tmp_path / "shard-00003")
    write(tmp_path, tokenizer)
    assert contents(tmp_path) == whole


def test_a_failure_while_texts_are_read_keeps_the_shards_before_it(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    def broken() -> Iterator[str]:
        yield from list(tokenising.texts())[:150]
        raise DataError("line 151 is not text")

    with pytest.raises(DataError, match="line 151"):
        write(tmp_path, tokenizer, broken())
    with pytest.raises(DataError, match="no finished shards"):
        load_shards(tmp_path)
    before = {shard: shard.stat().st_mtime_ns for shard in shards(tmp_path)}
    assert len(before) > 3
    write(tmp_path, tokenizer)
    assert {shard: shard.stat().st_mtime_ns for shard in before} == before


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"packed": True}, "made with packed = False, but asked for is packed = True"),
        (
            {"max_length_tokens": 9},
            "made with max_length_tokens = 12, but asked for is max_length_tokens = 9",
        ),
        ({"shard_characters": 99}, "made with shard_characters = 700"),
    ],
)
@pytest.mark.parametrize("finished", [False, True])
def test_shards_of_other_settings_are_not_mixed(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, finished: bool, other: dict[str, int], message: str
) -> None:
    write(tmp_path, tokenizer)
    if not finished:
        (tmp_path / "index.json").unlink()
    settings = {"max_length_tokens": LIMIT, "shard_characters": SHARD, **other}
    with pytest.raises(DataError, match=message):
        write_shards(tokenising.texts(), tokenizer, tmp_path, **settings)  # type: ignore[arg-type]


def test_ids_above_65535_are_kept(tmp_path: Path) -> None:
    vocabulary = {f"w{number}": number for number in range(5, 70_000)}
    vocabulary |= {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}
    write(tmp_path, BertTokenizer(vocab=vocabulary), ["w69999 w5"])
    assert rows(load_shards(tmp_path)) == [[2, 69_999, 5, 3]]
    assert index_of(tmp_path)["dtype"] == "int32"


def test_a_shard_without_a_token_is_no_obstacle(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    write_shards(
        ["w1", "", " ", "w2"], tokenizer, tmp_path, max_length_tokens=5, packed=True, shard_characters=1
    )
    assert len(shards(tmp_path)) == 4
    assert rows(load_shards(tmp_path)) == [[2, 6, 3], [2, 7, 3]]


@pytest.mark.parametrize("texts", [[], ["", " "]])
def test_a_corpus_without_text_is_an_error(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, texts: list[str]
) -> None:
    with pytest.raises(DataError, match="corpus holds no text"):
        write(tmp_path, tokenizer, texts)


def test_limits_without_room_and_runs_without_workers_are_refused(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="leaves no room"):
        write_shards(["w1"], tokenizer, tmp_path / "a", max_length_tokens=2)
    with pytest.raises(ShapeError, match="workers = 0, expected at least 1"):
        write(tmp_path / "b", tokenizer, workers=0)
    assert not list(tmp_path.iterdir())


def test_shards_that_are_not_all_there_are_not_loaded(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    def broken(name: str) -> Path:
        shutil.copytree(tmp_path / "whole", tmp_path / name)
        return tmp_path / name

    write(tmp_path / "whole", tokenizer, packed=True)
    with pytest.raises(DataError, match="nowhere holds no finished shards"):
        load_shards(tmp_path / "nowhere")
    folder = broken("without index")
    (folder / "index.json").write_text("{}")
    with pytest.raises(DataError, match=r"index\.json is missing or not"):
        load_shards(folder)
    folder = broken("without shard")
    shutil.rmtree(folder / "shard-00003")
    with pytest.raises(DataError, match="shard-00003"):
        load_shards(folder)
    folder = broken("truncated")
    tokens = (folder / "shard-00003" / "tokens.npy").read_bytes()
    (folder / "shard-00003" / "tokens.npy").write_bytes(tokens[:-2])
    with pytest.raises(DataError, match="shard-00003"):
        load_shards(folder)
    folder = broken("another shard")
    shutil.copytree(folder / "shard-00000", folder / "shard-00003", dirs_exist_ok=True)
    with pytest.raises(DataError, match=r"are not those of its index\.json: found blocks = "):
        load_shards(folder)
    folder = broken("not packed")
    (folder / "shard-00003" / "blocks.npy").unlink()
    with pytest.raises(DataError, match="only some are packed"):
        load_shards(folder)


# Processes


def test_a_process_that_tokenises_imports_no_torch() -> None:
    command = "import bertling.data.shard_writer, sys; from transformers import BertTokenizer; "
    subprocess.run([sys.executable, "-c", f"{command} assert 'torch' not in sys.modules"], check=True)


@pytest.mark.slow
def test_few_shards_are_under_way_at_once(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    """When a shard begins to be read, all before it but as many as there are workers have been written."""

    def one_a_shard() -> Iterator[str]:
        for number in range(20):
            assert len(shards(tmp_path)) >= number - 2
            yield " ".join(f"w{word % 98}" for word in range(300))

    write(tmp_path, tokenizer, one_a_shard(), workers=2)
    assert len(shards(tmp_path)) == 20


@pytest.mark.slow
def test_the_environment_is_as_before(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    write(tmp_path, tokenizer, ["w1"], workers=2)
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "TOKENIZERS_PARALLELISM" not in os.environ


@pytest.mark.slow
@pytest.mark.faults
def test_a_worker_that_is_killed_ends_the_run_and_the_next_run_goes_on(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    def deadly() -> Iterator[str]:
        for number, text in enumerate(tokenising.texts()):
            if number == 200:
                victim, *_ = multiprocessing.active_children()
                victim.kill()
            yield text

    write(tmp_path / "whole", tokenizer)
    with pytest.raises(
        WorkerError, match=r"a tokenising process died: .* \d+ shards? (is|are) done"
    ) as caught:
        write(tmp_path / "killed", tokenizer, deadly(), workers=2)
    assert not multiprocessing.active_children()
    kept = {shard: shard.stat().st_mtime_ns for shard in shards(tmp_path / "killed")}
    assert f"{len(kept)} shard" in str(caught.value)
    assert 0 < len(kept) < len(shards(tmp_path / "whole"))
    write(tmp_path / "killed", tokenizer, workers=2)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert {shard: shard.stat().st_mtime_ns for shard in kept} == kept


@pytest.mark.slow
@pytest.mark.faults
def test_a_run_that_is_killed_takes_its_processes_along_and_goes_on(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.data.tokenising", "dies", str(tmp_path / "killed"), "2"]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    processes = [int(number) for number in killed.stdout.split()]
    assert processes
    while any(map(alive, processes)):
        time.sleep(0.01)
    kept = {shard: shard.stat().st_mtime_ns for shard in shards(tmp_path / "killed")}
    assert kept
    write(tmp_path / "killed", tokenizer)
    write(tmp_path / "whole", tokenizer)
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert {shard: shard.stat().st_mtime_ns for shard in kept} == kept


def alive(process: int) -> bool:
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_memory_does_not_grow_with_the_corpus(tmp_path: Path, workers: int) -> None:
    peaks = []
    for times in (1, 10):
        command = [sys.executable, "-m", "tests.data.tokenising", "measures", str(tmp_path / str(times))]
        done = subprocess.run(
            [*command, str(workers), str(times)], cwd=ROOT, capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout))
    # The ids of nine times the corpus alone would be four times more than this.
    assert peaks[1] - peaks[0] < tokenising.TOKENS_OF_MEASURED * 2 * 9 / 4, peaks
